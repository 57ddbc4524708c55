"""Plays a recorded run through real span processors, in the order in which its spans started and ended.

Span ids, times, scopes, parents, attributes, events and status are as they were; where an exception was passing through
when a span ended, one of that type is passing through again, one object for each type and trace. A span that never ended
is started and left open. Threads and tasks are not played again.
"""

from __future__ import annotations

import asyncio
import builtins
import functools
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from otel_feedback.convert.pricing import Prices
from otel_feedback.convert.rules import Rules
from otel_feedback.events.model import OutcomeEvent
from otel_feedback.journal.memory import MemoryJournal
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from otel_feedback.pipeline.processor import OutcomeSpanProcessor
from tests.replay.captures import Row, Run

__all__ = ["VARIANTS", "Variant", "events_of", "replay"]

MOST_EVENTS = 100_000

_LATE_SCOPES = ("openinference.instrumentation.langchain", "langfuse-sdk", "mlflow.tracing")
"""Instrumentation that gives a span its attributes when it ends."""

_KNOWN_AT_END = re.compile(
    r"usage|token_count|tokenUsage|token_usage|total_tokens|response|finish_reason|^error\.|output|completion|result"
    r"|cost|observation\.level|status_message|all_messages|duration|time_to_first|logfire\.json_schema|final_"
)
"""Attributes that nobody can know when a span starts."""


class Variant(NamedTuple):
    """How a run is played.

    `start_attributes`: which attributes a span has when it starts. `is_ambient`: exceptions that passed through both when
    a span started and when it ended do so, too. `is_backwards`: all spans are open at once, and the last ends first, so that
    nearly all of them end after what is above them.
    """

    start_attributes: Literal["likely", "all", "none"] = "likely"
    is_ambient: bool = False
    is_backwards: bool = False


AS_IT_WAS = Variant()
VARIANTS = {
    "as it was": AS_IT_WAS,
    "all attributes at the start": Variant("all"),
    "no attributes at the start": Variant("none"),
    "inside an exception": Variant(is_ambient=True),
    "parents end first": Variant(is_backwards=True),
}


def events_of(run: Run, variant: Variant = AS_IT_WAS) -> list[OutcomeEvent]:
    """Return the newest revision of each outcome event of a run."""
    rules = Rules(price=_prices().price)
    pipeline = FeedbackPipeline(new_journal=lambda: MemoryJournal(1 << 26), ring_size=MOST_EVENTS, rules=rules)
    replay(run.rows, [OutcomeSpanProcessor(pipeline)], variant)
    pipeline.shutdown()
    assert pipeline.metrics()["not_recorded"] == {}, pipeline.metrics()
    return pipeline.get_recent_events(MOST_EVENTS)


_prices = functools.cache(Prices)


def replay(rows: Sequence[Row], processors: Iterable[SpanProcessor], variant: Variant = AS_IT_WAS) -> None:
    """Play the spans through these processors."""
    stage = _Stage(rows, processors, variant)
    for _, do, row in sorted(_steps(rows, stage), key=lambda step: step[0]):
        if do != stage.end or not variant.is_backwards:
            do(row)
    if variant.is_backwards:
        for row in sorted((row for row in rows if row.ended), key=_end_of, reverse=True):
            stage.end(row)


_Step = tuple[tuple[float, ...], Callable[[Row], None], Row]


def _steps(rows: Sequence[Row], stage: _Stage) -> Iterable[_Step]:
    by_id = {row.span_id: row for row in rows}

    def depth(row: Row) -> int:
        parent = by_id.get(row.parent_id or "")
        return 0 if parent is None else 1 + depth(parent)

    for at, row in enumerate(rows):
        yield (row.start_ns, 0, depth(row), at), stage.start, row
        if row.end_ns is not None:
            yield (row.end_ns, 1, _end_of(row)[1], at), stage.end, row
        else:
            last_ns = max((row.start_ns, *(event.ts_ns for event in row.events)))
            yield (last_ns, 0, depth(row) + 0.5, at), stage.fill, row


def _end_of(row: Row) -> tuple[int, int]:
    return row.end_ns or 0, row.capture.end_order or 0


class _Ids(IdGenerator):
    trace_id = span_id = 0

    def generate_trace_id(self) -> int:
        return self.trace_id

    def generate_span_id(self) -> int:
        return self.span_id


