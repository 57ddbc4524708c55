"""`OutcomeSpanProcessor`: turns each finished span that is an agent's action into an outcome event.

Input: spans of any TracerProvider, on the thread that ends them. Output: events in the pipeline; the action that
is ending gets its event back. Guarantee: never raises into the program, whatever a span carries.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import StatusCode

from otel_feedback import semconv
from otel_feedback.capture.ending import describe
from otel_feedback.capture.handle import Action, ending_actions
from otel_feedback.convert.conventions.own import OwnConvention
from otel_feedback.convert.costs import priced_own
from otel_feedback.convert.rules import Ended
from otel_feedback.convert.span import FinishedSpan, SpanError, SpanEvent
from otel_feedback.convert.values import plain
from otel_feedback.events.model import OutcomeEvent, OutcomeStatus
from otel_feedback.events.started import StartedAction
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from otel_feedback.redaction.limits import Problems

__all__ = ["ActionRecorder", "OutcomeSpanProcessor", "provide_default_pipeline"]

logger = logging.getLogger(__name__)

_default: list[Callable[[], FeedbackPipeline]] = []


def provide_default_pipeline(make: Callable[[], FeedbackPipeline]) -> None:
    """Say which pipeline an `OutcomeSpanProcessor()` without one uses; called by `bootstrap`."""
    _default[:] = [make]


class OutcomeSpanProcessor(SpanProcessor):
    """Records an outcome event for each finished span that is an agent's action.

    Works on any TracerProvider: `provider.add_span_processor(OutcomeSpanProcessor())`.

    Args:
        pipeline: Where the events go; default: the process's own (`get_feedback_pipeline()`).

    Thread-safe. `shutdown()` shuts the pipeline down, `force_flush()` flushes it.
    """

    def __init__(self, pipeline: FeedbackPipeline | None = None) -> None:
        if pipeline is None:
            if not _default:
                raise TypeError("OutcomeSpanProcessor() needs a pipeline")
            pipeline = _default[0]()
        self.pipeline = pipeline
        self._resource: Resource | None = None
        self._service_name: str | None = None
        self.outcomes = pipeline.outcomes

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Note where the span stands. What it is can only be told when it ends."""
        try:
            if self.pipeline.closed:
                return
            context, parent = span.get_span_context(), span.parent
            parent_id = (
                0 if parent is None or parent.is_remote or parent.trace_id != context.trace_id else parent.span_id
            )
            scope = span.instrumentation_scope
            cause = sys.exc_info()[1]
            self.outcomes.begin(
                context.trace_id, context.span_id, parent_id, "" if scope is None else scope.name,
                span.start_time or 0, span, 0 if cause is None else id(cause),
            )  # fmt: skip
        except Exception as exc:  # a defect of ours must not reach the program
            self.pipeline.reject("defect", "a span that started could not be followed: %r", exc)

    def on_end(self, span: ReadableSpan) -> None:
        """Convert and record. A span of another kind is passed over."""
        pipeline = self.pipeline
        if pipeline.closed:
            return
        try:
            context = span.get_span_context()
            if context is None or span.start_time is None or span.end_time is None:
                return
            action = ending_actions.get(context.span_id)
            attributes = plain(span.attributes)
            if action is not None:
                action.is_taken = True
                # the SDK's limits on spans may have cut or dropped some; an event has limits of its own
                attributes.update(action.attributes)
            cause = sys.exc_info()[1]
            event = self.outcomes.end(
                Ended(
                    context.trace_id, context.span_id, 0 if cause is None else id(cause),
                    context.trace_flags.sampled,
                    # only our own API freezes a run id when the span starts; an attribute may be set at any time
                    None if action is None else action.partition_key,
                ),
                attributes,
                lambda: self._read(span, attributes, action),
            )  # fmt: skip
            if action is not None:
                action.event = event
        except Exception as exc:  # somebody else's span may carry anything
            context = span.get_span_context()
            action = None if context is None else ending_actions.get(context.span_id)
            if action is not None:
                pipeline.forget_start(action.event_id)
            pipeline.reject("unconvertible", "a span could not be turned into an outcome: %r", exc)

    def _read(self, span: ReadableSpan, attributes: dict[str, Any], action: Action | None) -> FinishedSpan:
        if span.resource is not self._resource:
            self._resource = span.resource
            name = span.resource.attributes.get(semconv.SERVICE_NAME)
            # the SDK's own placeholder says less than our setting
            unnamed = not isinstance(name, str) or name.startswith("unknown_service")
            self._service_name = self.pipeline.service_name if unnamed else str(name)
        start_ns, end_ns = span.start_time or 0, span.end_time or 0
        if action is not None:
            event_id = action.event_id
            return FinishedSpan(
                event_id,
                event_id[:32],
                event_id[33:],
                start_ns,
                end_ns,
                attributes,
                _error_of(action),
                self._service_name,
            )
        scope, status = span.instrumentation_scope, span.status
        code = status.status_code
        finished = FinishedSpan(
            "", None, None, start_ns, end_ns, attributes, None, self._service_name,
            name=span.name, scope="" if scope is None else scope.name,
            status="unset" if code is StatusCode.UNSET else "error" if code is StatusCode.ERROR else "ok",
            description=status.description, in_flight=_in_flight(),
        )  # fmt: skip
        if events := span.events:
            finished.events = tuple(SpanEvent(one.name, one.timestamp, one.attributes or _NOTHING) for one in events)
            finished.error, finished.error_at_ns = _last_error(finished.events)
        return finished

    def shutdown(self) -> None:
        self.pipeline.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self.pipeline.force_flush(timeout_millis / 1e3)


