"""What waits for its export is a span and nothing else: no handle, no context, nothing of the program's."""

from __future__ import annotations

import contextlib
import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import context as context_api
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

import otel_feedback as feedback
from tests.conformance.wire.making import Setting, Stage, make
from tests.conformance.wire.tree_cases import Within
from tests.conformance.wire.ways import WAYS, Way


class Theirs:
    """Something that belongs to the program."""


class Counting(SpanExporter):
    """Counts, and keeps nothing."""

    def __init__(self) -> None:
        self.count = 0

    def export(self, spans: Any) -> SpanExportResult:
        self.count += len(spans)
        return SpanExportResult.SUCCESS


class KeepingTheInnermost(SpanProcessor):
    """Keeps the first span that ends."""

    def __init__(self) -> None:
        self.span: ReadableSpan | None = None

    def on_end(self, span: ReadableSpan) -> None:
        if self.span is None:
            self.span = span


def live(*kinds: type) -> list[Any]:
    """Return what is still alive of these classes."""
    gc.collect()
    return [one for one in gc.get_objects() if isinstance(one, kinds)]


def act(stage: Stage, given: list[weakref.ref[Theirs]]) -> None:
    """Run three actions, with objects of the program's in the context, in the frames and in what is said."""
    in_context, in_frame, in_error = Theirs(), Theirs(), Theirs()
    given += [weakref.ref(in_context), weakref.ref(in_frame), weakref.ref(in_error)]

    def fail(local: Theirs) -> None:
        error = ValueError("broken", in_error)
        raise error

    key = context_api.create_key("theirs")
    with Within(context_api.set_value(key, in_context)):
        with feedback.action("plan") as plan, feedback.action("step"):
            with contextlib.suppress(ValueError), feedback.action("tool", metadata={"theirs": in_frame}):
                fail(in_frame)
            plan.tag("x")


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_queue_holds_spans_only(way: Way, tmp_path: Path) -> None:
    exporter, found, given = Counting(), dict[str, Any](), list[weakref.ref[Theirs]]()
    queue: Callable[[], list[SpanProcessor]] = lambda: [  # noqa: E731
        BatchSpanProcessor(exporter, schedule_delay_millis=60_000)
    ]

    def program(stage: Stage) -> None:
        act(stage, given)
        stage.forget()
        found["actions"] = live(feedback.Action)
        found["theirs"] = [ref() for ref in given]
        found["waiting"] = exporter.count == 0
        assert stage.provider.force_flush()

    make(program, Setting(before=queue), way, tmp_path)
    assert exporter.count == 3
    assert found == {"actions": [], "theirs": [None, None, None], "waiting": True}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_span_holds_no_parent(way: Way, tmp_path: Path) -> None:
    keeping, found, given = KeepingTheInnermost(), dict[str, Any](), list[weakref.ref[Theirs]]()

    def program(stage: Stage) -> None:
        act(stage, given)
        stage.forget()
        found["names"] = sorted(span.name for span in live(Span) if span.name in ("plan", "step"))
        found["actions"] = live(feedback.Action)

    make(program, Setting(before=lambda: [keeping]), way, tmp_path)
    assert keeping.span is not None
    assert keeping.span.name == "tool"
    assert found == {"names": [], "actions": []}
