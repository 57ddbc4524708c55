"""What waits for its export is a span and nothing else: no handle, no context, nothing of the program's."""

from __future__ import annotations

import contextlib
import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import context as context_api
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

import otel_feedback as feedback
from tests.conformance.wire.making import Processor, Setting, Stage, make
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


class KeepingTheInnermost(Processor):
    """Keeps the first span that ends."""

    def __init__(self) -> None:
        self.span: ReadableSpan | None = None

    def on_end(self, span: ReadableSpan) -> None:
        if self.span is None:
            self.span = span


def handles() -> list[feedback.Action]:
    """Return the handles of actions that are still alive; they take no weak references."""
    gc.collect()
    return [one for one in gc.get_objects() if issubclass(type(one), feedback.Action)]


class Program:
    """Three actions, with things of the program's in the context, in frames, in an error and in what is said."""

    def __init__(self) -> None:
        self._known = handles()
        self.things: list[weakref.ref[Theirs]] = []
        self.spans: list[weakref.ref[Any]] = []

    def run(self, stage: Stage) -> None:
        in_context, in_frame, in_error = things = Theirs(), Theirs(), Theirs()
        self.things += [weakref.ref(thing) for thing in things]

        def fail(local: Theirs) -> None:
            error = ValueError("broken", in_error)
            raise error

        key = context_api.create_key("theirs")
        with Within(context_api.set_value(key, in_context)), feedback.action("plan") as plan:
            self.spans.append(weakref.ref(stage.span))
            with feedback.action("step"):
                self.spans.append(weakref.ref(stage.span))
                with contextlib.suppress(ValueError), feedback.action("tool", metadata={"theirs": in_frame}):
                    fail(in_frame)
            plan.tag("x")

    def left(self) -> dict[str, list[Any]]:
        """Return what is still there of it."""
        actions = [act for act in handles() if all(act is not known for known in self._known)]
        return {
            "actions": actions,
            "things": [ref() for ref in self.things if ref() is not None],
            "spans": [ref() for ref in self.spans if ref() is not None],
        }


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_queue_holds_spans_only(way: Way, tmp_path: Path) -> None:
    exporter, program = Counting(), Program()
    left: dict[str, Any] = {}

    def whole(stage: Stage) -> None:
        program.run(stage)
        stage.forget()
        left.update(program.left(), exported=exporter.count)
        assert stage.provider.force_flush()

    setting = Setting(before=lambda: [BatchSpanProcessor(exporter, schedule_delay_millis=60_000)])
    make(whole, setting, way, tmp_path)
    assert exporter.count == 3
    assert left["actions"] == left["things"] == []
    assert left["exported"] == 0, "they were waiting"


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_span_holds_no_parent(way: Way, tmp_path: Path) -> None:
    keeping, program = KeepingTheInnermost(), Program()
    left: dict[str, Any] = {}

    def whole(stage: Stage) -> None:
        program.run(stage)
        stage.forget()
        left.update(program.left())

    make(whole, Setting(before=lambda: [keeping]), way, tmp_path)
    assert keeping.span is not None
    assert keeping.span.name == "tool"
    assert left == {"actions": [], "things": [], "spans": []}
