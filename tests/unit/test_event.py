"""The event's wire form: round trip, schema, and clear errors."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

import otel_feedback as feedback
from otel_feedback.events import codec

S = feedback.OutcomeStatus

scalars = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
)
texts = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
counts = st.none() | st.integers(0, 2**53)
amounts = st.none() | st.floats(0, 1e12)
times = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(timezone.utc))  # noqa: DTZ001

events = st.builds(
    feedback.OutcomeEvent,
    event_id=st.text("0123456789abcdef-", min_size=1, max_size=49),
    revision=st.integers(0, 99),
    timestamp=times,
    start_time=st.none() | times,
    action_type=st.text(max_size=20),
    status=st.sampled_from(S),
    severity=st.sampled_from(feedback.Severity),
    agent_name=texts,
    workflow_id=texts,
    error_message=texts,
    tokens_used=counts,
    depth=counts,
    duration_ms=amounts,
    cost_estimate=amounts,
    tags=st.lists(st.text(max_size=8), max_size=4).map(tuple),
    metadata=st.dictionaries(st.text(max_size=8), scalars | st.lists(scalars, max_size=3), max_size=4),
)


@given(events)
def test_round_trip(event: feedback.OutcomeEvent) -> None:
    line = event.to_json()
    assert "\n" not in line
    assert feedback.OutcomeEvent.from_json(line) == event
    assert feedback.OutcomeEvent.from_json(line.encode()) == event
    assert event.to_dict() == json.loads(line)


@given(events)
def test_every_event_fits_the_schema_and_unknown_is_absent(event: feedback.OutcomeEvent) -> None:
    wire = event.to_dict()
    jsonschema.validate(wire, codec.json_schema())
    assert None not in wire.values()
    assert {"schema_version", "event_id", "revision", "timestamp", "action_type", "status", "severity"} <= wire.keys()


def test_the_wire_form() -> None:
    event = feedback.OutcomeEvent(
        action_type="a",
        status=S.TIMEOUT,
        timestamp=datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=timezone.utc),
        tokens_used=0,
        metadata={"n": 1.5},
    )
    wire = event.to_dict()
    assert wire["timestamp"] == "2026-01-02T03:04:05.000678Z"
    assert (wire["status"], wire["severity"], wire["tokens_used"]) == ("timeout", "error", 0)
    assert str(event.status) == "timeout"
    assert event.status == "timeout"


@pytest.mark.parametrize(("status", "severity"), [(S.SUCCESS, "info"), (S.PARTIAL, "warning"), (S.FAILURE, "error")])
def test_severity_follows_from_the_status_when_not_given(status: feedback.OutcomeStatus, severity: str) -> None:
    assert feedback.OutcomeEvent(action_type="a", status=status).severity == severity
    assert (
        feedback.OutcomeEvent(action_type="a", status=status, severity=feedback.Severity.CRITICAL).severity
        == "critical"
    )


def test_an_event_cannot_be_changed() -> None:
    event = feedback.OutcomeEvent(action_type="a", status=S.SUCCESS)
    with pytest.raises(AttributeError):
        event.status = S.FAILURE  # type: ignore[misc]


def test_unknown_fields_of_newer_producers_are_ignored() -> None:
    wire = feedback.OutcomeEvent(action_type="a", status=S.SUCCESS).to_dict() | {"from_the_future": {"x": 1}}
    assert feedback.OutcomeEvent.from_json(json.dumps(wire)).action_type == "a"


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ("{", "not an outcome event"),
        ("[]", "object"),
        ('{"action_type": "a"}', "status"),
        ('{"action_type": "a", "status": "great"}', "great"),
        ('{"action_type": "a", "status": "success", "tokens_used": "many"}', "tokens_used"),
        ('{"action_type": "a", "status": "success", "metadata": {"k": {"x": 1}}}', "metadata"),
        (b"\xff\xfe", "not an outcome event"),
        ('{"of_others": ' + "[" * 100_000 + "]" * 100_000 + "}", "recursion"),
    ],
)
def test_what_is_no_event_is_a_schema_error_that_names_the_field(data: str | bytes, named: str) -> None:
    with pytest.raises(feedback.SchemaError, match=named):
        feedback.OutcomeEvent.from_json(data)


def test_every_field_of_the_seed_and_the_design_is_there() -> None:
    seed = """event_id run_id agent_name agent_type action_type timestamp start_time end_time duration_ms latency_ms
        status severity error_message error_type stack_trace llm_latency_ms tokens_used memory_used_mb cpu_time_ms
        cost_estimate quality_score confidence_score workflow_id correlation_id tags metadata"""
    design = """schema_version trace_id span_id parent_event_id root_event_id depth input_tokens output_tokens
        cached_input_tokens reasoning_tokens own_tokens own_cost llm_calls model provider tool_name session_id user_id
        tenant_id service_name attempt revision usage_complete"""
    learning = "experiment variant propensity choice_candidates choice_policy choice_propensity"
    assert set(feedback.OutcomeEvent.__struct_fields__) == {*seed.split(), *design.split(), *learning.split()}
