"""Feedback: who gives again changes the mind and another one adds; what the journal gives back is what was given."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

import otel_feedback as feedback
from otel_feedback.events.feedback import SOURCES, Echo, decode_feedback, feedback_id_of
from otel_feedback.events.model import encode
from otel_feedback.events.record import Origin, Record
from otel_feedback.events.trim import smaller_forms
from otel_feedback.journal.frames import ECHO, FEEDBACK, SAMPLED, event_frame, scan
from otel_feedback.journal.reading import record_of
from otel_feedback.testing import captured_events
from tests.property.test_trim import long_texts, texts

ORIGIN = Origin("0" * 32, "web")
ids = st.text("0123456789abcdef", min_size=48, max_size=48).map(lambda text: f"{text[:32]}-{text[32:]}")
raters = st.tuples(
    st.sampled_from(["r-1", "r-2", f"{'a' * 32}-{'b' * 16}", f"{'a' * 32}-{'c' * 16}"]),
    st.sampled_from(["user_rating", "tone", "user_rating\x1f"]),
    st.sampled_from(SOURCES),
    st.sampled_from([None, "ann", "bob", "human"]),
)


@given(st.lists(st.tuples(raters, st.integers(0, 100)), max_size=30))
def test_of_each_rater_the_latest_counts(said: list[tuple[Any, int]]) -> None:
    """Against a plain recomputation, by what is on the wire alone and whatever order it comes in."""
    expected: dict[Any, float] = {}
    with captured_events() as events:
        for (target, name, source, by), percent in said:
            assert feedback.give(target, name=name, source=source, by=by, score=percent / 100)
            expected[target, name, source, by] = percent / 100
        wire = [encode(one) for one in events.feedback]
    assert len(wire) == len(said)
    newest: dict[str, feedback.Feedback] = {}
    for line in sorted(wire, reverse=True):
        one = decode_feedback(line)
        known = newest.get(one.feedback_id)
        if known is None or one.timestamp > known.timestamp:
            newest[one.feedback_id] = one
    assert {
        (one.event_id or one.run_id, one.name, one.source, one.by): one.score for one in newest.values()
    } == expected


@given(st.lists(st.lists(st.none() | texts, max_size=5), unique_by=tuple, max_size=20))
def test_ids_differ_where_anything_does(said: list[list[str | None]]) -> None:
    assert len({feedback_id_of(*one) for one in said}) == len(said)


@st.composite
def given_feedback(draw: st.DrawFn) -> feedback.Feedback:
    is_event = draw(st.booleans())
    return draw(st.sampled_from([feedback.Feedback, Echo]))(
        feedback_id=draw(st.text("0123456789abcdef", min_size=32, max_size=32)),
        target="event" if is_event else "run",
        event_id=draw(ids | texts) if is_event else None,
        run_id=draw(st.none() | texts) if is_event else draw(texts),
        tenant_id=draw(st.none() | texts),
        service_name=draw(st.none() | texts),
        timestamp=draw(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(timezone.utc))),  # noqa: DTZ001
        name=draw(texts),
        source=draw(st.sampled_from(SOURCES)),
        by=draw(st.none() | texts),
        score=draw(st.none() | st.floats(0, 1)),
        label=draw(st.none() | texts),
        comment=draw(st.none() | long_texts),
    )


@given(given_feedback(), st.booleans(), st.integers(0, 2**62))
def test_the_journal_gives_back_what_was_given(one: feedback.Feedback, sampled: bool, sequence: int) -> None:
    payload = encode(one)
    appended = Record.of(one, ORIGIN, sequence, one.key, payload, sampled=sampled)
    flags = FEEDBACK | SAMPLED * sampled | ECHO * one.is_echo
    (frame,) = scan(event_frame(one.key, payload, sequence, flags), is_last=True).frames
    read = record_of(frame, ORIGIN)
    assert read is not None
    assert read == appended
    assert (read.is_feedback, read.is_echo) == (True, isinstance(one, Echo))
    as_given = {name: getattr(one, name) for name in feedback.Feedback.__struct_fields__}
    decoded = decode_feedback(read.payload)
    assert {name: getattr(decoded, name) for name in feedback.Feedback.__struct_fields__} == as_given


@given(given_feedback())
def test_a_smaller_form_is_the_same_feedback_with_less_of_its_comment(one: feedback.Feedback) -> None:
    payload = encode(one)
    before, size = decode_feedback(payload), len(payload)
    for form in smaller_forms(payload):
        less = decode_feedback(form)
        changed = {name for name in feedback.Feedback.__struct_fields__ if getattr(less, name) != getattr(before, name)}
        assert changed == {"comment"}
        assert less.comment is None or (before.comment or "").startswith(less.comment.removesuffix("…"))
        assert less.score is not None or less.label is not None or less.comment is not None
        size = len(form)
    assert size <= len(payload) + 3
