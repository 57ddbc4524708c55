"""How often the intervals are wrong, and how soon they find what is there: simulated, with bounds that can fail.

Whoever looks every 100 events at an interval of a textbook is wrong in a third of all experiments without a difference.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import math
import random
import statistics
from collections.abc import Callable

import pytest

from otel_feedback.downstream.learning.compare.balance import MISMATCH_LEVEL, mismatch_p
from otel_feedback.downstream.learning.compare.sequences import LEAST, Sample, difference, mean, units_until

ALPHA = 0.05
LOOK = 100
Draws = Callable[[random.Random, int], tuple[float, float]]
"""Of so many units: the sum of their values, and that of the squares."""


@functools.cache
def chances(units: int, of: float) -> list[float]:
    """Return how probable it is that so many of the units succeed, or fewer."""
    each = (math.comb(units, k) * of**k * (1 - of) ** (units - k) for k in range(units + 1))
    return list(itertools.accumulate(each))


def share(of: float) -> Draws:
    """Return what draws how many succeed of so many units."""

    def draws(rng: random.Random, units: int) -> tuple[float, float]:
        successes = min(units, bisect.bisect_left(chances(units, of), rng.random()))
        return successes, successes

    return draws


def skewed(rng: random.Random, units: int) -> tuple[float, float]:
    values = [rng.lognormvariate(0, 1) for _ in range(units)]
    return math.fsum(values), math.fsum(value * value for value in values)


def sample(units: int, total: float, squares: float) -> Sample:
    return Sample(units, total / units, max(0.0, squares - total * total / units) / (units - 1))


def found_after(
    draws: tuple[Draws, Draws], rng: random.Random, upto: int, first_share: float = 0.5, *, is_share: bool = True
) -> float:
    """Return after how many events a difference is told, looking every LOOK events; infinity: never."""
    units, totals, squares = [0, 0], [0.0, 0.0], [0.0, 0.0]
    of_first = round(LOOK * first_share)
    for seen in range(LOOK, upto + 1, LOOK):
        for place, more in enumerate((of_first, LOOK - of_first)):
            total, squared = draws[place](rng, more)
            units[place] += more
            totals[place] += total
            squares[place] += squared
        if min(units) >= LEAST:
            samples = [sample(units[place], totals[place], squares[place]) for place in (0, 1)]
            _, low, high = difference(samples[1], samples[0], ALPHA, is_share=is_share)
            if not low <= 0 <= high:
                return seen
    return math.inf


def most(of: int, share: float) -> float:
    """Return how many of so many are hardly exceeded, if that is the share of them."""
    return of * share + 3 * math.sqrt(of * share * (1 - share))


def test_without_a_difference_few_are_told_of_one_however_often_they_look() -> None:
    """At most 1.5 % in 5,000 events, and at most the 5 % that are promised in eight times as many."""
    rng = random.Random(7)
    told = [found_after((share(0.9), share(0.9)), rng, 5_000) for _ in range(1_000)]
    assert sum(map(math.isfinite, told)) <= 15
    told = [found_after((share(0.9), share(0.9)), rng, 40_000) for _ in range(200)]
    assert sum(map(math.isfinite, told)) <= most(200, ALPHA)


def test_nine_tenths_are_told_from_87_in_the_hundred_within_4_000_events() -> None:
    rng = random.Random(8)
    told = [found_after((share(0.9), share(0.87)), rng, 20_000) for _ in range(500)]
    assert statistics.median(told) <= 4_000
    assert sum(map(math.isfinite, told)) >= 490


@pytest.mark.parametrize(
    ("draws", "first_share", "is_share"),
    [
        pytest.param(skewed, 0.9, False, id="costs that are skewed, and groups of 9 to 1"),
        pytest.param(share(0.995), 0.5, True, id="failures that are rare"),
        pytest.param(share(0.995), 0.95, True, id="failures that are rare, and groups of 19 to 1"),
    ],
)  # fmt: skip
def test_it_holds_where_the_normal_distribution_is_far(draws: Draws, first_share: float, is_share: bool) -> None:
    rng = random.Random(9)
    told = [found_after((draws, draws), rng, 3_000, first_share, is_share=is_share) for _ in range(200)]
    assert sum(map(math.isfinite, told)) <= most(200, ALPHA)


def test_an_interval_holds_the_truth_at_all_times_together() -> None:
    rng, missed = random.Random(10), 0
    for _ in range(200):
        total, is_missed = 0.0, False
        for units in range(LOOK, 5_001, LOOK):
            total += share(0.7)(rng, LOOK)[0]
            _, low, high = mean(sample(units, total, total), ALPHA, is_share=True)
            is_missed = is_missed or not low <= 0.7 <= high
        missed += is_missed
    assert missed <= most(200, ALPHA)


def test_how_many_units_more_is_what_it_then_takes() -> None:
    of, against = Sample(600, 0.86, 0.1204), Sample(900, 0.9, 0.09)
    more = units_until(of, against, ALPHA, is_share=False)
    assert more is not None
    for units, is_certain in ((1_500 + more, True), (1_500 + more - 5, False)):
        later, other = (each._replace(units=round(each.units * units / 1_500)) for each in (of, against))
        assert (difference(later, other, ALPHA, is_share=False).high < 0) is is_certain
    assert units_until(of, of._replace(mean=0.8601), ALPHA, is_share=False) is None


def test_a_variant_without_a_failure_yet_is_not_certain() -> None:
    low, high = difference(Sample(100, 1.0, 0.0), Sample(100, 1.0, 0.0), ALPHA, is_share=True)[1:]
    assert low < -0.05 < 0.05 < high


# -- as many as were drawn -----------------------------------------------------------------------------------------


def mismatch_after(real: float, rng: random.Random, upto: int, drawn: float = 0.5) -> float:
    """Return after how many units a mismatch is told, looking every LOOK of them."""
    first = 0
    for seen in range(LOOK, upto + 1, LOOK):
        first += int(share(real)(rng, LOOK)[0])
        if mismatch_p([first, seen - first], [drawn, 1 - drawn]) <= MISMATCH_LEVEL:
            return seen
    return math.inf


def test_a_mismatch_is_hardly_told_where_there_is_none_and_soon_where_there_is() -> None:
    rng = random.Random(11)
    for drawn in (0.5, 0.9):
        told = [mismatch_after(drawn, rng, 5_000, drawn) for _ in range(300)]
        assert sum(map(math.isfinite, told)) <= most(300, MISMATCH_LEVEL)
    told = [mismatch_after(0.55, rng, 10_000) for _ in range(50)]
    assert statistics.median(told) <= 2_500


def test_a_variant_that_nobody_has_is_a_mismatch() -> None:
    assert mismatch_p([30, 0], [0.5, 0.5]) < 1e-4
    assert mismatch_p([50, 50], [0.5, 0.5]) == 1.0
    assert mismatch_p([10**7, 0], [0.5, 0.5]) == 0.0
