"""The headers of a Kafka record: W3C trace context, the account, and CloudEvents 1.0 (Kafka binary binding).

Source: github.com/cloudevents/spec, bindings/kafka-protocol-binding.md, section 3.2.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from otel_feedback.events.model import SCHEMA_VERSION
from otel_feedback.events.record import Origin, Record

__all__ = [
    "EVENT_TYPE",
    "FEEDBACK_TYPE",
    "JSON",
    "SPECVERSION",
    "TYPE",
    "ce_id",
    "ce_time",
    "of_origin",
    "record_headers",
    "traceparent",
]

EVENT_TYPE = f"agent.outcome.v{SCHEMA_VERSION.partition('.')[0]}"
FEEDBACK_TYPE = f"agent.feedback.v{SCHEMA_VERSION.partition('.')[0]}"
JSON = b"application/json"
SPECVERSION = b"1.0"
TYPE = EVENT_TYPE.encode()

_encode = msgspec.json.Encoder().encode
Headers = list[tuple[str, bytes]]


def record_headers(record: Record, content_type: bytes = JSON) -> Headers:
    """Return the headers of one record; `tenant_id` and `traceparent` only where the event has a tenant, or a trace.

    Feedback has `record: feedback`, too. `wire.py` has those of events in the same order, encoded; a test compares the two.
    """
    content, producer, source, kind, version, schema = _constant(
        record.origin, content_type, record.is_feedback, record.schema_version
    )
    headers: Headers = [
        content, producer, ("sequence", b"%d" % record.sequence), ("ce_id", ce_id(record)), source, kind,
        ("ce_time", ce_time(record)), version, schema,
    ]  # fmt: skip
    if record.tenant_id is not None:
        headers.append(("tenant_id", record.tenant_id.encode()))
    parent = traceparent(record)
    if parent is not None:
        headers.append(("traceparent", parent))
    if record.is_feedback:
        headers.append(("record", b"feedback"))
    return headers


@lru_cache(maxsize=64)
def _constant(origin: Origin, content_type: bytes, is_feedback: bool, schema_version: str) -> Headers:
    """Return the headers that are the same for all records of a kind from one producer."""
    producer_id, source = of_origin(origin)
    return [
        ("content-type", content_type), ("producer_id", producer_id), ("ce_source", source),
        ("ce_type", FEEDBACK_TYPE.encode() if is_feedback else TYPE), ("ce_specversion", SPECVERSION),
        ("schema_version", schema_version.encode()),
    ]  # fmt: skip


@lru_cache(maxsize=64)
def of_origin(origin: Origin) -> tuple[bytes, bytes]:
    """Return the producer's id, and the source of its events."""
    return origin.producer_id.encode(), f"//otel_feedback/{origin.service_name}".encode()


def ce_id(record: Record) -> bytes:
    """Return the id of the occurrence: source and id name one, and a revision is an occurrence of its own.

    So is feedback each time that its rater gives it.
    """
    event_id = record.event_id
    if record.is_feedback:
        return event_id.encode() + b"/" + ce_time(record)
    return (event_id if record.revision == 1 else f"{event_id}/{record.revision}").encode()


def ce_time(record: Record) -> bytes:
    """Return the time as it is in the event; isoformat() takes eight times as long."""
    return _encode(record.timestamp)[1:-1]


def traceparent(record: Record) -> bytes | None:
    """Return the trace context of an event that belongs to a trace."""
    if record.trace_id is None or record.span_id is None:
        return None
    return f"00-{record.trace_id}-{record.span_id}-{'01' if record.sampled else '00'}".encode()
