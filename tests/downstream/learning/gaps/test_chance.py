"""P-values against what they are defined to be, added up plainly or drawn."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_feedback.downstream.learning.gaps.chance import Counted, adjusted, log_p, log_p_of_failures, log_p_of_ranks


@given(st.data())
def test_the_tail_of_failures_is_fishers(data: st.DataObject) -> None:
    everything = data.draw(st.integers(2, 200))
    all_failed = data.draw(st.integers(0, everything))
    actions = data.draw(st.integers(1, everything - 1))
    failed = data.draw(st.integers(max(0, actions - (everything - all_failed)), min(actions, all_failed)))
    ways = sum(
        math.comb(all_failed, k) * math.comb(everything - all_failed, actions - k)
        for k in range(failed, min(actions, all_failed) + 1)
    )
    p = ways / math.comb(everything, actions)
    wanted = 0.0 if failed <= actions * all_failed / everything else math.log(p)
    assert log_p_of_failures(failed, actions, all_failed, everything) == pytest.approx(wanted, abs=1e-9)


def test_a_tail_beyond_what_a_float_holds_is_a_number() -> None:
    assert -1e5 < log_p_of_failures(20_000, 40_000, 30_000, 1_000_000) < -800
    far = Counted(1_000, 0.9, 900.0, 820.0, 0, 0)
    assert -1e4 < log_p_of_ranks(far, Counted(100_000, 0.5, 50_000.0, 33_333.0, 0, 0)) < -800


def test_ranks_are_as_likely_as_when_they_are_drawn() -> None:
    """Of 10,000 draws of 40 among 400 marks, skewed and with ties, the share that is as far out as its p-value says."""
    lot = random.Random(1)
    marks = sorted(round(1 - lot.random() ** 6, 2) for _ in range(400))
    ranks = {mark: (marks.index(mark) + (marks.count(mark) + 1) / 2) / 400 for mark in set(marks)}
    scores = [1 - ranks[mark] for mark in marks]
    whole = counted(scores)
    drawn = [log_p_of_ranks(counted(lot.sample(scores, 40)), whole) for _ in range(10_000)]
    for level in (0.5, 0.1, 0.01):
        share = sum(math.exp(each) <= level for each in drawn) / len(drawn)
        assert share == pytest.approx(level, rel=0.12 if level > 0.05 else 0.35)


def counted(scores: list[float]) -> Counted:
    return Counted(len(scores), 0, sum(scores), sum(score * score for score in scores), 0, 0)


@given(st.lists(st.floats(-60, 0), min_size=1, max_size=60))
def test_adjusted_is_what_yekutieli_says(log_ps: list[float]) -> None:
    """The least of p times count times the harmonic number by rank, over all ranks from its own on."""
    count = len(log_ps)
    harmonic = sum(1 / number for number in range(1, count + 1))
    ordered = sorted(log_ps)
    for log_value, value in zip(log_ps, adjusted(log_ps), strict=True):
        place = ordered.index(log_value)
        least = min(math.exp(ordered[rank]) * count * harmonic / (rank + 1) for rank in range(place, count))
        assert value == pytest.approx(min(least, 1.0), rel=1e-9)


@given(st.data())
def test_actions_that_go_together_never_prove_more(data: st.DataObject) -> None:
    everything = data.draw(st.integers(100, 5_000))
    all_failed = data.draw(st.integers(5, everything // 2))
    actions = data.draw(st.integers(50, everything - 50))
    failed = data.draw(st.integers(max(0, actions - (everything - all_failed)), min(actions, all_failed)))
    here, whole = Counted(actions, failed, failed, failed, 0, 0), Counted(everything, all_failed, 0, 0, 0, 0)
    factor = data.draw(st.floats(1, 20))
    alone, together = log_p("success", here, whole, 1.0), log_p("success", here, whole, factor)
    assert not math.isinf(together)
    assert together >= alone - 0.7  # of a whole number, rounding is at most a factor of two
