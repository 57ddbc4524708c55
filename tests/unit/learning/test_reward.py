import math

import pytest

from otel_feedback.errors import FeedbackError
from otel_feedback.events.model import OutcomeEvent, OutcomeStatus
from otel_feedback.learning.reward import SUCCESS_OF, Reward


def event(status: OutcomeStatus = OutcomeStatus.SUCCESS, **more: float) -> OutcomeEvent:
    return OutcomeEvent(action_type="answer", status=status, **more)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("status", "worth"),
    [("success", 1.0), ("partial", 0.5), ("failure", 0.0), ("timeout", 0.0), ("cancelled", 0.0), ("pending", None)],
)
def test_each_status_has_its_worth(status: str, worth: float | None):
    assert Reward().of(event(OutcomeStatus(status))) == worth
    assert Reward().of({"status": status}) == worth


def test_every_status_but_pending_is_worth_something():
    assert set(SUCCESS_OF) == {status.value for status in OutcomeStatus} - {"pending"}


def test_quality_multiplies_and_feedback_stands_in_its_place():
    assert Reward().of(event(quality_score=0.75)) == 0.75
    assert Reward().of(event(OutcomeStatus.PARTIAL, quality_score=0.5)) == 0.25
    assert Reward().of(event(quality_score=0.75), feedback=0.0) == 0.0
    row = {"status": "success", "quality_score": 0.75, "feedback_score": 0.25}
    assert Reward().of(row) == 0.25
    assert Reward().of({**row, "feedback_score": None}) == 0.75


def test_cost_and_latency_take_away_by_their_weights_and_what_is_unknown_takes_nothing():
    reward = Reward(cost_weight=2.0, latency_weight=0.1)
    assert reward.of(event()) == 1.0
    assert reward.of(event(cost_estimate=0.1)) == pytest.approx(0.8)
    assert reward.of(event(duration_ms=3_000.0)) == pytest.approx(0.7)
    assert reward.of(event(duration_ms=3_000.0, latency_ms=5_000.0)) == pytest.approx(0.5)
    assert reward.of(event(cost_estimate=0.1, latency_ms=3_000.0)) == pytest.approx(0.5)


def test_a_reward_stays_within_0_and_1_whatever_is_given():
    reward = Reward(cost_weight=1e9, latency_weight=1e9)
    assert reward.of(event(cost_estimate=1e300, latency_ms=1e300)) == 0.0
    assert Reward().of({"status": "success", "quality_score": 7.0}) == 1.0
    assert Reward().of({"status": "success", "quality_score": math.nan}) == 0.0
    assert Reward().of({"status": "no such"}) is None


@pytest.mark.parametrize("name", ["cost_weight", "latency_weight"])
@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf, True, "1"])
def test_a_weight_that_cannot_be_used_is_named(name: str, value: object):
    with pytest.raises(FeedbackError, match=f"{name} is .*: expected a number from 0"):
        Reward(**{name: value})  # pyright: ignore[reportArgumentType]
