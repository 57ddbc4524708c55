"""`OutcomeSpanProcessor`: turns each finished span that is an agent's action into an outcome event.

Input: spans of any TracerProvider, on the thread that ends them. Output: events in the pipeline; the action that
is ending gets its event back. Guarantee: never raises into the program, whatever a span carries.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from otel_feedback import semconv
from otel_feedback.capture.ending import describe
from otel_feedback.capture.handle import Action, open_actions
from otel_feedback.capture.runtime import SCOPE
from otel_feedback.capture.told import Told
from otel_feedback.convert.conventions.own import OwnConvention
from otel_feedback.convert.costs import priced_own
from otel_feedback.convert.span import FinishedSpan, Outline, SpanError, SpanEvent
from otel_feedback.convert.values import plain
from otel_feedback.events.model import OutcomeEvent
from otel_feedback.logger import get_logger
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from otel_feedback.redaction.limits import Problems
from otel_feedback.sdk.compat.contexts import flags_of, ids_of
from otel_feedback.sdk.compat.held import begun_of, ended_of
from otel_feedback.sdk.forks import HERE, begin_anew

__all__ = ["OutcomeSpanProcessor", "provide_default_pipeline"]

logger = get_logger(__name__)

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
        self.outcomes = pipeline.outcomes
        self._recorder = pipeline.recorder
        self._alone = (pipeline,)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Note where the span stands. What it is can only be told when it ends."""
        try:
            if not HERE[0]:
                begin_anew()
            if self.pipeline.closed:
                return
            context, parent, scope, start_ns, attributes = begun_of(span)
            ids = ids_of(context)
            if open_actions and (action := open_actions.get(ids)) is not None:
                if parent is not None and action.is_below_others:
                    self.outcomes.begin_own(action)
                return
            trace_id, span_id = ids
            parent_id = 0
            if parent is not None:
                above = ids_of(parent)
                if above[0] == trace_id:
                    parent_id = above[1]
            cause = sys.exc_info()[1]
            self.outcomes.begin(
                trace_id,
                span_id,
                parent_id,
                scope,
                start_ns or 0,
                span,
                attributes,
                0 if cause is None else _id_of(cause),
            )
        except Exception as exc:  # a defect of ours must not reach the program
            self.pipeline.reject("defect", "a span that started could not be followed: %r", exc)

    # an action that stands apart is below nobody else's span
    on_start.passes_over_apart = True  # type: ignore[attr-defined] # pyright: ignore[reportFunctionMemberAccess]

    def on_end(self, span: ReadableSpan) -> None:
        """Convert and record. A span of another kind is passed over."""
        pipeline = self.pipeline
        if pipeline.closed:
            self._count_late(span)
            return
        try:
            context = span.context
            if context is None:
                return
            # by its ids: what comes here may have been made anew of what the action's span said
            ids = ids_of(context)
            action = open_actions.get(ids) if open_actions else None
            if action is not None:
                # somebody else may end its span while it is under way, and two processors may be on one provider
                told, takers = action.told, action.takers
                if told is not None and pipeline not in takers:
                    action.takers = (pipeline, *takers) if takers else self._alone
                    if action.recorder is self._recorder and action.is_alone and not self.outcomes.keeps_recent:
                        action.recorded = pipeline.accept_ended(told, action.partition_key, action.is_sampled)
                    else:
                        action.recorded = self._take(action, told, span)
                return
            scope, start_ns, end_ns, attributes, events, status, description, name, resource = ended_of(span)
            # one of our own tracer's whose action is not known yet: it has been ended before it even began
            if scope == SCOPE or start_ns is None or end_ns is None:
                return
            cause, outcomes, is_sampled = sys.exc_info()[1], self.outcomes, flags_of(context) & 1 == 1
            finished, shape = None, outcomes.shape_of(attributes)
            if shape.is_marked:
                known, service_name = self._recorder.service
                if known is not resource:
                    service_name = self._recorder.service_name(resource)
                if (
                    cause is None
                    and not events
                    and status != "error"
                    and outcomes.put_off(
                        *ids,
                        is_sampled,
                        shape,
                        attributes,
                        Outline(start_ns, end_ns, name, scope, status, service_name),
                    )
                ):
                    return
                finished = FinishedSpan(
                    "", None, None, start_ns, end_ns, attributes.copy(),  # what is a user's may do with them what it likes
                    None, service_name, name, scope, status, description,
                )  # fmt: skip
                if cause is not None:
                    finished.in_flight = _in_flight()
                if events:
                    finished.events = tuple(
                        SpanEvent(one.name, one.timestamp, one.attributes or _NOTHING) for one in events
                    )
                    finished.error, finished.error_at_ns = _last_error(finished.events)
            outcomes.end(*ids, 0 if cause is None else _id_of(cause), is_sampled, finished)
        except Exception as exc:  # somebody else's span may carry anything
            pipeline.reject("unconvertible", "a span could not be turned into an outcome: %r", exc)

    def _take(self, action: Action, told: Told, span: ReadableSpan) -> OutcomeEvent | None:
        """Record the event of an action that is ending."""
        pipeline, recorder = self.pipeline, self._recorder
        event = told.event() if action.recorder is recorder else action.outcome_for(recorder)
        is_touched = action.is_touched
        if is_touched:
            event = self._with_what_others_said(action, event, span)
        if action.in_tree or action.open_below or self.outcomes.keeps_recent:
            return self.outcomes.end_own(action, event, action.is_sampled)
        self.outcomes.catch_up()
        return pipeline.accept(event, action.partition_key, action.is_sampled, True)

    def _with_what_others_said(self, action: Action, event: OutcomeEvent, span: ReadableSpan) -> OutcomeEvent:
        """Return the event with attributes that others have set on the action's span, where it does not say so itself."""
        said = action.attributes()
        # the SDK's limits on spans may have cut or dropped some; an event has limits of its own
        attributes = {**plain(span.attributes), **said}
        if attributes.keys() == said.keys():
            return event
        error = None if action.error is None else SpanError(*action.error)
        try:
            read = _own.to_event(
                FinishedSpan(
                    event.event_id, event.trace_id, event.span_id, action.start_ns, action.end_ns, attributes, error,
                    event.service_name,
                )
            )  # fmt: skip
        except Exception as exc:
            self.pipeline.reject("unreadable", "what others have set on an action's span cannot be read: %r", exc)
            return event
        read = priced_own(read, self.outcomes.rules.price)
        return msgspec.structs.replace(read, usage_complete=event.usage_complete)

    def _count_late(self, span: ReadableSpan) -> None:
        """Count a span that ends after `shutdown()`, where it may have been an action; our own are counted otherwise."""
        try:
            if self.pipeline.enabled:
                scope, _, _, attributes, *_ = ended_of(span)
                if scope != SCOPE and self.outcomes.shape_of(attributes).is_marked:
                    self.pipeline.reject("after_shutdown", "a span ended after shutdown() and is not recorded")
        except Exception as exc:  # somebody else's span may carry anything
            self.pipeline.reject("after_shutdown", "a span ended after shutdown() and is not recorded: %r", exc)

    def shutdown(self) -> None:
        self.pipeline.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self.pipeline.force_flush(timeout_millis / 1e3)


