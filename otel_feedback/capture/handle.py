"""The handle of one action that is under way: from the start of its span to the event that came of it.

    said by the agent ──► Action ──► OutcomeEvent, made once ──► whoever records it
                            └──────► Told ──► its span, when somebody reads that

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
from otel_feedback.capture.ending import Ending
from otel_feedback.capture.facts import Facts
from otel_feedback.capture.runtime import Recorder, Runtime, count_unrecorded, runtime
from otel_feedback.capture.said import usage_lock
from otel_feedback.capture.told import Told
from otel_feedback.events.model import OutcomeEvent, OutcomeStatus, Severity, new_event_id
from otel_feedback.events.started import StartedAction
from otel_feedback.redaction.scrubbing import scrub
from otel_feedback.sdk.current_context import make_current
from otel_feedback.sdk.spans import LazySpan, start

__all__ = ["ACTION_KEY", "IDENTITY_KEY", "Action", "open_actions"]

logger = logging.getLogger(__name__)

ACTION_KEY = context_api.create_key("otel_feedback.action")
"""Where the OpenTelemetry context holds the innermost open action, beside its span."""

IDENTITY_KEY = context_api.create_key("otel_feedback.identity")
"""Where the context holds the identifiers that came from another process."""

open_actions: dict[int, Action] = {}
"""Span id to the action that is open or just ending: how a processor finds the action of a span, and what is above one."""

MOST_OPEN = 10_000
"""Open actions that are found below by others' spans. Beyond that the oldest are not: they may be open for ever."""


