"""A record as a journal holds it, in memory and in a frame on disk, and how one becomes what a destination gets.

An action that ended is held as what it left: its event is made of that by whoever delivers it, never by its agent.
"""

from __future__ import annotations

import msgspec

from otel_feedback.events.ended import EndedAction
from otel_feedback.events.feedback import Feedback, trace_and_span
from otel_feedback.events.model import SCHEMA_VERSION, Moment
from otel_feedback.events.record import Origin, Record, Recordable
from otel_feedback.journal.frames import ECHO, FEEDBACK, PACKED, SAMPLED

__all__ = ["Held", "flags_of", "record_from"]

Held = tuple[str, bytes, int]
"""Its key, its payload, and the flags of its frame: a tuple, since one is made in a single step that nothing interrupts."""

_PACKED_SAMPLED = PACKED | SAMPLED


def flags_of(event: Recordable, sampled: bool) -> int:
    """Return the flags of the frame of an event, or of feedback; `sampled` is the W3C flag of its trace."""
    if isinstance(event, EndedAction):
        return _PACKED_SAMPLED if sampled else PACKED
    flags = SAMPLED if sampled else 0
    if isinstance(event, Feedback):
        flags |= FEEDBACK | (ECHO if event.is_echo else 0)
    return flags


class _Envelope(msgspec.Struct, gc=False):
    """The fields of an event that a record carries beside its payload."""

    event_id: str
    revision: int
    timestamp: Moment
    trace_id: str | None = None
    span_id: str | None = None
    tenant_id: str | None = None
    schema_version: str = SCHEMA_VERSION


class _FeedbackEnvelope(msgspec.Struct, gc=False):
    """The same of feedback."""

    feedback_id: str
    timestamp: Moment
    event_id: str | None = None
    tenant_id: str | None = None
    schema_version: str = SCHEMA_VERSION


_envelope = msgspec.json.Decoder(_Envelope)
_feedback_envelope = msgspec.json.Decoder(_FeedbackEnvelope)


def record_from(origin: Origin, sequence: int, held: Held, packed: bool = False) -> Record | None:
    """Return the record as destinations want it, or `packed` where it is; None when there is no event in it."""
    key, payload, flags = held
    sampled = bool(flags & SAMPLED)
    try:
        if flags & PACKED:
            record = Record(origin, sequence, key, payload, sampled, "", is_packed=True)
            return record if packed else record.whole()
        if flags & FEEDBACK:
            told = _feedback_envelope.decode(payload)
            return Record(
                origin, sequence, key, payload, sampled, told.feedback_id, 1, told.timestamp,
                *trace_and_span(told.event_id), told.tenant_id, told.schema_version, True, bool(flags & ECHO),
            )  # fmt: skip
        head = _envelope.decode(payload)
    except Exception:  # whatever it is: one record must not hold up all others
        return None
    return Record(
        origin, sequence, key, payload, sampled,
        head.event_id, head.revision, head.timestamp, head.trace_id, head.span_id, head.tenant_id, head.schema_version,
    )  # fmt: skip
