"""The headers of a Kafka record: W3C trace context, the account, and CloudEvents 1.0 (Kafka binary binding).

Source: github.com/cloudevents/spec, bindings/kafka-protocol-binding.md, section 3.2.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from otel_feedback.events.model import SCHEMA_VERSION
from otel_feedback.events.record import Origin, Record

__all__ = ["EVENT_TYPE", "record_headers"]

EVENT_TYPE = f"agent.outcome.v{SCHEMA_VERSION.partition('.')[0]}"

_encode = msgspec.json.Encoder().encode
_TYPE = EVENT_TYPE.encode()
Headers = list[tuple[str, bytes]]


def record_headers(record: Record) -> Headers:
    """Return the headers of one record; `traceparent` only where the event belongs to a trace."""
    event_id = record.event_id
    producer_id, source = _of_origin(record.origin)
    headers: Headers = [
        ("content-type", b"application/json"),
        ("producer_id", producer_id),
        ("sequence", b"%d" % record.sequence),
        # source and id name one occurrence: a revision is an occurrence of its own
        ("ce_id", (event_id if record.revision == 1 else f"{event_id}/{record.revision}").encode()),
        ("ce_source", source),
        ("ce_type", _TYPE),
        ("ce_time", _encode(record.timestamp)[1:-1]),  # as in the event; isoformat() takes eight times as long
        ("ce_specversion", b"1.0"),
    ]
    if record.trace_id is not None and record.span_id is not None:
        flags = "01" if record.sampled else "00"
        headers.append(("traceparent", f"00-{record.trace_id}-{record.span_id}-{flags}".encode()))
    return headers


@lru_cache(maxsize=64)
def _of_origin(origin: Origin) -> tuple[bytes, bytes]:
    return origin.producer_id.encode(), f"//otel_feedback/{origin.service_name}".encode()
