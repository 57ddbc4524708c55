"""The SDK's processors, and one that rebuilds spans: what each of them gets, and that each action has one event.

beside      provider ──┬─► ours ──► event            outside     provider ──► rebuilt ──┬─► ours ──► event
                       └─► rebuilt ──► exporter                                         └─► exporter
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import (
    ConcurrentMultiSpanProcessor,
    ReadableSpan,
    Span,
    SpanProcessor,
    SynchronousMultiSpanProcessor,
)
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import otel_feedback as feedback
from tests.conformance.wire import others_cases, said_cases, tree_cases
from tests.conformance.wire.cases import Program
from tests.conformance.wire.compare import Normal, decode, encode
from tests.conformance.wire.making import Made, Processor, Setting, Stage, make
from tests.conformance.wire.ways import FALLBACKS, SDK, Way


def rebuilt(span: ReadableSpan) -> ReadableSpan:
    """Return another span that says the same, and one thing more, as wrappers make it."""
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes={**(span.attributes or {}), "rebuilt": True},
        events=span.events,
        links=span.links,
        kind=span.kind,
        status=span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


class Rebuilding(SynchronousMultiSpanProcessor):
    """Hands other spans on than it was given."""

    def __init__(self, *inner: SpanProcessor) -> None:
        super().__init__()
        for processor in inner:
            self.add_span_processor(processor)

    def on_end(self, span: ReadableSpan) -> None:
        super().on_end(rebuilt(span))


class Holding(Processor):
    """Hands a trace on when its last span has ended, as those do that decide by whole traces."""

    def __init__(self, inner: SpanProcessor) -> None:
        self._inner = inner
        self._open = 0
        self._held: list[ReadableSpan] = []

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self._open += 1
        self._inner.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        self._open -= 1
        self._held.append(span)
        if not self._open:
            for held in self._held:
                self._inner.on_end(held)
            self._held.clear()


class Exporters:
    """The exporters of one run, by where they stand."""

    def __init__(self) -> None:
        self._made: list[tuple[InMemorySpanExporter, list[SpanProcessor]]] = []

    def simple(self) -> SpanProcessor:
        exporter = InMemorySpanExporter()
        return self._noted(exporter, SimpleSpanProcessor(exporter))

    def batch(self) -> SpanProcessor:
        exporter = InMemorySpanExporter()
        return self._noted(exporter, BatchSpanProcessor(exporter, schedule_delay_millis=60_000))

    def _noted(self, exporter: InMemorySpanExporter, processor: SpanProcessor) -> SpanProcessor:
        self._made.append((exporter, [processor]))
        return processor

    def got(self) -> list[Any]:
        return [decode(encode(exporter.get_finished_spans())) for exporter, _ in self._made]


Arrangement = Callable[[Exporters], dict[str, Any]]


def concurrent(*inner: SpanProcessor) -> ConcurrentMultiSpanProcessor:
    made = ConcurrentMultiSpanProcessor(2)
    for processor in inner:
        made.add_span_processor(processor)
    return made


ARRANGEMENTS: dict[str, Arrangement] = {
    "simple": lambda exporters: {"before": lambda: [exporters.simple()], "after": lambda: [exporters.simple()]},
    "batch": lambda exporters: {"before": lambda: [exporters.batch()], "after": lambda: [exporters.batch()]},
    "concurrent, with ours in it": lambda exporters: {"active": lambda: concurrent(exporters.simple(), exporters.batch())},
    "concurrent, before ours": lambda exporters: {"before": lambda: [concurrent(exporters.simple())]},
    "rebuilding, outside of ours": lambda exporters: {"active": lambda: Rebuilding(exporters.simple())},
    "rebuilding twice, outside of ours": lambda exporters: {"active": lambda: RebuildingTwice(exporters.batch())},
    "rebuilding, before ours": lambda exporters: {"before": lambda: [Rebuilding(exporters.simple(), exporters.batch())]},
    "rebuilding, after ours": lambda exporters: {"after": lambda: [Rebuilding(exporters.simple(), exporters.batch())]},
    "holding": lambda exporters: {"before": lambda: [Holding(exporters.simple())]},
}  # fmt: skip


class RebuildingTwice(Rebuilding):
    def on_end(self, span: ReadableSpan) -> None:
        super().on_end(rebuilt(span))


PROGRAMS: dict[str, Program] = {
    "tree": tree_cases.ask,
    "everything that is said": said_cases.everything,
    "error": said_cases.error_that_leaves_two_actions,
    "meddled with": others_cases.in_the_middle,
    "between foreign spans": tree_cases.a_foreign_span_between_two_actions,
    "usage of a foreign child": tree_cases.with_a_foreign_child,
}


def run(program: Program, arrange: Arrangement, way: Way, folder: Path) -> tuple[Made, Any]:
    exporters = Exporters()
    normal = Normal()

    def whole(stage: Stage) -> None:
        program(stage)
        with feedback.action("checked", agent="a") as act:
            act.tag("x")
        # a handle gets its event back, whoever has rebuilt the span
        assert act.event is not None
        assert (act.event.action_type, act.event.tags) == ("checked", ("x",))
        assert act.event in stage.events()
        assert stage.provider.force_flush()

    made = make(whole, Setting(**arrange(exporters)), way, folder)
    return made, normal(exporters.got())


def assert_once(records: Sequence[dict[str, Any]]) -> None:
    """Each action has one event, and each revision of it is there once."""
    counts = Counter((record["event_id"], record["revision"]) for record in records)
    assert counts
    assert set(counts.values()) == {1}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
@pytest.mark.parametrize("arrange", ARRANGEMENTS.values(), ids=ARRANGEMENTS)
def test_processors_get_the_same(program: Program, arrange: Arrangement, tmp_path: Path) -> None:
    made, got = run(program, arrange, SDK, tmp_path)
    expected, expected_got = run(program, arrange, FALLBACKS["wrapper"], tmp_path)
    assert all(got)
    assert got == expected_got
    for part, value in expected.compared().items():
        assert made.compared()[part] == value, part
    for one in (made, expected):
        assert_once(one.records)
        assert len(one.outcomes) >= len(one.started)
