"""How well agents are chosen, in seeded simulations with bounds that can fail.

The drifting case: of three agents the best falls from 0.90 to 0.60 half way, the second stays at 0.80, 30 % of the feedback is
lost, the rest comes 60 s late. Always the best would be 0.850; all alike are 0.742.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.unit.learning.simulated import simulate

HOURS = 24
EVERY_S = 4.0


def drifting(hour: float) -> Mapping[str, float]:
    return {"planner": 0.9 if hour < HOURS / 2 else 0.6, "writer": 0.8, "solver": 0.676}


def test_it_reaches_nearly_all_that_is_possible_though_the_best_agent_degrades() -> None:
    shares = [simulate(drifting, seed=seed, hours=HOURS, every_s=EVERY_S).share for seed in (1, 2)]
    assert sum(shares) / len(shares) >= 0.97
    assert min(shares) >= 0.96


def test_without_forgetting_it_does_not() -> None:
    """The bound above is not one that anything keeps."""
    assert simulate(drifting, seed=1, hours=HOURS, every_s=EVERY_S, half_life_s=None).share < 0.95


def test_what_cannot_be_told_apart_is_shared() -> None:
    result = simulate(lambda hour: {"a": 0.8, "b": 0.8}, seed=1, hours=12, every_s=8.0)
    assert 0.3 <= result.share_of("a") <= 0.7


@pytest.mark.parametrize("floor", [0.05, 0.3])
def test_each_agent_keeps_its_floor(floor: float) -> None:
    """The worst of three gets a third of the floor: 4 standard deviations of so many decisions below that is none."""
    whole = simulate(lambda hour: {"a": 0.95, "b": 0.1, "c": 0.1}, seed=4, hours=4, floor=floor)
    result = whole.between(1, 4)
    expected = result.chosen.total() * floor / 3
    for name in ("b", "c"):
        assert expected - 4 * expected**0.5 <= result.chosen[name] <= expected + 4 * expected**0.5


def test_it_recovers_after_an_outage_of_feedback_in_which_the_best_agent_became_another() -> None:
    def changing(hour: float) -> Mapping[str, float]:
        return {"a": 0.9, "b": 0.7} if hour < 4 else {"a": 0.5, "b": 0.9}

    result = simulate(changing, seed=5, hours=12, outage=(3.0, 8.0))
    assert result.between(1, 3).share >= 0.96
    # half-lives pass in which nothing is heard: what was learned counts less and less, so more is tried than the floor
    assert result.between(3, 4).share_of("b") < 0.04
    assert result.between(7, 8).share_of("b") > 0.08
    assert result.between(9, 12).share >= 0.96
