"""One entry of the journal: an encoded event with what a destination needs besides the payload.

Immutable by convention (not frozen, since building it is on the agent's thread); shared by all workers.
"""

from __future__ import annotations

from datetime import datetime, timezone

import msgspec

from otel_feedback.events.ended import unpack
from otel_feedback.events.model import SCHEMA_VERSION, OutcomeEvent, encode

__all__ = ["Origin", "Record"]


class Origin(msgspec.Struct, frozen=True, gc=False):
    """Whose journal a record is from; the same object for all of its records.

    `producer_id` is 32 hex digits, new for each process; `service_name` is that of the process which recorded.
    """

    producer_id: str
    service_name: str


class Record(msgspec.Struct, gc=False):
    """An outcome event on its way to its destinations.

    `origin` says whose it is; `sequence` counts the exported records of one producer from 0. `key` decides the Kafka partition and stays the
    same for all revisions of an event. `sampled` is the W3C flag of the event's trace. What else a destination needs
    without decoding the payload stands beside it; the event itself would double what a pending record takes.
    """

    origin: Origin
    sequence: int
    key: str
    payload: bytes
    sampled: bool
    event_id: str
    is_packed: bool = False
    """Whether the payload is what an action left, of which its event, and what follows, is to be made: see `whole()`."""
    revision: int = 1
    timestamp: datetime = datetime.fromtimestamp(0, timezone.utc)
    trace_id: str | None = None
    span_id: str | None = None
    tenant_id: str | None = None
    schema_version: str = SCHEMA_VERSION

    @classmethod
    def of(
        cls, event: OutcomeEvent, origin: Origin, sequence: int, key: str, payload: bytes, *, sampled: bool
    ) -> Record:
        """Return the record of an event and its encoded form."""
        return cls(
            origin, sequence, key, payload, sampled, event.event_id, False,
            event.revision, event.timestamp, event.trace_id, event.span_id, event.tenant_id, event.schema_version,
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
