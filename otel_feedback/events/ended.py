"""What an action leaves when it ends: all that its event is made of, as it was said, and nothing of the program that ran.

    action ──► EndedAction ──► its event          where somebody wants it: a worker, an exporter of spans, a reader of the ring

Making the event and its JSON takes seven times as long as this and packing it, so an agent's thread does no more than this.
Everything in it was cleaned, limited and freed of secrets when it was said. It is written down in the journal, for later
versions, too: another form of it gets another flag there.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, NamedTuple

import msgspec

from otel_feedback import semconv
from otel_feedback.events.model import (
    SCHEMA_VERSION,
    MetadataValue,
    Moment,
    OutcomeEvent,
    OutcomeStatus,
    Severity,
)
from otel_feedback.events.usage import Usage

__all__ = ["MOST_MORE", "MOST_TIMES", "EndedAction", "Failure", "pack", "unpack"]


class Failure(NamedTuple):
    """What went wrong: full class name, message, stack trace.

    `escaped`: an exception left the action's code, rather than being named by hand. `happened_ns`: when, in nanoseconds
    since 1970.
    """

    type: str
    message: str
    stack_trace: str | None
    escaped: bool
    happened_ns: int


class EndedAction(msgspec.Struct, array_like=True, gc=False):
    """An action that has ended, or, without an `end_ns`, one that has just begun.

    `started` are the attributes that its span began with; `metadata` and `tags` are None where they are as it began;
    `noted` are attributes that whoever drives the action knows better. Times are in nanoseconds since 1970.
    """

    event_id: str
    has_ids: bool  # False where trace and span id are those of the span around it, or none
    started: dict[str, Any]
    start_ns: int
    end_ns: int | None
    status: OutcomeStatus
    severity: Severity
    service_name: str | None
    usage: Usage | None
    is_complete: bool | None
    cpu_ns: int | None
    memory_mb: float | None
    quality: float | None
    confidence: float | None
    metadata: dict[str, MetadataValue] | None
    tags: tuple[str, ...] | None
    price: tuple[str, str | None] | None  # where it is from: source and version
    failure: Failure | None
    reason: str | None  # why it ended so, by the agent's words
    noted: dict[str, Any] | None
    made: OutcomeEvent | None = None  # once somebody wanted it; null when this is written down

    @property
    def timestamp(self) -> Moment:
        """When it ended; without an end, when it began."""
        return _at((self.start_ns if self.end_ns is None else self.end_ns) / 1e9, _UTC)

    @property
    def trace_id(self) -> str | None:
        """32 hex digits."""
        return self.event_id[:32] if self.has_ids else None

    @property
    def span_id(self) -> str | None:
        """16 hex digits."""
        return self.event_id[33:] if self.has_ids else None

    @property
    def run_id(self) -> str | None:
        """Of which run it is; without one that was said, the trace."""
        return self.started.get(_RUN_ID, self.trace_id)

    @property
    def revision(self) -> int:
        """1, or 0 without an end."""
        return 0 if self.end_ns is None else 1

    @property
    def action_type(self) -> str:
        """What was done."""
        return self.started.get(semconv.OUTCOME_ACTION_TYPE, "")

    @property
    def agent_name(self) -> str | None:
        """Who did it."""
        return self.started.get(semconv.GEN_AI_AGENT_NAME)

    @property
    def duration_ms(self) -> float | None:
        """Milliseconds that it took, or its last attempt, where somebody tells; None without an end."""
        return self.took_ms()[0]

    @property
    def latency_ms(self) -> float | None:
        """Milliseconds since it was asked for."""
        return self.took_ms()[1]

    def took_ms(self) -> tuple[float | None, float | None]:
        """Return its duration and its latency."""
        duration_ms = None if self.end_ns is None else (self.end_ns - self.start_ns) / 1e6
        noted = self.noted
        if noted is None:
            return duration_ms, duration_ms
        duration_ms = noted.get(_DURATION_MS, duration_ms)
        latency_ms = noted.get(_LATENCY_MS)
        return duration_ms, duration_ms if latency_ms is None else latency_ms

    @property
    def error_type(self) -> str | None:
        """The name of what was raised."""
        return None if self.failure is None else self.failure.type.rpartition(".")[2]

    @property
    def error_message(self) -> str | None:
        """What it says."""
        return None if self.failure is None else self.failure.message or None

    def all_metadata(self) -> dict[str, MetadataValue]:
        """Return the event's metadata."""
        metadata = self.metadata
        if metadata is None:
            metadata = {
                name[_SKIPPED:]: value
                for name, value in self.started.items()
                if name not in _OTHERS and name.startswith(_PREFIX)
            }
        if self.price is not None:
            source, version = self.price
            metadata = {**metadata, "price_source": source}
            if version is not None:
                metadata["price_version"] = version
        return metadata

    def event(self) -> OutcomeEvent:
        """Return the event, which is made the first time."""
        made = self.made
        if made is None:
            made = self.made = self._make()
        return made

    def _make(self) -> OutcomeEvent:
        # a worker does this for each event beside the agents: names are looked up once, and nothing is asked for twice
        get, event_id, end_ns, noted, failure = self.started.get, self.event_id, self.end_ns, self.noted, self.failure
        trace_id = span_id = None
        if self.has_ids:
            trace_id, span_id = event_id[:32], event_id[33:]
        revision = 0
        moment = started = _at(self.start_ns / 1e9, _UTC)
        ended = duration_ms = cpu_ms = attempt = None
        if end_ns is not None:
            revision = 1
            moment = ended = _at(end_ns / 1e9, _UTC)
            duration_ms = (end_ns - self.start_ns) / 1e6
            cpu_ms = None if self.cpu_ns is None else self.cpu_ns / 1e6
        latency_ms = duration_ms
        if noted is not None:
            duration_ms, latency_ms = self.took_ms()
            cpu_ms, attempt = noted.get(semconv.OUTCOME_CPU_TIME_MS, cpu_ms), noted.get(semconv.OUTCOME_ATTEMPT)
        error_type = error_message = stack_trace = None
        if failure is not None:
            error_type, error_message, stack_trace = self.error_type, self.error_message, failure.stack_trace
        usage = self.usage or _NO_USAGE
        own_tokens = usage.tokens
        total = usage if usage.below is None else usage.inclusive()
        tokens = own_tokens if total is usage else total.tokens
        tags = self.tags if self.tags is not None else tuple(get(_TAGS, ()))
        trial: Any = _NO_TRIAL
        if get(_EXPERIMENT) is not None or get(_CANDIDATES) is not None or noted is not None:
            told = self.started if noted is None else {**self.started, **noted}
            trial = (
                told.get(_EXPERIMENT), told.get(_VARIANT), told.get(_PROPENSITY), tuple(told.get(_CANDIDATES, ())),
                told.get(semconv.OUTCOME_CHOICE_POLICY), told.get(semconv.OUTCOME_CHOICE_PROPENSITY),
            )  # fmt: skip
        # by position: see there; in the order of its fields, and of the lines there
        return OutcomeEvent(
            SCHEMA_VERSION, event_id, revision, moment, get(_ACTION_TYPE, ""), self.status,
            self.severity,
            get(_AGENT_NAME), get(_AGENT_TYPE), get(_TOOL_NAME), self.service_name,
            get(_RUN_ID, trace_id), get(_WORKFLOW_ID), get(_CORRELATION_ID),
            get(_CONVERSATION_ID), get(_USER_ID), get(_TENANT_ID),
            trace_id, span_id, get(_PARENT), get(_ROOT, event_id),
            get(_DEPTH, 0), attempt,
            started, ended, duration_ms, latency_ms,
            error_type, error_message, stack_trace,
            total.latency_ms, total.calls, tokens, own_tokens, usage.input, usage.output, usage.cached,
            usage.reasoning, usage.model, usage.provider, total.cost, usage.said_cost if usage.priced is None else usage.priced,
            self.is_complete, self.memory_mb, cpu_ms, self.quality, self.confidence,
            tags, self.all_metadata(), *trial,
        )  # fmt: skip


