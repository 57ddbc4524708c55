"""What an action knows of itself, and the event that is made of it: once, directly, and of nothing but this.

Everything in it was cleaned, limited and freed of secrets when it was said. Threads: usage is summed up under a lock that
all actions share; the rest belongs to whoever starts and ends the action.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import SpanContext

from otel_feedback import semconv
from otel_feedback.capture.declaration import Declaration
from otel_feedback.capture.ending import SUCCESS, Ending, ErrorInfo, judge
from otel_feedback.capture.resources import resident_memory
from otel_feedback.capture.runtime import Priced, Recorder
from otel_feedback.capture.said import Said, usage_lock
from otel_feedback.capture.usage import Usage
from otel_feedback.events.model import SCHEMA_VERSION, MetadataValue, OutcomeEvent

__all__ = ["Facts"]


class Facts(Said):
    """What is known of one action: by its declaration, by where it stands, and by what its agent said."""

    event_id: str
    """32 hex digits of the trace id and 16 of the span id; random where no SDK gives ids."""
    ending: Ending | None = None  # after the end, also where nobody makes an event of it
    error: ErrorInfo | None = None
    has_place = False  # True where others' spans above decide what is above it
    in_tree = False  # True where others' spans are around it, whose sums and places are to be kept
    span_context: SpanContext
    depth = 0
    root_event_id: str
    start_ns: int
    end_ns: int
    _declared: Declaration
    _identity: Mapping[str, Any]
    _parent: Facts | None
    _resource: Resource | None = None
    _noted: dict[str, Any] | None = None
    _open_below: dict[str, Facts] | None = None  # guarded by usage_lock() where it is changed
    _is_summed = False  # what is used below from now on comes too late for its event; guarded by usage_lock()
    _thread: int
    _cpu_start_ns: int
    _mono_start_ns: int

    @property
    def identity(self) -> Mapping[str, Any]:
        """The identifiers that actions below inherit, by attribute."""
        return self._identity

    @property
    def open_below(self) -> Sequence[Facts]:
        """The actions right below that were open when this one was summed up, or are now."""
        return () if self._open_below is None else tuple(self._open_below.values())

    @property
    def used_below(self) -> tuple[int | None, int | None, float | None] | None:
        """Model calls, tokens and cost of the actions below that have ended, those with a place in the tree left out."""
        below = None if self._usage is None else self._usage.below_alone
        return None if below is None else (below.calls, below.tokens, below.cost)

    @property
    def own_calls(self) -> int:
        """Model calls of the action itself."""
        return 0 if self._usage is None else self._usage.calls or 0

    def note(self, attributes: Mapping[str, Any]) -> None:
        """Take attributes that whoever drives the action knows better, such as the duration of its last attempt."""
        if not self._ended:
            self._noted = {**(self._noted or {}), **attributes}

    def _judge(self, exc: BaseException | None, elapsed_ns: int) -> tuple[Ending, str | None]:
        deadline_ns = self._declared.deadline_ns
        forced = self._forced
        ending, error, reason = (SUCCESS, None, None) if forced is None else forced
        if exc is not None or (deadline_ns is not None and elapsed_ns >= deadline_ns):
            found, raised, told = judge(
                exc, self._notes(), is_root=self.depth == 0, elapsed_ns=elapsed_ns,
                deadline_ns=None if forced is not None else deadline_ns,
            )  # fmt: skip
            if forced is None:
                ending = found
            if error is None and raised is not None:
                error = self._without_secrets(raised)
            if told:
                self._metadata = {**self._metadata, **told}
        self.ending, self.error = ending, error
        return ending, reason

    def _price(self, recorder: Recorder | None) -> Priced | None:
        """Return what the model calls cost, where nobody said so."""
        usage = self._usage
        if usage is None or usage.said_cost is not None or usage.model is None or recorder is None:
            return None
        priced = recorder.price(
            usage.model, usage.provider, usage.input, usage.output, usage.cached, usage.reasoning, self.end_ns
        )
        usage.priced = None if priced is None else priced.usd
        return priced

    def _sum_up(self) -> None:
        """Let the action above count what was used here, and take nothing more from below."""
        parent, usage = self._parent, self._usage
        with usage_lock():
            self._is_summed = True
            if parent is None:
                return
            siblings = parent._open_below
            if parent._is_summed:  # too late: the tree sees to it, if it is one of those that were open then
                self.in_tree = self.in_tree or (siblings is not None and self.event_id in siblings)
                return
            if siblings is not None:
                siblings.pop(self.event_id, None)
            if usage is not None:
                if parent._usage is None:
                    parent._usage = Usage()
                parent._usage.absorb(usage, is_alone=not self.in_tree)

    def _event(
        self,
        ending: Ending,
        metadata: Mapping[str, MetadataValue],
        recorder: Recorder | None,
        end_ns: int | None,
        priced: Priced | None = None,
    ) -> OutcomeEvent:
        """Make the event; one without an end is under way."""
        declared, noted, usage, error, ids = self._declared, self._noted, self._usage, self.error, self.span_context
        event_id, parent = self.event_id, self._parent
        trace_id, span_id = event_id[:32], event_id[33:]
        if not ids.is_valid or span_id != f"{ids.span_id:016x}":  # the context is that of the span around it, or none
            trace_id = span_id = None
        started = datetime.fromtimestamp(self.start_ns / 1e9, timezone.utc)
        ended = duration_ms = latency_ms = cpu_ms = memory_mb = attempt = None
        if end_ns is not None:
            ended = datetime.fromtimestamp(end_ns / 1e9, timezone.utc)
            duration_ms = latency_ms = (end_ns - self.start_ns) / 1e6
            if self._thread == threading.get_ident():
                cpu_ms = (time.thread_time_ns() - self._cpu_start_ns) / 1e6
            memory_mb = resident_memory.megabytes()
        if noted is not None:
            duration_ms = noted.get(semconv.OUTCOME_DURATION_MS, duration_ms)
            latency_ms = noted.get(semconv.OUTCOME_LATENCY_MS, duration_ms)
            cpu_ms = noted.get(semconv.OUTCOME_CPU_TIME_MS, cpu_ms)
            attempt = noted.get(semconv.OUTCOME_ATTEMPT)
        if priced is not None:
            source = {"price_source": priced.source}
            metadata = (
                {**metadata, **source}
                if priced.version is None
                else {**metadata, **source, "price_version": priced.version}
            )
        get = self._identity.get
        if usage is None:
            usage = _NO_USAGE
        total = usage if usage.below is None else usage.inclusive()
        return OutcomeEvent(
            schema_version=SCHEMA_VERSION, event_id=event_id, revision=1 if ended is not None else 0,
            timestamp=ended or started, action_type=declared.action_type, status=ending.status, severity=ending.severity,
            agent_name=declared.agent, agent_type=declared.agent_type,
            service_name=None if recorder is None else recorder.service_name(self._resource),
            run_id=get(semconv.OUTCOME_RUN_ID, trace_id), workflow_id=get(semconv.OUTCOME_WORKFLOW_ID),
            correlation_id=get(semconv.OUTCOME_CORRELATION_ID), session_id=get(semconv.GEN_AI_CONVERSATION_ID),
            user_id=get(semconv.USER_ID), tenant_id=get(semconv.OUTCOME_TENANT_ID), trace_id=trace_id, span_id=span_id,
            parent_event_id=None if parent is None else parent.event_id, root_event_id=self.root_event_id,
            depth=self.depth, attempt=attempt, start_time=started, end_time=ended, duration_ms=duration_ms,
            latency_ms=latency_ms, error_type=None if error is None else error.type.rpartition(".")[2],
            error_message=None if error is None else error.message or None,
            stack_trace=None if error is None else error.stack_trace, llm_latency_ms=total.latency_ms,
            llm_calls=total.calls, tokens_used=total.tokens, own_tokens=usage.tokens, input_tokens=usage.input,
            output_tokens=usage.output, cached_input_tokens=usage.cached, reasoning_tokens=usage.reasoning,
            model=usage.model, provider=usage.provider, cost_estimate=total.cost,
            own_cost=usage.cost,
            usage_complete=None if ended is None else not self._open_below, memory_used_mb=memory_mb, cpu_time_ms=cpu_ms,
            quality_score=self._quality, confidence_score=self._confidence, tags=self._tags,
            metadata={**metadata} if metadata else {},
        )  # fmt: skip


_NO_USAGE = Usage()
