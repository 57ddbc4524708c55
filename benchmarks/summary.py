"""Figures from rounds: percentiles, and ratios of rounds that ran next to each other.

Ratios are taken pair by pair and then summarised, because two neighbouring rounds meet the same noise: a machine
that is busy for a second slows both, and their ratio stays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Spread", "median", "paired", "percentile"]


@dataclass(frozen=True, slots=True)
class Spread:
    """A median with the range that holds the middle 80 % of the values."""

    median: float
    p10: float
    p90: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarise at least one value."""
        return cls(median(values), percentile(values, 10), percentile(values, 90), len(values))


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value below which `percent` (0 to 100) of the values lie, interpolated between neighbours.

    Raises:
        ValueError: There are no values, or the percentage is out of range.
    """
    if not values or not 0 <= percent <= 100:
        raise ValueError(f"percentile {percent:g} of {len(values)} values")
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    below, above = ordered[math.floor(place)], ordered[math.ceil(place)]
    return below + (above - below) * (place - math.floor(place))


def median(values: Sequence[float]) -> float:
    """Return the middle value."""
    return percentile(values, 50)


def paired(ours: Sequence[float], baseline: Sequence[float]) -> Spread:
    """Summarise ours / baseline, round by round.

    Raises:
        ValueError: The rounds do not pair up.
    """
    return Spread.of([a / b for a, b in zip(ours, baseline, strict=True)])
