"""The handle of one action that is under way: from the start of its span to the event that came of it.

Threads: a handle may be used from several threads; it ends once. Guarantee: nothing here raises into the caller's
code, and the caller's exception passes through unchanged.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, cast

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode

from otel_feedback import semconv
from otel_feedback.capture.declaration import Declaration
from otel_feedback.capture.ending import Ending, ErrorInfo, describe, ending_of
from otel_feedback.capture.resources import resident_memory
from otel_feedback.capture.runtime import count_unrecorded, runtime
from otel_feedback.capture.said import Said, usage_lock
from otel_feedback.capture.usage import Usage
from otel_feedback.events.limits import MAX_ITEMS, MAX_TEXT
from otel_feedback.events.model import SEVERITY_OF, OutcomeEvent, OutcomeStatus, Severity, new_event_id

__all__ = ["ACTION_KEY", "Action", "ending_actions"]

logger = logging.getLogger(__name__)

ACTION_KEY = context_api.create_key("otel_feedback.action")
"""Where the OpenTelemetry context holds the innermost open action, beside its span."""


ending_actions: dict[int, Action] = {}
"""Span id to the action that is ending just now: the slot through which a processor gives back the event."""


class Action(Said):
    """An action that is under way; the handle that `with action(…) as act` gives.

    After the end, `event` is the finished outcome and every method is a no-op that logs once.
    """

    __slots__ = (
        "_context", "_cpu_start_ns", "_deadline_ns", "_identity", "_mono_start_ns", "_parent", "_recording", "_span",
        "_thread", "_token",
        "attributes", "depth", "end_ns", "error", "event", "event_id", "is_taken", "partition_key", "root_event_id",
        "span_context", "start_ns",
    )  # fmt: skip

    event_id: str
    """32 hex digits of the trace id and 16 of the span id; random where no SDK gives ids."""
    event: OutcomeEvent | None
    """The finished outcome, after the end; None before, and where everything is switched off."""

    def __init__(self, declared: Declaration) -> None:
        super().__init__()
        self.event = None
        self.is_taken = False  # True when a processor has seen the span: nobody else may record it again
        self.error: ErrorInfo | None = None
        self._token = None
        try:
            now = runtime()
            if now.enabled:
                self._begin(declared, now.tracer)
                recorder = now.recorder
                if recorder is not None and recorder.notes_starts:
                    recorder.note_start(self)
                return
        except Exception:
            logger.exception("an action could not be started; the program goes on without it")
        self._ended = True
        self.event_id = new_event_id()

    # -- the start -----------------------------------------------------------------------------------------

    def _begin(self, declared: Declaration, tracer: trace.Tracer) -> None:
        context = context_api.get_current()
        parent = self._parent = cast("Action | None", context.get(ACTION_KEY))
        identity, tags = declared.identity, declared.tags
        self.attributes = attributes = declared.own.copy()
        self.depth = 0
        if parent is not None:
            inherited = parent._identity
            identity = {**inherited, **identity} if identity else inherited
            if tags is None:
                tags = parent._tags
            self.depth = parent.depth + 1
            attributes[semconv.OUTCOME_PARENT_EVENT_ID] = parent.event_id
            attributes[semconv.OUTCOME_ROOT_EVENT_ID] = parent.root_event_id
            attributes[semconv.OUTCOME_DEPTH] = self.depth
        if identity:
            attributes.update(identity)
        if tags:
            attributes[semconv.OUTCOME_TAGS] = tags
        self._identity = identity
        self._tags = tags or ()
        self._metadata = self._declared_metadata = declared.metadata
        self._deadline_ns = declared.deadline_ns
        if declared.problems is not None:
            self._problems = declared.problems.copy()

        self.start_ns = self.end_ns = time.time_ns()
        span = self._span = tracer.start_span(
            declared.span_name, context, attributes=attributes, start_time=self.start_ns
        )
        self._recording = span.is_recording()
        ids = self.span_context = span.get_span_context()
        # without an SDK the "new" span is the one around it, or none
        if ids.is_valid and (parent is None or ids is not parent.span_context):
            self.event_id = f"{ids.trace_id:032x}-{ids.span_id:016x}"
        else:
            self.event_id = new_event_id()
        if parent is None:
            self.root_event_id = self.event_id
            default_key = self.event_id[:32]
        else:
            self.root_event_id = parent.root_event_id
            default_key = parent.partition_key
        self.partition_key: str = identity.get(semconv.OUTCOME_RUN_ID, default_key)

        self._context = context_api.set_value(ACTION_KEY, self, trace.set_span_in_context(span, context))
        self._token = context_api.attach(self._context)
        self._thread = threading.get_ident()
        self._cpu_start_ns = time.thread_time_ns()
        self._mono_start_ns = time.perf_counter_ns()

    # -- the end -------------------------------------------------------------------------------------------

    def _end(self, exc: BaseException | None) -> None:
        if self._ended:
            return
        self._ended = True
        try:
            self._finish(exc)
        except Exception:
            logger.exception("an action could not be ended; its outcome is lost")
        finally:
            # detaching in another context than the one we attached to would be logged as an error by the API
            if self._token is not None and context_api.get_current() is self._context:
                context_api.detach(self._token)
            # the context holds this action: without the cycle it is freed at once, not by the garbage collector
            self._context = self._token = None

    def _finish(self, exc: BaseException | None) -> None:
        elapsed_ns = time.perf_counter_ns() - self._mono_start_ns
        # a wall clock that is set while the action runs must not change its duration
        self.end_ns = self.start_ns + elapsed_ns
        ending, reason = self._judge(exc, elapsed_ns)
        final = self._final_attributes(ending, reason)
        self.attributes.update(final)
        span = self._span
        if self._recording:
            span.set_attributes(final)
            error = self.error
            if error is not None:
                span.add_event(semconv.EXCEPTION_EVENT, _exception_attributes(error, escaped=exc is not None))
                if ending.status is not OutcomeStatus.PARTIAL:
                    span.set_status(Status(StatusCode.ERROR, f"{error.type}: {error.message}"[:MAX_TEXT]))
            elif ending.status in _ERROR_STATUSES:
                span.set_status(Status(StatusCode.ERROR, reason or ending.status.value))
            span_id = self.span_context.span_id
            ending_actions[span_id] = self
            try:
                span.end(self.end_ns)
            finally:
                ending_actions.pop(span_id, None)
        if not self.is_taken:
            recorder = runtime().recorder
            if recorder is None:
                count_unrecorded()
            else:
                sampled_out = self.span_context.is_valid and not self._recording
                self.event = recorder.record_action(self, sampled_out=sampled_out)

    def _judge(self, exc: BaseException | None, elapsed_ns: int) -> tuple[Ending, str | None]:
        forced = self._forced
        if forced is not None:
            ending, self.error, reason = forced
            if self.error is None and exc is not None:
                self.error = describe(exc, self._notes())
            return ending, reason
        ending = ending_of(exc)
        if exc is not None and ending.status is not OutcomeStatus.SUCCESS:
            self.error = describe(exc, self._notes())
        if self._deadline_ns is not None and elapsed_ns >= self._deadline_ns and _may_be_late(ending.status, exc):
            ending = Ending(OutcomeStatus.TIMEOUT, SEVERITY_OF[OutcomeStatus.TIMEOUT])
            message = f"took longer than timeout_s={self._deadline_ns / 1e9:g}"
            self.error = ErrorInfo("TimeoutError", message, self.error.stack_trace if self.error else None)
        return ending, None

    def _final_attributes(self, ending: Ending, reason: str | None) -> dict[str, Any]:
        status, severity = ending
        final: dict[str, Any] = {
            semconv.OUTCOME_STATUS: _WORD[status],
            semconv.OUTCOME_SEVERITY: _WORD[severity],
        }
        if self._thread == threading.get_ident():
            final[semconv.OUTCOME_CPU_TIME_MS] = (time.thread_time_ns() - self._cpu_start_ns) / 1e6
        memory_mb = resident_memory.megabytes()
        if memory_mb is not None:
            final[semconv.OUTCOME_MEMORY_USED_MB] = memory_mb
        if self._usage is not None:
            self._put_usage(final, self._usage)
        if self._scores is not None:
            quality, confidence = self._scores
            if quality is not None:
                final[semconv.OUTCOME_QUALITY_SCORE] = quality
            if confidence is not None:
                final[semconv.OUTCOME_CONFIDENCE_SCORE] = confidence
        if self.error is not None:
            final[semconv.ERROR_TYPE] = self.error.type
        started = self.attributes
        if self._tags and started.get(semconv.OUTCOME_TAGS) is not self._tags:
            final[semconv.OUTCOME_TAGS] = self._tags
        prefix = semconv.OUTCOME_METADATA_PREFIX
        if self._metadata is not self._declared_metadata:
            for key, value in self._metadata.items():
                if started.get(prefix + key) is not value:
                    final[prefix + key] = value
        if reason is not None:
            final[prefix + semconv.METADATA_STATUS_REASON] = reason
        problems = self._problems
        if problems is not None:
            if problems.truncated:
                final[prefix + semconv.METADATA_TRUNCATED] = list(dict.fromkeys(problems.truncated))[:MAX_ITEMS]
            if problems.invalid:
                final[prefix + semconv.METADATA_INVALID] = list(dict.fromkeys(problems.invalid))[:MAX_ITEMS]
        return final

    def _put_usage(self, final: dict[str, Any], usage: Usage) -> None:
        parent = self._parent
        with usage_lock():
            final.update(usage.attributes())
            if parent is not None and not parent._ended:
                if parent._usage is None:
                    parent._usage = Usage()
                parent._usage.absorb(usage)


# an enum's `.value` costs 0.14 µs
_WORD: dict[str, str] = {member: member.value for kind in (OutcomeStatus, Severity) for member in kind}
_ERROR_STATUSES = frozenset({OutcomeStatus.FAILURE, OutcomeStatus.TIMEOUT, OutcomeStatus.CANCELLED})


def _may_be_late(status: OutcomeStatus, exc: BaseException | None) -> bool:
    """Tell whether a passed deadline explains this ending: success too late, or a cancellation by the deadline."""
    return exc is None or (status is OutcomeStatus.CANCELLED and not isinstance(exc, KeyboardInterrupt))


def _exception_attributes(error: ErrorInfo, *, escaped: bool) -> dict[str, Any]:
    attributes = {
        semconv.EXCEPTION_TYPE: error.type,
        semconv.EXCEPTION_MESSAGE: error.message,
        semconv.EXCEPTION_ESCAPED: str(escaped),
    }
    if error.stack_trace is not None:
        attributes[semconv.EXCEPTION_STACKTRACE] = error.stack_trace
    return attributes
