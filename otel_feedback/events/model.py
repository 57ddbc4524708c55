"""The outcome event: one immutable value that says how one agent action ended.

Input: keyword arguments, or JSON. Output: an `OutcomeEvent`. No threads, no I/O.
A field that is unknown is None and absent on the wire, never zero.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Annotated, Any, cast

import msgspec

from otel_feedback.errors import SchemaError

__all__ = [
    "SCHEMA_VERSION",
    "MetadataValue",
    "OutcomeEvent",
    "OutcomeStatus",
    "Severity",
    "encode",
    "epoch_us",
    "new_event_id",
]

SCHEMA_VERSION = "1.0"

Scalar = str | bool | int | float
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
MetadataValue = Scalar | list[Scalar]


class OutcomeStatus(str, Enum):
    """How an action ended. Lower case on the wire."""

    SUCCESS = "success"
    FAILURE = "failure"
    PARTIAL = "partial"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    PENDING = "pending"

    __str__ = str.__str__
    __hash__ = str.__hash__  # they equal their words, so they must hash like them; and it is ten times as fast


class Severity(str, Enum):
    """How much an outcome should worry a person. Lower case on the wire."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"

    __str__ = str.__str__
    __hash__ = str.__hash__


SEVERITY_OF = {
    OutcomeStatus.SUCCESS: Severity.INFO,
    OutcomeStatus.PENDING: Severity.WARNING,
    OutcomeStatus.PARTIAL: Severity.WARNING,
    OutcomeStatus.CANCELLED: Severity.WARNING,
    OutcomeStatus.FAILURE: Severity.ERROR,
    OutcomeStatus.TIMEOUT: Severity.ERROR,
}
"""The severity of an outcome about which nothing more is known."""


def new_event_id() -> str:
    """Make a random event id in the shape of the deterministic ones: 32 and 16 hex digits."""
    return f"{secrets.token_hex(16)}-{secrets.token_hex(8)}"


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


def epoch_us(moment: datetime) -> int:
    """Return the microseconds since 1970; exactly, which `timestamp()` with its float is not."""
    return (moment - _EPOCH) // _MICROSECOND


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)


class OutcomeEvent(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """How one agent action ended.

    Give its fields by name; only `action_type` and `status` are required. Times are timezone-aware UTC, durations milliseconds,
    cost US dollars, scores 0 to 1, memory megabytes (10^6 bytes). Do not mutate `metadata`.

    `tokens_used`, `cost_estimate`, `llm_latency_ms` and `llm_calls` include the actions below this one in the
    same process; `own_tokens` and `own_cost` do not, so a sum of them over any set of events counts nothing twice.
    """

    # not tracked by the garbage collector: thousands may be pending, nothing in them can form a cycle, and a full
    # collection would stop the agent for as long as it takes to look at them all
    # default factories, because msgspec leaves out plain defaults and these must be on the wire; the two that have to be
    # given have a default that __post_init__ refuses, or none could be given by position, and by name it takes four times
    # as long: 54 names are looked for among 54
    schema_version: str = msgspec.field(default_factory=lambda: SCHEMA_VERSION)
    event_id: str = msgspec.field(default_factory=new_event_id)
    revision: int = msgspec.field(default_factory=lambda: 1)
    timestamp: Moment = msgspec.field(default_factory=_utc_now)
    action_type: str = cast(str, None)  # has to be given
    status: OutcomeStatus = cast(OutcomeStatus, None)  # has to be given
    severity: Severity = cast(Severity, None)  # derived from the status when not given

    # who and where
    agent_name: str | None = None
    agent_type: str | None = None
    tool_name: str | None = None
    service_name: str | None = None
    run_id: str | None = None
    workflow_id: str | None = None
    correlation_id: str | None = None
    session_id: str | None = None
    user_id: str | None = None
    tenant_id: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    parent_event_id: str | None = None
    root_event_id: str | None = None
    depth: int | None = None
    attempt: int | None = None

    # when and how long
    start_time: Moment | None = None
    end_time: Moment | None = None
    duration_ms: float | None = None
    latency_ms: float | None = None

    # what went wrong
    error_type: str | None = None
    error_message: str | None = None
    stack_trace: str | None = None

    # performance and cost
    llm_latency_ms: float | None = None
    llm_calls: int | None = None
    tokens_used: int | None = None
    own_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    reasoning_tokens: int | None = None
    model: str | None = None
    provider: str | None = None
    cost_estimate: float | None = None
    own_cost: float | None = None
    usage_complete: bool | None = None
    memory_used_mb: float | None = None
    cpu_time_ms: float | None = None
    quality_score: float | None = None
    confidence_score: float | None = None

    # context
    tags: tuple[str, ...] = ()
    metadata: dict[str, MetadataValue] = msgspec.field(default_factory=dict)

    # experiments, and choices between agents
    experiment: str | None = None
    variant: str | None = None
    propensity: float | None = None
    choice_candidates: tuple[str, ...] = ()
    choice_policy: str | None = None
    choice_propensity: float | None = None

    def __post_init__(self) -> None:
        if self.action_type is None or self.severity is None:  # pyright: ignore[reportUnnecessaryComparison]
            self._complete()

    def _complete(self) -> None:
        for name in ("action_type", "status"):
            if getattr(self, name) is None:
                raise TypeError(f"Missing required argument '{name}'")
        if self.severity is None:  # pyright: ignore[reportUnnecessaryComparison]
            msgspec.structs.force_setattr(self, "severity", SEVERITY_OF[self.status])

    def to_dict(self) -> dict[str, Any]:
        """Return the wire form as a dict: strings for times, lower-case status, unknown fields absent."""
        wire: dict[str, Any] = msgspec.json.decode(encode(self))  # to_builtins would keep tuples
        return wire

    def to_json(self) -> str:
        """Return the wire form as one line of JSON."""
        return encode(self).decode()

    @classmethod
    def from_json(cls, data: str | bytes) -> OutcomeEvent:
        """Read an event from its wire form; unknown fields are ignored, so that newer producers can be read.

        Raises:
            SchemaError: `data` is not an outcome event; the message names the field.
        """
        try:
            return _decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise SchemaError(f"not an outcome event: {exc}") from exc


encode = msgspec.json.Encoder().encode
"""Encode one event as UTF-8 JSON bytes. Raises TypeError for a value that JSON cannot hold."""

_decoder = msgspec.json.Decoder(OutcomeEvent)