pack = msgspec.msgpack.Encoder().encode
"""Encode one as MessagePack, an array, before its event is made: two thirds of what JSON takes, and no zero at its end. Raises TypeError for a value that
cannot be held."""

unpack = msgspec.msgpack.Decoder(EndedAction).decode
"""Read one from that. Raises msgspec.DecodeError."""

MOST_TIMES, MOST_MORE = 6, 4_096
"""The JSON of an event has at most so many bytes for each that its action was packed in, as where texts are control characters, and so
many more: names of fields, and what is said twice."""

_NO_USAGE = Usage()
_NO_TRIAL: Any = ()
_UTC = timezone.utc
_at = datetime.fromtimestamp
_PREFIX = semconv.OUTCOME_METADATA_PREFIX
_SKIPPED = len(_PREFIX)
_ACTION_TYPE, _AGENT_NAME, _AGENT_TYPE = (
    semconv.OUTCOME_ACTION_TYPE,
    semconv.GEN_AI_AGENT_NAME,
    semconv.OUTCOME_AGENT_TYPE,
)
_TOOL_NAME, _RUN_ID, _WORKFLOW_ID = semconv.GEN_AI_TOOL_NAME, semconv.OUTCOME_RUN_ID, semconv.OUTCOME_WORKFLOW_ID
_CORRELATION_ID, _CONVERSATION_ID = semconv.OUTCOME_CORRELATION_ID, semconv.GEN_AI_CONVERSATION_ID
_USER_ID, _TENANT_ID, _TAGS = semconv.USER_ID, semconv.OUTCOME_TENANT_ID, semconv.OUTCOME_TAGS
_PARENT, _ROOT, _DEPTH = semconv.OUTCOME_PARENT_EVENT_ID, semconv.OUTCOME_ROOT_EVENT_ID, semconv.OUTCOME_DEPTH
_DURATION_MS, _LATENCY_MS = semconv.OUTCOME_DURATION_MS, semconv.OUTCOME_LATENCY_MS
_EXPERIMENT, _VARIANT = semconv.OUTCOME_EXPERIMENT_NAME, semconv.OUTCOME_EXPERIMENT_VARIANT
_PROPENSITY, _CANDIDATES = semconv.OUTCOME_EXPERIMENT_PROPENSITY, semconv.OUTCOME_CHOICE_CANDIDATES
_OTHERS = frozenset({
    _ACTION_TYPE, _AGENT_NAME, _AGENT_TYPE, _TOOL_NAME, _RUN_ID, _WORKFLOW_ID, _CORRELATION_ID, _CONVERSATION_ID, _USER_ID,
    _TENANT_ID, _TAGS, _PARENT, _ROOT, _DEPTH,
})  # fmt: skip
"""Attributes that are no metadata, and are told from it in one look."""
