"""Whatever an event holds, what is left of it is a valid event, the same one, and nothing is left to take out."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from otel_feedback.events import codec
from otel_feedback.events.model import OutcomeEvent
from otel_feedback.redaction.limits import MAX_ITEMS, MAX_NAME, MAX_STACK, MAX_TEXT
from otel_feedback.redaction.redaction import Redaction, without_texts
from tests.made_up_secrets import SECRETS

TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    st.sampled_from([secret.text for secret in SECRETS]),
    st.sampled_from(["password", "api_key", "order", "otel_feedback.redacted", "status_reason"]),
    st.builds(
        lambda text, size: text * size, st.sampled_from(["ab ", "x", "é"]), st.sampled_from([300, 5_000, 20_000])
    ),
)
SCALAR = st.one_of(TEXT, st.booleans(), st.integers(-(2**62), 2**62), st.floats(allow_nan=False, allow_infinity=False))
FIELDS = {
    "agent_name": TEXT, "session_id": TEXT, "run_id": TEXT, "model": TEXT, "error_message": TEXT, "stack_trace": TEXT,
    "tags": st.lists(TEXT, max_size=5),
    "metadata": st.dictionaries(TEXT, st.one_of(SCALAR, st.lists(TEXT, max_size=4)), max_size=6),
}  # fmt: skip
EVENTS = st.fixed_dictionaries(
    {"action_type": TEXT, "status": st.sampled_from(["success", "failure"])}, optional=FIELDS
).map(lambda fields: msgspec.convert(fields, OutcomeEvent))
REDACTION = Redaction()


def ids(event: OutcomeEvent) -> tuple[Any, ...]:
    return event.event_id, event.revision, event.status, event.timestamp, event.severity


@given(EVENTS)
def test_an_event_stays_a_valid_one_within_its_limits_and_needs_no_second_look(event: OutcomeEvent) -> None:
    redacted = REDACTION.event(event)
    assert codec.validate(redacted) == redacted
    assert codec.decode(codec.encode(redacted)) == redacted
    assert ids(redacted) == ids(event)
    assert REDACTION.event(redacted) == redacted
    assert Redaction().event(event) == redacted, "what was seen before changes nothing"
    assert all(len(name) <= MAX_NAME for name in (redacted.action_type, redacted.agent_name or "", *redacted.tags))
    assert len(redacted.error_message or "") <= MAX_TEXT
    assert len(redacted.stack_trace or "") <= MAX_STACK
    assert len(redacted.tags) <= MAX_ITEMS


@given(EVENTS)
def test_without_its_texts_an_event_is_valid_and_the_same(event: OutcomeEvent) -> None:
    event = REDACTION.event(event)
    bare = without_texts(event)
    assert codec.validate(bare) == bare
    assert ids(bare) == ids(event)
    assert (bare.error_message, bare.stack_trace, bare.tags, bare.session_id) == (None, None, (), None)
    assert (bare.agent_name, bare.model) == (event.agent_name, event.model)
    assert all(key.startswith("otel_feedback.") for key in bare.metadata)
