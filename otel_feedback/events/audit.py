"""The records of the audit topic: what was lost, and how far each producer is.

With them a reader of all partitions of the outcome topic can prove that nothing is missing: of the sequences below
`end`, each is on the topic, pending, or in a loss record. Pure; JSON on the wire, as the events are.
"""

from __future__ import annotations

import msgspec

from otel_feedback.errors import SchemaError
from otel_feedback.events.model import Moment

__all__ = ["HighWaterRecord", "LossRecord", "decode"]


class LossRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="loss"):
    """A destination will not get `count` of the records from `first_sequence` to `last_sequence`, and why."""

    producer_id: str
    service_name: str
    exporter: str
    destination: str
    reason: str
    first_sequence: int
    last_sequence: int
    count: int
    timestamp: Moment

    def encode(self) -> bytes:
        """Return the JSON."""
        return msgspec.json.encode(self)


class HighWaterRecord(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="high_water"):
    """A producer's sequences 0 to `end` - 1 exist; what became of them so far. `closed`: there will be no more."""

    producer_id: str
    service_name: str
    exporter: str
    destination: str
    end: int
    delivered: int
    pending: int
    lost: dict[str, int]
    closed: bool
    timestamp: Moment

    def encode(self) -> bytes:
        """Return the JSON."""
        return msgspec.json.encode(self)


_decoder = msgspec.json.Decoder(LossRecord | HighWaterRecord)


def decode(data: str | bytes) -> LossRecord | HighWaterRecord:
    """Decode one record; unknown fields are ignored, so that newer producers can be read.

    Raises:
        SchemaError: The data is not JSON or no record of the account; the message names the field.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise SchemaError(f"not an audit record: {exc}") from exc
