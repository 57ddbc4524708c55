"""Laws of what selectors believe and draw by."""

from __future__ import annotations

import math
import random
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_feedback.events.feedback import Feedback
from otel_feedback.events.model import OutcomeEvent, OutcomeStatus
from otel_feedback.learning.reward import Reward
from otel_feedback.learning.selector.beliefs import Belief, Beliefs
from otel_feedback.learning.selector.best import mixed, probabilities_of_being_best
from otel_feedback.learning.selector.lessons import Lessons

HALF_LIFE_S = 50.0

names = st.sampled_from("abc")
times = st.integers(0, 500).map(float)
rewards = st.floats(0.0, 1.0)
taught = st.lists(st.tuples(names, times, rewards), max_size=12)
believed = st.builds(Belief, st.floats(0.0, 1e6), st.floats(0.0, 1e6))


def beliefs_of(lessons: list[tuple[str, float, float]]) -> Beliefs:
    beliefs = Beliefs(HALF_LIFE_S)
    for name, at, reward in lessons:
        beliefs.teach(name, at, reward)
    return beliefs


def sum_of(*parts: Beliefs) -> Beliefs:
    total = Beliefs(HALF_LIFE_S)
    for part in parts:
        total.add(part)
    return total


def assert_same(one: Beliefs, other: Beliefs) -> None:
    for beliefs in (one, other):
        beliefs.forget_until(500.0)
    assert one.of.keys() == other.of.keys()
    for name, belief in one.of.items():
        assert belief.successes == pytest.approx(other.of[name].successes, abs=1e-9)
        assert belief.failures == pytest.approx(other.of[name].failures, abs=1e-9)
        assert belief.outcomes == other.of[name].outcomes


@given(taught, taught, taught)
def test_beliefs_add_up_to_the_same_however_they_are_grouped(
    one: list[tuple[str, float, float]], two: list[tuple[str, float, float]], three: list[tuple[str, float, float]]
) -> None:
    a, b, c = (beliefs_of(each) for each in (one, two, three))
    whole = beliefs_of([*one, *two, *three])
    assert_same(sum_of(sum_of(a, b), c), whole.copy())
    assert_same(sum_of(a, sum_of(b, c)), whole.copy())
    assert_same(sum_of(c, a, b), whole.copy())


@given(taught, st.randoms())
def test_outcomes_are_learned_in_any_order(lessons: list[tuple[str, float, float]], order: random.Random) -> None:
    shuffled = lessons.copy()
    order.shuffle(shuffled)
    assert_same(beliefs_of(lessons), beliefs_of(shuffled))


@given(st.lists(believed, min_size=1, max_size=6), st.floats(0.0, 1.0))
def test_probabilities_add_up_to_1_and_keep_the_floor(beliefs: list[Belief], floor: float) -> None:
    best = probabilities_of_being_best(beliefs)
    assert math.fsum(best) == pytest.approx(1.0)
    drawn = mixed({str(number): probability for number, probability in enumerate(best)}, floor)
    assert math.fsum(drawn.values()) == pytest.approx(1.0)
    assert min(drawn.values()) >= floor / len(beliefs) - 1e-12


@pytest.mark.parametrize(
    "beliefs",
    [
        [Belief(0, 0), Belief(0, 0), Belief(5, 1)],
        [Belief(0.2, 40), Belief(30, 1), Belief(300, 11), Belief(3_000, 120)],
        [Belief(900_000, 100_000), Belief(0, 0)],
        [Belief(20, 10), Belief(21, 10), Belief(22, 10)],
    ],
)
def test_they_are_those_by_which_the_best_of_some_draws_is_found(beliefs: list[Belief]) -> None:
    luck, draws = random.Random(1), 20_000
    wins = [0] * len(beliefs)
    for _ in range(draws):
        drawn = [luck.betavariate(each.alpha, each.beta) for each in beliefs]
        wins[drawn.index(max(drawn))] += 1
    for found, count in zip(probabilities_of_being_best(beliefs), wins, strict=True):
        assert found == pytest.approx(count / draws, abs=0.015)


# -- what is known better later ------------------------------------------------------------------------------

statuses = st.sampled_from(list(OutcomeStatus))
events = st.lists(
    st.tuples(st.sampled_from(["one", "two"]), st.integers(0, 4), statuses, st.none() | st.floats(0.0, 1.0)), max_size=8
)
spoken = st.lists(
    st.tuples(st.sampled_from(["one", "two"]), st.sampled_from("xy"), st.integers(0, 9), st.floats(0.0, 1.0)),
    max_size=8,
)


def learned(records: list[OutcomeEvent | Feedback]) -> Beliefs:
    beliefs = Beliefs(None)
    lessons = Lessons(Reward(), beliefs.teach, beliefs.note_feedback)
    for record in records:
        if isinstance(record, Feedback):
            lessons.hear(record)
        else:
            lessons.take("a", record)
    return beliefs


@given(events, spoken, st.randoms())
def test_only_the_highest_revision_and_the_newest_feedback_count_in_whatever_order_they_come(
    known: list[tuple[str, int, OutcomeStatus, float | None]],
    said: list[tuple[str, str, int, float]],
    order: random.Random,
) -> None:
    moment = datetime(2026, 1, 1, tzinfo=timezone.utc)
    latest: dict[str, tuple[int, OutcomeStatus, float | None]] = {}
    records: list[OutcomeEvent | Feedback] = []
    for event_id, revision, status, quality in dict.fromkeys(known):
        if any(record.event_id == event_id and record.revision == revision for record in records):
            continue
        records.append(
            OutcomeEvent(
                action_type="x",
                status=status,
                event_id=event_id,
                revision=revision,
                quality_score=quality,
                timestamp=moment,
            )
        )
        if event_id not in latest or revision > latest[event_id][0]:
            latest[event_id] = revision, status, quality
    scores: dict[str, dict[str, tuple[int, float]]] = {}
    for event_id, rater, second, score in said:
        if any(
            isinstance(r, Feedback) and r.feedback_id == event_id + rater and r.timestamp.second == second
            for r in records
        ):
            continue
        records.append(
            Feedback(
                feedback_id=event_id + rater, target="event", event_id=event_id, timestamp=moment.replace(second=second),
                name="n", source="human", score=score,
            )
        )  # fmt: skip
        if second > scores.setdefault(event_id, {}).get(rater, (-1, 0.0))[0]:
            scores[event_id][rater] = second, score
    order.shuffle(records)
    beliefs = learned(records)
    worth: list[float] = []
    for event_id, (_, status, quality) in latest.items():
        raters = scores.get(event_id, {})
        mean = sum(score for _, score in raters.values()) / len(raters) if raters else None
        highest = OutcomeEvent(action_type="x", status=status, quality_score=quality)
        reward = Reward().of(highest, mean)
        if reward is not None:
            worth.append(reward)
    belief = beliefs.of.get("a") or Belief()
    # one that has ended and is pending again, by a higher revision, is worth what it was worth
    if all(status is not OutcomeStatus.PENDING for _, _, status, _ in known):
        assert belief.outcomes == len(worth)
        assert belief.successes == pytest.approx(sum(worth), abs=1e-9)
        assert belief.feedback == sum(1 for event_id in latest if scores.get(event_id))
