"""Feedback as it comes: told from what is none, and as a line of what DuckDB reads, the same of a topic, a log and a store.

    record, line of a log ──► decoded by its type ──► encoded again, with where it is from

Pure functions; safe on any thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from otel_feedback.downstream.topic.received import Position, check_whose, major_of
from otel_feedback.errors import SchemaError
from otel_feedback.events.feedback import Feedback, decode_feedback
from otel_feedback.events.model import SCHEMA_VERSION
from otel_feedback.exporters.kafka.topics import tenant_of

__all__ = ["MARK", "ReceivedFeedback", "feedback_in", "feedback_of_line", "received_feedback", "row_of_feedback"]

MARK = b'"feedback_id"'
"""What a line has that may be feedback; one that has a `status` is an event all the same."""

_MAJOR = major_of(SCHEMA_VERSION)
_encode = msgspec.json.Encoder().encode


def feedback_in(payload: bytes | None, owner: str | None = None) -> Feedback:
    """Decode feedback.

    Args:
        payload: The JSON.
        owner: The tenant whose topic it is on; None: all write to it.

    Raises:
        SchemaError: It is none, of a version that is too new, or another tenant's; the message says which field.
    """
    if not payload:
        raise SchemaError("not a feedback record: the record has no value")
    given = decode_feedback(payload)
    if major_of(given.schema_version) > _MAJOR:
        raise SchemaError(
            f"schema_version={given.schema_version!r}: expected {_MAJOR}.x or older; a newer otel-feedback reads it"
        )
    check_whose(given.tenant_id, owner)
    return given


class ReceivedFeedback(Feedback, frozen=True, omit_defaults=True, kw_only=True, gc=True, dict=True):
    """`Feedback` as it came, with `position` and `headers`. What is made of it by `msgspec.structs.replace` has the fields only."""

    @property
    def position(self) -> Position | None:
        """Topic, partition and offset of its record."""
        return self.__dict__.get("position")

    @property
    def headers(self) -> Mapping[str, bytes]:
        """The record's headers by name."""
        return {name: value for name, value in self.__dict__.get("headers", ()) if value is not None}


def received_feedback(record: Any, payload: bytes | None, topic: str = "") -> ReceivedFeedback:
    """Decode a record of kafka-python.

    Args:
        record: Where it is, and its headers.
        payload: Its value.
        topic: As it is set: where it is one for each tenant, feedback is to be of the tenant whose topic it is on.

    Raises:
        SchemaError: It is no feedback, of a version that is too new, or another tenant's; the message says which field.
    """
    given = feedback_in(payload, tenant_of(topic, record.topic))
    received = ReceivedFeedback(**msgspec.structs.asdict(given))
    vars(received).update(position=Position(record.topic, record.partition, record.offset), headers=record.headers)
    return received


class _Told(msgspec.Struct):
    status: msgspec.Raw | None = None


_told = msgspec.json.Decoder(_Told).decode


def feedback_of_line(line: bytes) -> Feedback:
    """Decode a line of a log, which has events, too.

    Raises:
        SchemaError: It is no feedback; one that has a `status` is an event, or none.
    """
    given = feedback_in(line)
    if _told(line).status is not None:
        raise SchemaError("not a feedback record: it has a status, as events have")
    return given


def row_of_feedback(
    given: Feedback, read_from: str, position: int | None = None, partition: int | None = None
) -> bytes:
    """Return the line of `FEEDBACK_COLUMNS` of feedback.

    Args:
        given: What was decoded.
        read_from: The topic, or the path of the log file.
        position: The offset, or the byte at which the line starts.
        partition: Of a topic.
    """
    row: dict[str, Any] = {name: getattr(given, name) for name in Feedback.__struct_fields__}
    return _encode({**row, "read_from": read_from, "read_partition": partition, "read_position": position}) + b"\n"
