"""The handle of one action that is under way: from the start of its span to the event that came of it.

    said by the agent ──► Action ──► Told ──► whoever records it, and makes its event
                                       └────► its span, when somebody reads that

Threads: a handle may be used from several threads; it ends once. Guarantee: nothing here raises into the caller's
code, and the caller's exception passes through unchanged.
"""

from __future__ import annotations

import os
from copy import copy
from threading import get_ident
from time import perf_counter_ns, thread_time_ns, time_ns
from traceback import format_exc
from typing import Any

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import Context

from otel_feedback import semconv
from otel_feedback.capture.declaration import Declaration
from otel_feedback.capture.ending import SUCCESS, Ending
from otel_feedback.capture.facts import NOTHING, Facts
from otel_feedback.capture.runtime import Recorder, Runtime, count_unrecorded, in_force
from otel_feedback.capture.said import usage_lock
from otel_feedback.capture.told import Told
from otel_feedback.events.ended import Failure
from otel_feedback.events.model import OutcomeEvent, OutcomeStatus, Severity, new_event_id
from otel_feedback.events.started import StartedAction
from otel_feedback.logger import get_logger
from otel_feedback.redaction.scrubbing import scrub
from otel_feedback.sdk.compat.contexts import SPAN_KEY, Ids, ids_of
from otel_feedback.sdk.current_context import get_current, make_current
from otel_feedback.sdk.spans import LazySpan, start

__all__ = ["ACTION_KEY", "IDENTITY_KEY", "Action", "open_actions"]

logger = get_logger(__name__)

ACTION_KEY = context_api.create_key("otel_feedback.action")
"""Where the OpenTelemetry context holds the innermost open action, beside its span."""

IDENTITY_KEY = context_api.create_key("otel_feedback.identity")
"""Where the context holds the identifiers that came from another process."""

open_actions: dict[Ids, Action] = {}
"""Trace and span id to the action that is open or just ending: how a processor finds the action of a span, and what is above one."""

_PARENT = ("the parent",)


def _leave_to_parent() -> None:
    """In a forked child: what is open is the parent's to end. As the child unwinds it may end it, too, and then records nothing."""
    for action in list(open_actions.values()):
        action.leave_to_parent()
    open_actions.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)

MOST_OPEN = 10_000
"""Open actions that are found below by others' spans. Beyond that the oldest are not: they may be open for ever."""


