"""Who gets which variant: what stays when weights stay, and who moves when they change, for any weights."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import otel_feedback as feedback
from otel_feedback.capture import experiments

NAMES = st.text(max_size=8)
UNITS = st.one_of(st.text(min_size=1, max_size=12), st.integers(), st.uuids())
WEIGHTS = st.dictionaries(NAMES, st.floats(0.001, 1_000), min_size=1, max_size=5)
MANY = [f"user-{number}" for number in range(10_000)]


def drawn(weights: Mapping[str, float], experiment: str = "e") -> list[str]:
    return [feedback.variant(experiment, weights, unit=unit) for unit in MANY]


@given(st.text(max_size=8), WEIGHTS, UNITS, st.randoms(use_true_random=False))
def test_a_unit_gets_the_same_whenever_and_however_it_is_asked(
    experiment: str, weights: dict[str, float], unit: object, rng: random.Random
) -> None:
    first = feedback.variant(experiment, weights, unit=unit)
    shuffled = [*weights.items()]
    rng.shuffle(shuffled)
    assert first in weights
    assert feedback.variant(experiment, dict(shuffled), unit=unit) == first
    assert feedback.variant(experiment, {**weights, "another": 0.0}, unit=unit) == first
    assert feedback.variant(experiment, {name: weight * 4 for name, weight in weights.items()}, unit=unit) == first


@given(WEIGHTS, UNITS, st.data())
def test_a_weight_that_grows_takes_units_and_no_other_gets_any(
    weights: dict[str, float], unit: object, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(weights)))
    grown = {**weights, name: weights[name] * data.draw(st.floats(1, 1_000))}
    before, after = (feedback.variant("e", each, unit=unit) for each in (weights, grown))
    assert after in (before, name)


@given(WEIGHTS, UNITS, st.data())
def test_a_variant_that_is_new_takes_units_and_one_that_goes_gives_them_away(
    weights: dict[str, float], unit: object, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(weights)))
    without = {other: weight for other, weight in weights.items() if other != name}
    assume(without)
    whole, less = (feedback.variant("e", each, unit=unit) for each in (weights, without))
    assert whole in (less, name)


@given(WEIGHTS, UNITS, st.data())
def test_in_any_order_of_changes_units_move_to_what_has_grown_against_what_they_had(
    weights: dict[str, float], unit: object, data: st.DataObject
) -> None:
    for _ in range(4):
        changed = {name: data.draw(st.floats(0.001, 1_000)) for name in weights}
        before, after = (feedback.variant("e", each, unit=unit) for each in (weights, changed))
        if before != after:
            grew, shrank = changed[after] / weights[after], changed[before] / weights[before]
            assert grew >= shrank * (1 - 1e-9)
        weights = changed


def test_growing_b_from_a_tenth_to_three_tenths_moves_units_to_b_alone() -> None:
    before, after = drawn({"a": 0.9, "b": 0.1}), drawn({"a": 0.7, "b": 0.3})
    moved = Counter((one, other) for one, other in zip(before, after, strict=True) if one != other)
    assert moved.keys() == {("a", "b")}
    assert moved["a", "b"] == pytest.approx(2_000, abs=5 * (10_000 * 0.2 * 0.8) ** 0.5)


@pytest.mark.parametrize("weights", [{"a": 0.5, "b": 0.5}, {"a": 6, "b": 3, "c": 1}, {"a": 0.99, "b": 0.01}], ids=str)
def test_shares_are_those_of_the_weights(weights: dict[str, float]) -> None:
    counted, total = Counter(drawn(weights)), sum(weights.values())
    for name, weight in weights.items():
        share = weight / total
        assert counted[name] == pytest.approx(share * 10_000, abs=5 * (10_000 * share * (1 - share)) ** 0.5)


def test_experiments_do_not_know_of_each_other() -> None:
    """Of those who have b in one, as many have b in another one as of all."""
    weights = {"a": 0.7, "b": 0.3}
    pairs = Counter(zip(drawn(weights, "first"), drawn(weights, "second"), strict=True))
    assert pairs["b", "b"] == pytest.approx(900, abs=5 * (10_000 * 0.09 * 0.91) ** 0.5)


def test_other_versions_and_languages_get_the_same() -> None:
    """What is released stays: a change of the hash would shuffle every experiment that runs."""
    expected = {"u-1": "a", "u-2": "a", "u-3": "b", "u-4": "a", "Zoë": "c", 17: "a"}
    for unit, variant in expected.items():
        assert feedback.variant("prompt-7", {"a": 0.5, "b": 0.3, "c": 0.2}, unit=unit) == variant


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No action is open here, which is said once, and not what this is about."""
    monkeypatch.setattr(experiments, "_said", {("action", "e")})