def _last_error(events: Sequence[SpanEvent]) -> tuple[SpanError | None, int]:
    for event in reversed(events):
        if event.name == semconv.EXCEPTION_EVENT:
            get = event.attributes.get
            texts = (get(semconv.EXCEPTION_TYPE), get(semconv.EXCEPTION_MESSAGE), get(semconv.EXCEPTION_STACKTRACE))
            return SpanError(*(text if isinstance(text, str) else None for text in texts)), event.at_ns
    return None, 0


def _id_of(exc: BaseException) -> int:
    """Tell an exception from others, without keeping it: from such as have its place in memory afterwards, too."""
    raised = exc.__traceback__
    while raised is not None and raised.tb_next is not None:
        raised = raised.tb_next
    where = None if raised is None else (raised.tb_frame.f_code, raised.tb_lasti)
    return hash((id(exc), exc.__class__, where)) or 1


def _in_flight() -> SpanError | None:
    """Describe the exception that is passing through, and keep none of it: it holds the frames of the program."""
    exc = sys.exc_info()[1]
    if exc is None or isinstance(exc, (StopIteration, StopAsyncIteration)):
        return None
    return SpanError(*describe(exc, Problems()))


_own = OwnConvention()
_NOTHING: Mapping[str, Any] = MappingProxyType({})