class Action(Facts):
    """An action that is under way; the handle that `with action(…) as act` gives.

    After the end, `event` is the finished outcome and every method is a no-op that logs once.
    """

    __slots__ = (
        "_around",
        "_context",
        "_requested_ns",
        "_span",
        "_told",
        "event",
        "outcome",
        "partition_key",
        "recorder",
        "started",
        "takers",
    )

    event: OutcomeEvent | None
    """The finished outcome, after the end; None before, and where everything is switched off."""

    def __init__(self, declared: Declaration) -> None:
        now = runtime()
        super().__init__(now.redaction)
        self.event = None
        self.outcome: OutcomeEvent | None = None  # while it is ending: what is to be recorded
        self.takers: tuple[object, ...] = ()  # who has recorded it
        self._requested_ns: int | None = None  # when it was asked for, where that was before its start
        try:
            if now.enabled:
                self._begin(declared, now)
                return
        except Exception:
            logger.error("an action could not be started; the program goes on without it\n%s", scrub(format_exc()))
        self._ended = True
        self.event_id = new_event_id()

    # -- the start -----------------------------------------------------------------------------------------

    def _begin(self, declared: Declaration, now: Runtime) -> None:
        if declared.redaction is not now.redaction:
            declared = declared.under(now.redaction)
        self._declared = declared
        context = context_api.get_current()
        parent = self._parent = cast("Action | None", context.get(ACTION_KEY))
        identity, tags = declared.identity, declared.tags
        attributes = declared.own.copy()
        if parent is None:
            self.depth = 0
            foreign = cast("dict[str, Any] | None", context.get(IDENTITY_KEY))
            if foreign:
                identity = {**foreign, **identity}
        else:
            inherited = parent._identity
            identity = {**inherited, **identity} if identity else inherited
            if tags is None:
                tags = parent._tags
            attributes[semconv.OUTCOME_PARENT_EVENT_ID] = parent.event_id
            self.root_event_id = attributes[semconv.OUTCOME_ROOT_EVENT_ID] = parent.root_event_id
            self.depth = attributes[semconv.OUTCOME_DEPTH] = parent.depth + 1
        if identity:
            attributes.update(identity)
        if tags:
            attributes[semconv.OUTCOME_TAGS] = self._tags = tags
        self._identity = identity
        self.started: Mapping[str, Any] = attributes  # the attributes that it began with
        self._metadata = declared.metadata
        if declared.problems is not None:
            self._problems = declared.problems.copy()

        self.start_ns = self.end_ns = time.time_ns()
        span = self._start_span(declared.span_name, context, attributes, now)
        ids = self.span_context
        # without an SDK the "new" span is the one around it, or none
        if ids.is_valid and (parent is None or ids is not parent.span_context):
            self.event_id = f"{ids.trace_id:032x}-{ids.span_id:016x}"
        else:
            self.event_id = new_event_id()
        if parent is None:
            self.root_event_id = self.event_id
            default_key = self.event_id[:32]
        else:
            default_key = parent.partition_key
            if not parent._is_summed:
                with usage_lock():
                    if parent._open_below is None:
                        parent._open_below = {}
                    parent._open_below[self.event_id] = self
        self.partition_key: str = identity.get(semconv.OUTCOME_RUN_ID, default_key) if identity else default_key

        self._around: Context | None = context
        open_actions[ids.span_id] = self
        if len(open_actions) > MOST_OPEN:
            open_actions.pop(next(iter(open_actions)), None)
        if isinstance(span, LazySpan):
            span.announce(context)
        recorder = now.recorder
        if recorder is not None:
            self._tell_start(recorder, ids)
        self._context: Context | None = context_api.set_value(
            ACTION_KEY, self, trace.set_span_in_context(span, context)
        )
        make_current(self._context)
        self._thread = threading.get_ident()
        self._cpu_start_ns = time.thread_time_ns()
        self._mono_start_ns = time.perf_counter_ns()

    def _start_span(self, name: str, context: Context, attributes: Mapping[str, Any], now: Runtime) -> trace.Span:
        if now.direct is None:
            span = now.tracer.start_span(name, context, attributes=attributes, start_time=self.start_ns)
            self.in_tree = True  # it was seen to start as others' spans are
        else:
            span = start(now.direct, name, context, attributes, self.start_ns)
        self._span = span
        self._resource = getattr(span, "resource", None)
        self.span_context = span.get_span_context()
        return span

    def _tell_start(self, recorder: Recorder, ids: trace.SpanContext) -> None:
        is_sampled = ids.trace_flags.sampled
        if recorder.notes_starts:
            recorder.note_start(
                StartedAction(self.event_id, self.start_ns, self.partition_key, self.started, is_sampled)
            )
        wanted = self._declared.emit_pending
        if recorder.emits_pending if wanted is None else wanted:
            pending = self._event(_PENDING, self._metadata, recorder, None)
            recorder.record(pending, self.partition_key, sampled=is_sampled, sampled_out=False)

    def _note_retry(self, attempt: int, error: BaseException, wait_s: float) -> None:
        """Note on the span that an attempt failed and another one follows."""
        if not self._ended and self._span.is_recording():
            attributes = {semconv.OUTCOME_ATTEMPT: attempt, semconv.ERROR_TYPE: type(error).__name__}
            self._span.add_event(semconv.RETRY_EVENT, {**attributes, "outcome.retry_in_s": wait_s})

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
        except Exception as defect:
            logger.error("an action could not be ended; its outcome is lost\n%s", scrub(format_exc()))
            recorder = runtime().recorder
            if recorder is not None and self.event is None:
                recorder.lose(self.event_id, defect)
        finally:
            open_actions.pop(self.span_context.span_id, None)
            if self._around is not None and self._is_here():
                make_current(self._around)
            # the context holds this action: without the cycle it is freed at once, not by the garbage collector
            self._context = self._around = self._open_below = self.outcome = None

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
        end_ns = self.end_ns = self.start_ns + elapsed_ns
        if self._requested_ns is not None:
            latency_ms = (elapsed_ns + self._mono_start_ns - self._requested_ns) / 1e6
            self._noted = {**(self._noted or {}), semconv.OUTCOME_LATENCY_MS: latency_ms}
        ending, reason = self._judge(exc, elapsed_ns)
        metadata = self._final_metadata(reason)
        recorder = self.recorder = runtime().recorder
        priced = self._price(recorder)
        self._sum_up()
        event = self.outcome = self._event(ending, metadata, recorder, end_ns, priced)
        told = self._told = Told(
            self.started, event, self._usage, None if metadata is self._declared.metadata else metadata, self.error, reason,
            self._noted, exc is not None, time.time_ns(),
        )  # fmt: skip
        span, ids = self._span, self.span_context
        if isinstance(span, LazySpan):
            open_actions[ids.span_id] = self
            span.finish(told, end_ns)
        elif span.is_recording():
            open_actions[ids.span_id] = self
            told.tell(span)  # type: ignore[arg-type] # it has what is asked of it, whoever made it
            span.end(end_ns)
        if not self.takers:
            if recorder is None:
                count_unrecorded()
            else:
                self.event = recorder.record(
                    event, self.partition_key, sampled=event.trace_id is not None and ids.trace_flags.sampled,
                    sampled_out=ids.is_valid and isinstance(span, trace.NonRecordingSpan),
                )  # fmt: skip

    # -- for who records it --------------------------------------------------------------------------------

    @property
    def is_touched(self) -> bool:
        """Whether others may have set attributes on its span, which then count, too."""
        span = self._span
        return not isinstance(span, LazySpan) or span.is_whole

    @property
    def above_id(self) -> int:
        """The id of the span above in this process and trace; 0 where there is none."""
        parent = self._span.parent if isinstance(self._span, LazySpan) else None
        return 0 if parent is None or parent.is_remote else parent.span_id

    @property
    def is_below_others(self) -> bool:
        """Whether a span that is not an action's, of this process, is right above it or above the actions above it."""
        above = self._parent
        parent = self._span.parent if isinstance(self._span, LazySpan) else None
        if parent is None or parent.is_remote:
            return False
        return above is None or above.has_place or parent is not above.span_context

    def attributes(self) -> dict[str, Any]:
        """Return all attributes that the action itself says on its span, while it is ending."""
        return {**self.started, **self._told.attributes()}

    def outcome_for(self, recorder: Recorder) -> OutcomeEvent | None:
        """Return the event as it is to be recorded by this one; None while the action is under way."""
        event = self.outcome
        if event is None or recorder is self.recorder:
            return event
        assert self.ending is not None
        metadata = self._metadata if self._told.metadata is None else self._told.metadata
        return self._event(self.ending, metadata, recorder, self.end_ns, self._price(recorder))


_PENDING = Ending(OutcomeStatus.PENDING, Severity.WARNING)
