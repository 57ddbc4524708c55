"""The records of the audit topic: their JSON, field by field, and back."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import pytest

from otel_feedback.errors import SchemaError
from otel_feedback.events import audit
from otel_feedback.events.audit import HighWaterRecord, LossRecord

AT = datetime(2026, 3, 2, 9, 30, 12, 345678, timezone.utc)

LOSS = LossRecord(
    producer_id="0" * 32,
    service_name="support-bot",
    exporter="kafka",
    destination="localhost:9092/agent-outcomes",
    reason="retention",
    first_sequence=3,
    last_sequence=9,
    count=5,
    timestamp=AT,
)
HIGH_WATER = HighWaterRecord(
    producer_id="0" * 32,
    service_name="support-bot",
    exporter="kafka",
    destination="localhost:9092/agent-outcomes",
    end=12,
    delivered=5,
    pending=2,
    lost={"retention": 5},
    closed=False,
    timestamp=AT,
)


def test_a_loss_on_the_wire() -> None:
    assert json.loads(LOSS.encode()) == {
        "type": "loss",
        "producer_id": "0" * 32,
        "service_name": "support-bot",
        "exporter": "kafka",
        "destination": "localhost:9092/agent-outcomes",
        "reason": "retention",
        "first_sequence": 3,
        "last_sequence": 9,
        "count": 5,
        "timestamp": "2026-03-02T09:30:12.345678Z",
    }


def test_a_high_water_mark_on_the_wire() -> None:
    assert json.loads(HIGH_WATER.encode()) == {
        "type": "high_water",
        "producer_id": "0" * 32,
        "service_name": "support-bot",
        "exporter": "kafka",
        "destination": "localhost:9092/agent-outcomes",
        "end": 12,
        "delivered": 5,
        "pending": 2,
        "lost": {"retention": 5},
        "closed": False,
        "timestamp": "2026-03-02T09:30:12.345678Z",
    }


@pytest.mark.parametrize("record", [LOSS, HIGH_WATER])
def test_what_was_encoded_is_decoded_to_the_same(record: LossRecord | HighWaterRecord) -> None:
    assert audit.decode(record.encode()) == record
    newer = record.encode()[:-1] + b',"a_field_of_tomorrow":1}'
    assert audit.decode(newer) == record


DEEP = b'{"type":"loss","of_others":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


@pytest.mark.parametrize("data", [b"", b"{}", b'{"type":"other"}', b'{"type":"loss"}', b"\xff", b"[]", DEEP])
def test_what_is_no_record_of_the_account_says_so(data: bytes) -> None:
    with pytest.raises(SchemaError, match="not an audit record"):
        audit.decode(data)