class Action(Facts):
    """An action that is under way; the handle that `with action(…) as act` gives.

    After the end, `event` is the finished outcome and every method is a no-op that logs once.
    """

    recorded: Told | OutcomeEvent | None = None  # what was: the event, or what it is made of
    takers: tuple[object, ...] = ()  # who has recorded it
    recorder: Recorder | None = None
    _requested_ns: int | None = None  # when it was asked for, where that was before its start
    _context: Context | None = None
    told: Told | None = None
    """From its end on: what is to be recorded."""

    @property
    def event(self) -> OutcomeEvent | None:
        """The finished outcome, after the end; None before, and where everything is switched off."""
        return self.recorded.event() if isinstance(self.recorded, Told) else self.recorded

    # -- the start -----------------------------------------------------------------------------------------

    @classmethod
    def begin(cls, declared: Declaration) -> Action:
        """Start an action. Never raises."""
        now = in_force.now
        if not now.enabled:
            return cls._switched_off(now)
        try:  # around all of it: a method of its own would be one more call for each action
            redaction = now.redaction
            if declared.redaction is not redaction:
                declared = declared.under(redaction)
            context = get_current()
            parent: Action | None = context.get(ACTION_KEY)  # type: ignore[assignment] # nobody else has the key
            identity, tags = declared.identity, declared.tags
            attributes, metadata = declared.own.copy(), declared.metadata or NOTHING
            for name, value in metadata.items():
                attributes[semconv.OUTCOME_METADATA_PREFIX + name] = value
            depth = 0
            if parent is None:
                foreign: dict[str, Any] | None = context.get(IDENTITY_KEY)  # type: ignore[assignment]
                if foreign:
                    identity = {**foreign, **identity} if identity else foreign
            else:
                inherited = parent._identity
                identity = {**inherited, **identity} if identity else inherited
                if tags is None:
                    tags = parent._tags
                attributes[semconv.OUTCOME_PARENT_EVENT_ID] = parent.event_id
                attributes[semconv.OUTCOME_ROOT_EVENT_ID] = parent.root_event_id
                depth = attributes[semconv.OUTCOME_DEPTH] = parent.depth + 1
            if identity:
                attributes.update(identity)
            if tags:
                attributes[semconv.OUTCOME_TAGS] = tags
            problems = declared.problems
            if problems is not None:
                problems = problems.copy()

            now_ns, has_ids, in_tree = time_ns(), True, False
            direct = now.direct
            span = None if direct is None else start(direct, declared.span_name, context, attributes, now_ns)
            if span is None:
                span = now.tracer.start_span(declared.span_name, context, attributes=attributes, start_time=now_ns)
                in_tree = True  # it was seen to start as others' spans are
            lazy = span if isinstance(span, LazySpan) else None
            if lazy is not None:
                trace_id, span_id = ids = lazy.ids
                is_sampled, resource = lazy.is_sampled, lazy.resource
                # a third of what formatting takes
                event_id = (trace_id << 64 | span_id).to_bytes(24, "big").hex("-", -16)
            else:
                of_span = span.get_span_context()
                ids, is_sampled = ids_of(of_span), of_span.trace_flags.sampled
                resource = getattr(span, "resource", None)
                # without an SDK the "new" span is the one around it, or none
                has_ids = of_span.is_valid and (parent is None or of_span is not parent.span_context)
                event_id = f"{ids[0]:032x}-{ids[1]:016x}" if has_ids else new_event_id()
            root, key = (event_id, event_id[:32]) if parent is None else (parent.root_event_id, parent.partition_key)
            if identity:
                key = identity.get(semconv.OUTCOME_RUN_ID, key)
            # by position, in the order of its fields: by name it takes four times as long
            self = cls(
                redaction, False, problems, None, None, None, None, tags or (), metadata,
                event_id, ids, has_ids, is_sampled, depth, root, key, now_ns, attributes, in_tree, declared,
                identity or NOTHING, parent, resource, span, lazy, context, get_ident(),
            )  # fmt: skip
            if parent is not None and not parent._is_summed:
                with usage_lock():
                    if parent.open_below is None:
                        parent.open_below = {}
                    parent.open_below[event_id] = self
            open_actions[ids] = self
            if len(open_actions) > MOST_OPEN:
                open_actions.pop(next(iter(open_actions)), None)
            if lazy is not None:
                above = lazy.parent
                is_apart = above is None or (
                    parent is not None
                    and parent.lazy is not None
                    and above is parent.lazy.context
                    and not parent.has_place
                )
                lazy.announce(context, is_apart=is_apart)
            recorder = now.recorder
            if recorder is not None:
                if recorder.notes_starts:
                    recorder.note_start(StartedAction(event_id, now_ns, key, attributes, is_sampled))
                if recorder.emits_pending if declared.emit_pending is None else declared.emit_pending:
                    pending = self._left(_PENDING, metadata, recorder, None).event()
                    recorder.record(pending, key, sampled=is_sampled, sampled_out=False)
            inner = self._context = Context({**context, SPAN_KEY: span, ACTION_KEY: self})
            make_current(inner)
            self._cpu_start_ns = thread_time_ns()
            self._mono_start_ns = perf_counter_ns()
            return self
        except Exception:
            logger.error("an action could not be started; the program goes on without it\n%s", scrub(format_exc()))
            return cls._switched_off(now)

    @staticmethod
    def _switched_off(now: Runtime) -> Action:
        from otel_feedback.capture.switched_off import SwitchedOff

        return SwitchedOff.enter(now.redaction)

    def _note_retry(self, attempt: int, error: BaseException, wait_s: float) -> None:
        """Note on the span that an attempt failed and another one follows."""
        if not self._ended and self._span.is_recording():
            attributes = {semconv.OUTCOME_ATTEMPT: attempt, semconv.ERROR_TYPE: type(error).__name__}
            self._span.add_event(semconv.RETRY_EVENT, {**attributes, "outcome.retry_in_s": wait_s})

    def _suspend(self) -> None:
        """Leave the context while somebody else's code runs, between two items of a stream."""
        self._thread = -1  # the thread's CPU time is not the action's alone from now on
        if not self._ended and self._around is not None:
            self._context = get_current()  # with what its code has opened and will close later
            make_current(self._around)

    def _resume(self) -> None:
        """Come back to where its code was; what is current here is what it returns to."""
        if not self._ended and self._context is not None:
            self._around = get_current()
            make_current(self._context)

    # -- the end -------------------------------------------------------------------------------------------

    def _end(self, exc: BaseException | None) -> None:
        """End with the exception that left the action's code, or None. A second call does nothing."""
        if self._ended:
            return
        self._ended = True
        try:
            elapsed_ns = perf_counter_ns() - self._mono_start_ns
            # a wall clock that is set while the action runs must not change its duration
            end_ns = self.end_ns = self.start_ns + elapsed_ns
            declared = self._declared
            if self._requested_ns is not None:
                latency_ms = (elapsed_ns + self._mono_start_ns - self._requested_ns) / 1e6
                self._noted = {**(self._noted or {}), semconv.OUTCOME_LATENCY_MS: latency_ms}
            if exc is None and self._forced is None and declared.deadline_ns is None:
                ending, reason = SUCCESS, None
                self.ending = ending
            else:
                ending, reason = self._judge(exc, elapsed_ns)
            metadata = self._metadata
            if reason is not None:
                metadata = {**metadata, semconv.METADATA_STATUS_REASON: reason}
            if self._problems is not None:
                metadata = {**metadata, **self._problems.flags()}
            recorder = self.recorder = in_force.now.recorder
            usage = self._usage
            origin = None if usage is None or usage.said_cost is not None else self._price(usage, recorder)
            if self._parent is None and self.open_below is None:
                self._is_summed = True
            else:
                self._sum_up()
            error, lazy = self.error, self.lazy
            failure = None if error is None else Failure(*error, exc is not None, time_ns())
            told = self.told = self._left(ending, metadata, recorder, end_ns, origin, failure, reason)
            open_actions[self.ids] = self
            try:
                if lazy is None:
                    self._end_span(told, end_ns)
                else:
                    lazy.finish(told, end_ns)
            except Exception:  # of somebody else's processor: whatever it is, the outcome is ours to record
                logger.error("a span processor failed at the end of an action\n%s", scrub(format_exc()))
            if not self.takers:
                if recorder is None:
                    count_unrecorded()
                else:
                    self.recorded = recorder.record(
                        told.event(), self.partition_key, sampled=self.has_ids and self.is_sampled,
                        sampled_out=self.span_context.is_valid and isinstance(self._span, trace.NonRecordingSpan),
                    )  # fmt: skip
        except Exception as defect:
            logger.error("an action could not be ended; its outcome is lost\n%s", scrub(format_exc()))
            recorder = in_force.now.recorder
            if recorder is not None and self.recorded is None:
                recorder.lose(self.event_id, defect)
        finally:
            open_actions.pop(self.ids, None)
            around = self._around
            if around is not None and (get_current() is self._context or self._is_here()):
                make_current(around)
            # the context holds this action: without the cycle it is freed at once, not by the garbage collector
            self._context = self._around = None
            if self.open_below is not None:
                self.open_below = None

    def _is_here(self) -> bool:
        """Tell whether what is current is a context that was opened in this action's and not closed."""
        act: Facts | None = context_api.get_value(ACTION_KEY)  # type: ignore[assignment]
        while act is not None and act is not self:
            act = act._parent
        return act is self

    def _end_span(self, told: Told, end_ns: int) -> None:
        span = self._span
        if span.is_recording():
            told.tell(span)
            span.end(end_ns)

    def leave_to_parent(self) -> None:
        """In a forked child: have its end record nothing, and its span end for nobody."""
        self.takers, self._span, self.lazy = _PARENT, trace.NonRecordingSpan(self.span_context), None

    # -- for who records it --------------------------------------------------------------------------------

    @property
    def is_alone(self) -> bool:
        """Whether nobody but its agent had a say in it: its event is what it knows itself, as it was cleaned when said."""
        lazy = self.lazy
        return not (
            lazy is None or lazy.is_whole or self.in_tree or self.open_below
            or self.redaction is not in_force.now.redaction
        )  # fmt: skip

    @property
    def is_touched(self) -> bool:
        """Whether others may have set attributes on its span, which then count, too."""
        return self.lazy is None or self.lazy.is_whole

    @property
    def span_context(self) -> trace.SpanContext:
        """The context of its span."""
        return self._span.get_span_context()

    @property
    def above(self) -> Ids | None:
        """Trace and span id of the span above in this process; None where there is none."""
        parent = None if self.lazy is None else self.lazy.parent
        return None if parent is None or parent.is_remote else ids_of(parent)

    @property
    def is_below_others(self) -> bool:
        """Whether a span that is not an action's, of this process, is right above it or above the actions above it."""
        above = self._parent
        parent = None if self.lazy is None else self.lazy.parent
        if parent is None or parent.is_remote:
            return False
        return above is None or above.has_place or ids_of(parent) != above.ids

    def attributes(self) -> dict[str, Any]:
        """Return all attributes that the action itself says on its span, while it is ending."""
        assert self.told is not None
        return {**self.started, **self.told.attributes()}

    def outcome_for(self, recorder: Recorder) -> OutcomeEvent:
        """Return the event as it is to be recorded by this one, while the action is ending."""
        told = self.told
        assert told is not None
        assert self.ending is not None
        usage = self._usage = copy(self._usage)  # the other one's has its price
        metadata = told.metadata or self._metadata
        origin = None if usage is None or usage.said_cost is not None else self._price(usage, recorder)
        return self._left(self.ending, metadata, recorder, self.end_ns, origin, told.failure, told.reason).event()


_PENDING = Ending(OutcomeStatus.PENDING, Severity.WARNING)