class ActionRecorder:
    """Records actions whose span reached no processor of ours: no SDK, a sampler that drops, a foreign provider."""

    def __init__(self, pipeline: FeedbackPipeline) -> None:
        self.pipeline = pipeline
        self._convention = OwnConvention()
        self.notes_starts = pipeline.emit_start
        self.emits_pending = pipeline.emit_pending

    def note_start(self, action: Action) -> None:
        """Note in the journal that the action began."""
        try:
            self.pipeline.note_start(
                StartedAction(
                    action.event_id, action.start_ns, action.partition_key, action.attributes,
                    action.span_context.trace_flags.sampled,
                )
            )  # fmt: skip
        except Exception:  # a defect of ours must not keep the action from being recorded
            logger.exception("the start of an action could not be noted")

    def emit_pending(self, action: Action) -> None:
        """Record that the action is under way."""
        try:
            context = action.span_context
            trace_id, span_id = _own_ids(action)
            event = self._convention.to_event(
                FinishedSpan(
                    action.event_id, trace_id, span_id, action.start_ns, action.start_ns,
                    {**action.attributes, semconv.OUTCOME_STATUS: OutcomeStatus.PENDING.value}, None,
                    self.pipeline.service_name,
                )
            )  # fmt: skip
            pending = msgspec.structs.replace(event, revision=0, end_time=None, duration_ms=None, latency_ms=None)
            self.pipeline.accept(pending, action.partition_key, trace_id is not None and context.trace_flags.sampled)
        except Exception as exc:
            self.pipeline.reject("unconvertible", "a pending action could not be recorded: %r", exc)

    def record_action(self, action: Action, *, sampled_out: bool) -> OutcomeEvent | None:
        """Convert and record the ended action from what it knows itself."""
        pipeline = self.pipeline
        if sampled_out and not pipeline.closed:
            pipeline.note_sampled_out()
        trace_id, span_id = _own_ids(action)
        try:
            event = self._convention.to_event(
                FinishedSpan(
                    action.event_id, trace_id, span_id, action.start_ns, action.end_ns, action.attributes,
                    _error_of(action), pipeline.service_name,
                )
            )  # fmt: skip
        except Exception as exc:
            pipeline.forget_start(action.event_id)
            pipeline.reject("unconvertible", "an action could not be turned into an outcome: %r", exc)
            return None
        sampled = trace_id is not None and action.span_context.trace_flags.sampled
        event = priced_own(event, pipeline.outcomes.rules.price)
        return pipeline.accept(event, action.partition_key, sampled)


def _own_ids(action: Action) -> tuple[str | None, str | None]:
    """Return trace and span id where they are the action's own: without an SDK they are those around it, or none."""
    context = action.span_context
    trace_id = f"{context.trace_id:032x}"
    if context.is_valid and action.event_id.startswith(trace_id):
        return trace_id, f"{context.span_id:016x}"
    return None, None


def _last_error(events: Sequence[SpanEvent]) -> tuple[SpanError | None, int]:
    for event in reversed(events):
        if event.name == semconv.EXCEPTION_EVENT:
            get = event.attributes.get
            texts = (get(semconv.EXCEPTION_TYPE), get(semconv.EXCEPTION_MESSAGE), get(semconv.EXCEPTION_STACKTRACE))
            return SpanError(*(text if isinstance(text, str) else None for text in texts)), event.at_ns
    return None, 0


def _error_of(action: Action) -> SpanError | None:
    return None if action.error is None else SpanError(*action.error)


def _in_flight() -> SpanError | None:
    """Describe the exception that is passing through, and keep none of it: it holds the frames of the program."""
    exc = sys.exc_info()[1]
    if exc is None or isinstance(exc, (StopIteration, StopAsyncIteration)):
        return None
    return SpanError(*describe(exc, Problems()))


_NOTHING: Mapping[str, Any] = MappingProxyType({})
