"""What an action leaves is written down, and whoever reads it makes the same event of it, no larger than was foretold."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from otel_feedback import semconv
from otel_feedback.events.ended import MOST_MORE, MOST_TIMES, EndedAction, Failure, pack, unpack
from otel_feedback.events.model import OutcomeStatus, Severity, encode
from otel_feedback.events.usage import Inclusive, Usage

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
ids = st.from_regex(r"[0-9a-f]{32}-[0-9a-f]{16}", fullmatch=True)
counts = st.integers(0, 2**53)
amounts = st.floats(0, 1e9)
times = st.integers(0, 4_000_000_000_000_000_000)
scalars = st.one_of(
    texts, st.booleans(), st.integers(-(2**62), 2**62), st.floats(allow_nan=False, allow_infinity=False)
)
metadata = st.dictionaries(texts, st.one_of(scalars, st.lists(scalars, max_size=3)), max_size=5)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


IDENTIFIERS = (
    semconv.GEN_AI_AGENT_NAME, semconv.OUTCOME_AGENT_TYPE, semconv.OUTCOME_RUN_ID, semconv.OUTCOME_WORKFLOW_ID,
    semconv.OUTCOME_CORRELATION_ID, semconv.GEN_AI_CONVERSATION_ID, semconv.USER_ID, semconv.OUTCOME_TENANT_ID,
)  # fmt: skip
inclusives = st.builds(Inclusive, maybe(counts), maybe(counts), maybe(amounts), maybe(amounts), maybe(amounts))
usages = st.builds(
    Usage, maybe(counts), maybe(counts), maybe(counts), maybe(counts), maybe(counts), maybe(counts), maybe(amounts),
    maybe(amounts), maybe(amounts), maybe(texts), maybe(texts), maybe(inclusives),
)  # fmt: skip


@st.composite
def begun(draw: st.DrawFn) -> dict[str, Any]:
    """Attributes that a span begins with."""
    attributes: dict[str, Any] = {semconv.OUTCOME_ACTION_TYPE: draw(texts)}
    for key, value in draw(metadata).items():
        attributes[semconv.OUTCOME_METADATA_PREFIX + key] = value
    if draw(st.booleans()):
        attributes[semconv.OUTCOME_PARENT_EVENT_ID], attributes[semconv.OUTCOME_ROOT_EVENT_ID] = draw(ids), draw(ids)
        attributes[semconv.OUTCOME_DEPTH] = draw(st.integers(1, 9))
    identifiers: dict[str, Any] = draw(st.dictionaries(st.sampled_from(IDENTIFIERS), texts))
    attributes.update(identifiers)
    tags = draw(st.lists(texts, max_size=4))
    if tags:
        attributes[semconv.OUTCOME_TAGS] = tuple(tags)
    return attributes


noted = st.fixed_dictionaries({}, optional={
    semconv.OUTCOME_DURATION_MS: amounts, semconv.OUTCOME_LATENCY_MS: amounts, semconv.OUTCOME_CPU_TIME_MS: amounts,
    semconv.OUTCOME_ATTEMPT: st.integers(1, 9),
})  # fmt: skip
failures = st.builds(Failure, texts, texts, maybe(texts), st.booleans(), times)
actions = st.builds(
    EndedAction, ids, st.booleans(), begun(), times, maybe(times), st.sampled_from(OutcomeStatus),
    st.sampled_from(Severity), maybe(texts), maybe(usages), maybe(st.booleans()), maybe(counts), maybe(amounts),
    maybe(st.floats(0, 1)), maybe(st.floats(0, 1)), maybe(metadata), maybe(st.lists(texts, max_size=4).map(tuple)),
    maybe(st.tuples(texts, maybe(texts))), maybe(failures), maybe(texts), maybe(noted),
)  # fmt: skip


@given(actions)
def test_what_is_read_back_makes_the_same_event(left: EndedAction) -> None:
    packed = pack(left)
    assert packed[-1:] != b"\0", "a journal's frame must not end so: zeros are room"
    event = left.event()
    assert left.event() is event, "it is made once"
    assert unpack(packed).event() == event
    assert len(encode(event)) <= len(packed) * MOST_TIMES + MOST_MORE
