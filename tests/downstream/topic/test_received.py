"""A record as an event: unknown fields, older and newer versions, what is none."""

from __future__ import annotations

import json
from typing import Any

import pytest

import otel_feedback as feedback
from otel_feedback.downstream import Position, ReceivedEvent
from otel_feedback.downstream.topic import upcasting
from otel_feedback.downstream.topic.received import decode, is_for
from tests.downstream.records import Read
from tools.sample import sample_event


def record(fields: Any, **headers: str) -> Read:
    value = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return Read(value, [(name, text.encode()) for name, text in headers.items()])


def _decoded(read: Read) -> ReceivedEvent:
    return decode(read, read.value)


def test_an_event_is_what_was_sent_with_its_position_and_headers() -> None:
    received = _decoded(record(sample_event().to_dict(), schema_version="1.0", tenant_id="acme"))
    assert received.to_dict() == sample_event().to_dict()
    assert isinstance(received, feedback.OutcomeEvent)
    assert received.position == Position("agent-outcomes", 3, 17)
    assert received.headers == {"schema_version": b"1.0", "tenant_id": b"acme"}
    assert received.unknown == {}


def test_unknown_fields_are_kept_and_go_out_again() -> None:
    fields = {**sample_event().to_dict(), "schema_version": "1.7", "mood": {"of": ["the", 1]}, "colour": None}
    received = _decoded(record(fields, schema_version="1.7"))
    assert received.unknown == {"mood": {"of": ["the", 1]}, "colour": None}
    assert received.to_dict() == fields
    again = ReceivedEvent.from_json(received.to_json())
    assert again.agent_name == "researcher"
    assert json.loads(received.to_json()) == fields


def test_what_is_absent_has_its_default() -> None:
    received = _decoded(record({"action_type": "a", "status": "failure", "event_id": "e"}))
    assert (received.revision, received.severity, received.tags) == (1, "error", ())


@pytest.mark.parametrize("header", ["0.3", None])
def test_older_versions_are_brought_to_this_one_step_by_step(
    header: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def from_0(fields: dict[str, Any]) -> dict[str, Any]:
        return {**fields, "status": fields.pop("outcome")}

    monkeypatch.setitem(upcasting.STEPS, 0, from_0)
    # what stands in a field of this version by another meaning must not be read before
    fields = {"schema_version": "0.3", "event_id": "e", "action_type": "a", "outcome": "partial", "status": "failure"}
    received = _decoded(record(fields, **({} if header is None else {"schema_version": header})))
    assert (received.status, received.schema_version) == ("partial", "0.3")


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (record(b"{"), "not an outcome event"),
        (record(b""), "the record has no value"),
        (Read(None, []), "the record has no value"),
        (record([1], schema_version="0.1"), "expected an object, got list"),
        (record({"action_type": "a"}), "status"),
        (record({"action_type": "a", "status": "fine"}), "status"),
        (record({"action_type": "a", "status": "success"}, schema_version="2.0"), "expected 1.x or older"),
        (record({"action_type": "a", "status": "success", "schema_version": "3.1"}), "expected 1.x or older"),
        (record({"action_type": "a", "status": "success"}, schema_version="0.1"), "nothing is known of it"),
        (record({"action_type": "a", "status": "success"}, schema_version="new"), "expected a version such as '1.0'"),
        (
            record({"action_type": "a", "status": "success"}, schema_version="9" * 5_000),
            "expected a version such as '1.0'",
        ),
        (
            record(b'{"action_type": "a", "status": "success", "new": ' + b"[" * 10**5 + b"]" * 10**5 + b"}"),
            "recursion",
        ),
    ],
)
def test_what_cannot_be_read_says_why(read: Read, message: str) -> None:
    with pytest.raises(feedback.SchemaError, match=message):
        _decoded(read)


def test_whose_an_event_is_can_be_told_by_the_headers() -> None:
    assert is_for([("schema_version", b"1.0"), ("tenant_id", b"acme")], "acme") is True
    assert is_for([("schema_version", b"1.0"), ("tenant_id", b"other")], "acme") is False
    assert is_for([("schema_version", b"1.0")], "acme") is False
    assert is_for([("producer_id", b"0")], "acme") is None, "an older producer does not say"
