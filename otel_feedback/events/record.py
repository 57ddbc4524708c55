"""One entry of the journal: an encoded event, or feedback, with what a destination needs besides the payload.

Immutable by convention (not frozen, since building it is on the agent's thread); shared by all workers.
"""

from __future__ import annotations

from datetime import datetime, timezone

import msgspec

from otel_feedback.events.ended import EndedAction, unpack
from otel_feedback.events.feedback import Feedback
from otel_feedback.events.model import SCHEMA_VERSION, OutcomeEvent, encode

__all__ = ["Origin", "Record", "Recordable"]

Recordable = OutcomeEvent | EndedAction | Feedback
"""What a journal takes: an event, what an action left of which its event is made, or feedback."""


class Origin(msgspec.Struct, frozen=True, gc=False):
    """Whose journal a record is from; the same object for all of its records.

    `producer_id` is 32 hex digits, new for each process; `service_name` is that of the process which recorded.
    """

    producer_id: str
    service_name: str


class Record(msgspec.Struct, gc=False):
    """An outcome event, or feedback, on its way to its destinations.

    `origin` says whose it is; `sequence` counts the exported records of one producer from 0. `key` decides the Kafka partition and stays the
    same for all revisions of an event. `sampled` is the W3C flag of the event's trace. What else a destination needs
    without decoding the payload stands beside it; the event itself would double what a pending record takes. Of feedback
    `event_id` is its own id, while trace and span are those of the event that it is for.
    """

    origin: Origin
    sequence: int
    key: str
    payload: bytes
    sampled: bool
    event_id: str
    revision: int = 1
    timestamp: datetime = datetime.fromtimestamp(0, timezone.utc)
    trace_id: str | None = None
    span_id: str | None = None
    tenant_id: str | None = None
    schema_version: str = SCHEMA_VERSION
    is_feedback: bool = False
    is_echo: bool = False
    """Whether it is feedback that somebody gave as a log record, which OTLP has from there."""
    is_packed: bool = False
    """Whether the payload is what an action left. Only sequence and key are known then, and whether it is sampled."""

    @classmethod
    def of(
        cls, event: OutcomeEvent | Feedback, origin: Origin, sequence: int, key: str, payload: bytes, *, sampled: bool
    ) -> Record:
        """Return the record of an event, or of feedback, and its encoded form."""
        is_feedback = isinstance(event, Feedback)
        return cls(
            origin, sequence, key, payload, sampled, event.feedback_id if is_feedback else event.event_id,
            event.revision, event.timestamp, event.trace_id, event.span_id, event.tenant_id, event.schema_version,
            is_feedback, is_feedback and event.is_echo,
        )  # fmt: skip

    def whole(self) -> Record:
        """Return the record with the event as its payload, as destinations want it.

        Raises:
            msgspec.DecodeError: That is not what an action left.
        """
        if not self.is_packed:
            return self
        event = unpack(self.payload).event()
        return Record.of(event, self.origin, self.sequence, self.key, encode(event), sampled=self.sampled)
