"""The handle of one action that is under way: from the start of its span to the event that came of it.

Threads: a handle may be used from several threads; it ends once. Guarantee: nothing here raises into the caller's
code, and the caller's exception passes through unchanged.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from traceback import format_exc
from typing import Any, cast

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import Context

from otel_feedback import semconv
from otel_feedback.capture.declaration import Declaration
from otel_feedback.capture.ending import SUCCESS, Ending, ErrorInfo, judge
from otel_feedback.capture.resources import resident_memory
from otel_feedback.capture.runtime import count_unrecorded, runtime
from otel_feedback.capture.said import Said, usage_lock
from otel_feedback.capture.span_end import tell_end
from otel_feedback.capture.usage import Usage
from otel_feedback.events.model import OutcomeEvent, OutcomeStatus, Severity, new_event_id
from otel_feedback.redaction.limits import MAX_ITEMS
from otel_feedback.redaction.redaction import Redaction
from otel_feedback.redaction.scrubbing import scrub
from otel_feedback.sdk.current_context import make_current

__all__ = ["ACTION_KEY", "IDENTITY_KEY", "Action", "ending_actions"]

logger = logging.getLogger(__name__)

ACTION_KEY = context_api.create_key("otel_feedback.action")
"""Where the OpenTelemetry context holds the innermost open action, beside its span."""

IDENTITY_KEY = context_api.create_key("otel_feedback.identity")
"""Where the context holds the identifiers that came from another process."""


ending_actions: dict[int, Action] = {}
"""Span id to the action that is ending just now: the slot through which a processor gives back the event."""


class Action(Said):
    """An action that is under way; the handle that `with action(…) as act` gives.

    After the end, `event` is the finished outcome and every method is a no-op that logs once.
    """

    __slots__ = (
        "_around", "_context", "_cpu_start_ns", "_deadline_ns", "_identity", "_mono_start_ns", "_parent", "_recording",
        "_requested_ns", "_span",
        "_thread",
        "attributes", "depth", "end_ns", "ending", "error", "event", "event_id", "is_taken", "partition_key", "root_event_id",
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
        self.ending: Ending | None = None  # after the end, also where nobody makes an event of it
        self.error: ErrorInfo | None = None
        self._requested_ns: int | None = None  # when it was asked for, where that was before its start
        try:
            now = runtime()
            if now.enabled:
                self._begin(declared, now.tracer, now.redaction)
                recorder = now.recorder
                if recorder is not None:
                    if recorder.notes_starts:
                        recorder.note_start(self)
                    if recorder.emits_pending if declared.emit_pending is None else declared.emit_pending:
                        recorder.emit_pending(self)
                return
        except Exception:
            logger.error("an action could not be started; the program goes on without it\n%s", scrub(format_exc()))
        self._ended = True
        self.event_id = new_event_id()

    # -- the start -----------------------------------------------------------------------------------------

    def _begin(self, declared: Declaration, tracer: trace.Tracer, redaction: Redaction) -> None:
        context = context_api.get_current()
        parent = self._parent = cast("Action | None", context.get(ACTION_KEY))
        identity, tags = declared.identity, declared.tags
        self.attributes = attributes = declared.own.copy()
        self.depth = 0
        if parent is None:
            foreign = cast("dict[str, Any] | None", context.get(IDENTITY_KEY))
            if foreign:
                identity = {**foreign, **identity}
        else:
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
        # before anybody sees them: the span, the journal, the event
        attributes = self.attributes = redaction.attributes(attributes)
        span = self._span = tracer.start_span(
            redaction.text(declared.span_name), context, attributes=attributes, start_time=self.start_ns
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

        self._around: Context | None = context
        self._context: Context | None = context_api.set_value(
            ACTION_KEY, self, trace.set_span_in_context(span, context)
        )
        make_current(self._context)
        self._thread = threading.get_ident()
        self._cpu_start_ns = time.thread_time_ns()
        self._mono_start_ns = time.perf_counter_ns()

    def _note_retry(self, attempt: int, error: BaseException, wait_s: float) -> None:
        """Note on the span that an attempt failed and another one follows."""
        if not self._ended and self._recording:
            attributes = {semconv.OUTCOME_ATTEMPT: attempt, semconv.ERROR_TYPE: type(error).__name__}
            self._span.add_event(semconv.RETRY_EVENT, {**attributes, "outcome.retry_in_s": wait_s})

    def _note(self, attributes: Mapping[str, Any]) -> None:
        """Set attributes that whoever drives the action knows better, such as the duration of its last attempt."""
        if not self._ended:
            attributes = runtime().redaction.attributes(dict(attributes), self.attributes)
            self.attributes.update(attributes)
            if self._recording:
                self._span.set_attributes(attributes)

    @property
    def identity(self) -> Mapping[str, Any]:
        """The identifiers that actions below inherit, by attribute."""
        return self._identity

    def _suspend(self) -> None:
        """Leave the context while somebody else's code runs, between two items of a stream."""
        self._thread = -1  # the thread's CPU time is not the action's alone from now on
        if not self._ended and self._around is not None:
            self._context = context_api.get_current()  # with what its code has opened and will close later
            make_current(self._around)

    def _resume(self) -> None:
        """Come back to where its code was; what is current here is what it returns to."""
        if not self._ended and self._context is not None:
            self._around = context_api.get_current()
            make_current(self._context)

    # -- the end -------------------------------------------------------------------------------------------

    def _end(self, exc: BaseException | None) -> None:
        """End with the exception that left the action's code, or None. A second call does nothing."""
        if self._ended:
            return
        self._ended = True
        try:
            self._finish(exc)
        except Exception:
            logger.error("an action could not be ended; its outcome is lost\n%s", scrub(format_exc()))
        finally:
            if self._around is not None and self._is_here():
                make_current(self._around)
            # the context holds this action: without the cycle it is freed at once, not by the garbage collector
            self._context = self._around = None

    def _is_here(self) -> bool:
        """Tell whether what is current is this action's context, or one that was opened in it and not closed."""
        current = context_api.get_current()
        if current is self._context:
            return True
        act = cast("Action | None", current.get(ACTION_KEY))
        while act is not None and act is not self:
            act = act._parent
        return act is self

    def _finish(self, exc: BaseException | None) -> None:
        elapsed_ns = time.perf_counter_ns() - self._mono_start_ns
        # a wall clock that is set while the action runs must not change its duration
        self.end_ns = self.start_ns + elapsed_ns
        ending, reason = self._judge(exc, elapsed_ns)
        redaction = runtime().redaction
        final = redaction.attributes(self._final_attributes(ending, reason), self.attributes)
        if reason is not None:
            reason = redaction.text(reason)
        if self.error is not None:
            self.error = self._redacted_error(redaction, self.error, final)
        if self._requested_ns is not None:
            final[semconv.OUTCOME_LATENCY_MS] = (elapsed_ns + self._mono_start_ns - self._requested_ns) / 1e6
        self.attributes.update(final)
        span = self._span
        if self._recording:
            tell_end(span, final, ending, self.error, reason, escaped=exc is not None)
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

    def _redacted_error(self, redaction: Redaction, error: ErrorInfo, final: dict[str, Any]) -> ErrorInfo:
        """Return what is told of the error without secrets, and name in `final` where there were some."""
        stack = error.stack_trace
        clean = ErrorInfo(
            redaction.text(error.type), redaction.text(error.message), None if stack is None else redaction.text(stack)
        )
        if clean != error:
            fields = ("error_type", "error_message", "stack_trace")
            told = [field for field, one, other in zip(fields, clean, error, strict=True) if one != other]
            flag = semconv.OUTCOME_METADATA_PREFIX + semconv.METADATA_REDACTED
            known = final.get(flag, self.attributes.get(flag, ()))
            final[flag] = list(dict.fromkeys((*known, *told)))
        return clean

    def _judge(self, exc: BaseException | None, elapsed_ns: int) -> tuple[Ending, str | None]:
        deadline_ns = self._deadline_ns
        forced = self._forced
        ending, error, reason = (SUCCESS, None, None) if forced is None else forced
        if exc is not None or (deadline_ns is not None and elapsed_ns >= deadline_ns):
            found, raised, told = judge(
                exc, self._notes(), is_root=self.depth == 0, elapsed_ns=elapsed_ns,
                deadline_ns=None if forced is not None else deadline_ns,
            )  # fmt: skip
            if forced is None:
                ending = found
            if error is None:
                error = raised
            if told:
                self._metadata = {**self._metadata, **told}
        self.ending, self.error = ending, error
        return ending, reason

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
