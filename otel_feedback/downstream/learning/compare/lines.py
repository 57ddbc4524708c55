"""A comparison as lines of numbers, one for each action, metric and variant: what is written as CSV. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from otel_feedback.downstream.learning.compare.comparing import Comparison

__all__ = ["HEAD", "lines"]

HEAD = (
    "action_type", "metric", "unit", "variant", "units", "actions", "coverage", "mean", "low", "high", "baseline", "difference",
    "difference_low", "difference_high", "verdict", "more_units",
)  # fmt: skip
"""What stands in a line."""


def lines(found: Comparison) -> Iterator[tuple[Any, ...]]:
    """Yield the lines; of the baseline nothing is told of a difference."""
    for action in found.actions:
        for metric in action.metrics:
            differences = {each.variant: each for each in metric.differences}
            for one in metric.variants:
                other = differences.get(one.variant)
                compared = (None,) * 6
                if other is not None:
                    compared = (
                        found.baseline, other.estimate, other.low, other.high, other.verdict, other.more_units
                    )  # fmt: skip
                yield (
                    action.action_type, metric.metric, metric.unit, one.variant, one.units, one.actions, one.coverage, one.mean,
                    one.low, one.high, *compared,
                )  # fmt: skip