class _Stage:
    """A provider of the recorded resource, and the spans that were started on it."""

    def __init__(self, rows: Sequence[Row], processors: Iterable[SpanProcessor], variant: Variant) -> None:
        self._variant = variant
        self._ids = _Ids()
        unset = SpanLimits.UNSET
        self._provider = TracerProvider(
            sampler=ALWAYS_ON, resource=Resource(rows[0].resource), id_generator=self._ids, shutdown_on_exit=False,
            span_limits=SpanLimits(max_attributes=unset, max_span_attributes=unset, max_events=unset),
        )  # fmt: skip
        for processor in processors:
            self._provider.add_span_processor(processor)
        self._spans: dict[str, Span] = {}
        self._exceptions: dict[tuple[str, str], BaseException] = {}

    def start(self, row: Row) -> None:
        self._within(row, row.capture.exc_at_start if self._variant.is_ambient else None, self._start)

    def _start(self, row: Row) -> None:
        scope = row.scope
        tracer = self._provider.get_tracer(scope.name, scope.version, schema_url=scope.schema_url)
        context = Context()
        if row.parent_id is not None:
            flags = TraceFlags(TraceFlags.SAMPLED)
            above = SpanContext(int(row.trace_id, 16), int(row.parent_id, 16), is_remote=False, trace_flags=flags)
            context = trace.set_span_in_context(self._spans.get(row.parent_id) or NonRecordingSpan(above), context)
        self._ids.trace_id, self._ids.span_id = int(row.trace_id, 16), int(row.span_id, 16)
        span = tracer.start_span(
            row.name, context, SpanKind[row.kind], self._attributes_at_start(row), start_time=row.start_ns
        )
        assert isinstance(span, Span)
        self._spans[row.span_id] = span

    def _attributes_at_start(self, row: Row) -> dict[str, Any]:
        if self._variant.start_attributes == "all":
            return row.attributes
        if self._variant.start_attributes == "none" or row.scope.name.startswith(_LATE_SCOPES):
            return {}
        return {name: value for name, value in row.attributes.items() if not _KNOWN_AT_END.search(name)}

    def fill(self, row: Row) -> None:
        """Give a span all that it had in the end."""
        span = self._spans[row.span_id]
        known = span.attributes or {}
        span.set_attributes({name: value for name, value in row.attributes.items() if name not in known})
        for event in sorted(row.events, key=lambda event: event.ts_ns):
            span.add_event(event.name, event.attributes, event.ts_ns)
        if row.status.code != "UNSET":
            code = StatusCode[row.status.code]
            span.set_status(Status(code, row.status.description if code is StatusCode.ERROR else None))

    def end(self, row: Row) -> None:
        self.fill(row)
        at_start, at_end = row.capture.exc_at_start, row.capture.exc_at_end
        self._within(row, at_end if self._variant.is_ambient or at_end != at_start else None, self._end)

    def _end(self, row: Row) -> None:
        self._spans[row.span_id].end(row.end_ns)

    def _within(self, row: Row, exception: str | None, do: Callable[[Row], None]) -> None:
        """Do it while an exception of this type passes through."""
        if exception is None:
            do(row)
            return
        key = row.trace_id, exception
        if key not in self._exceptions:
            self._exceptions[key] = _make(exception, row)
        passing = self._exceptions[key]
        try:
            raise passing  # noqa: TRY301 - so that it passes through
        except BaseException as caught:
            if caught is not passing:
                raise
            do(row)
        finally:
            passing.__traceback__ = None


_OF_ASYNCIO = {"CancelledError": asyncio.CancelledError, "TimeoutError": TimeoutError}
_SILENT = (asyncio.CancelledError, StopIteration, GeneratorExit)


def _make(qualified: str, row: Row) -> BaseException:
    kind = _class(qualified)
    message = _message(qualified, row)
    return kind(message) if message and not issubclass(kind, _SILENT) else kind()


def _class(qualified: str) -> type[BaseException]:
    module, _, name = qualified.rpartition(".")
    if module in ("", "asyncio", "asyncio.exceptions") and name in _OF_ASYNCIO:
        return _OF_ASYNCIO[name]
    known = getattr(builtins, name, None)
    if module in ("", "builtins") and isinstance(known, type) and issubclass(known, BaseException):
        return known
    return type(name, (Exception,), {"__module__": module or "builtins", "__qualname__": name})


def _message(qualified: str, row: Row) -> str:
    tail = qualified.rpartition(".")[2]
    for event in reversed(row.events):
        told = event.attributes or {}
        if event.name == "exception" and str(told.get("exception.type", "")).rpartition(".")[2] == tail:
            return str(told.get("exception.message") or "")
    return row.status.description or ""
