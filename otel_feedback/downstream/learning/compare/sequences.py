"""Confidence sequences: intervals that are right at all times together, so that looking often does no harm. Pure.

An interval of a textbook is wrong in 5 of 100 looks, so who looks each day finds a difference where there is none. These are
wrong with at most `alpha` at any time, from the first look to the last, as units come: asymptotically, as with any
interval that trusts a variance which it estimates. The price is that they are wider, by half where they are tightest.

Source: Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas: Time-uniform central limit theory and asymptotic confidence sequences
(2021), theorem 2.2; the difference of two means is a mean with the variance of that estimate.
"""

from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["LEAST", "Interval", "Sample", "difference", "mean", "units_until"]

LEAST = 100
"""Units that a variant has at least before an interval is given: before that its variance says little."""
TIGHTEST_AT = 8_000
"""Units, of both, at which the intervals are the tightest that they can be; at a fourth of them 8 % wider, at four times 3 %."""
IN_SIGHT = 100
"""What needs more than so many times the units that there are is not in sight."""


class Sample(NamedTuple):
    """What the units of one variant came to: how many, the mean of their values, the variance of one around it."""

    units: int
    mean: float
    variance: float


class Interval(NamedTuple):
    """An estimate, and between what the truth is."""

    estimate: float
    low: float
    high: float


def mean(one: Sample, alpha: float, *, is_share: bool) -> Interval:
    """Return the mean of a variant with its confidence sequence.

    Args:
        one: With at least LEAST units.
        alpha: With what probability it is wrong at any time, at most.
        is_share: The values are from 0 to 1.
    """
    half = _half(one.units, _variance(one, is_share) / one.units, alpha)
    return Interval(one.mean, one.mean - half, one.mean + half)


def difference(of: Sample, against: Sample, alpha: float, *, is_share: bool) -> Interval:
    """Return by how much the mean of one variant is above that of another, with its confidence sequence.

    Args:
        of: With at least LEAST units.
        against: As many.
        alpha: With what probability it is wrong at any time, at most.
        is_share: The values are from 0 to 1.
    """
    estimate = of.mean - against.mean
    half = _half(of.units + against.units, _spread(of, against, is_share), alpha)
    return Interval(estimate, estimate - half, estimate + half)


def units_until(of: Sample, against: Sample, alpha: float, *, is_share: bool) -> int | None:
    """Return how many more units, of both, it takes until the difference that is seen now would be certain, if it stays.

    None where that is not in sight: over IN_SIGHT times as many as there are.
    """
    estimate, now = abs(of.mean - against.mean), of.units + against.units
    spread = _spread(of, against, is_share) * now  # what falls as 1/n

    def is_certain(units: int) -> bool:
        return _half(units, spread / units, alpha) < estimate

    low, high = now, now * IN_SIGHT
    if not is_certain(high):
        return None
    while high - low > 1:
        between = (low + high) // 2
        low, high = (low, between) if is_certain(between) else (between, high)
    return high - now


def _half(units: int, variance_of_estimate: float, alpha: float) -> float:
    """Return half the width: theorem 2.2, for an estimate whose variance falls as 1/units."""
    # the rho that is best at that number of units (their appendix B.2)
    rho_squared = (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / TIGHTEST_AT
    grown = units * rho_squared + 1
    return math.sqrt(variance_of_estimate * 2 * grown / (units * rho_squared) * math.log(math.sqrt(grown) / alpha))


def _spread(of: Sample, against: Sample, is_share: bool) -> float:
    return _variance(of, is_share) / of.units + _variance(against, is_share) / against.units


def _variance(one: Sample, is_share: bool) -> float:
    """Return the variance of one unit's value; of shares as if two more units had been seen, at 0 and at 1.

    Else a variant without a failure yet would have no variance, and be certain.
    """
    if not is_share:
        return one.variance
    units = one.units + 2
    centre = (one.units * one.mean + 1) / units
    squares = (one.units - 1) * one.variance + one.units * one.mean**2 + 1
    return squares / units - centre**2
