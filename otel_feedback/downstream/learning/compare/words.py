"""A comparison in words and written numbers, for a terminal and a page alike: what stands in a row, and what speaks against it. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple

from otel_feedback.downstream.learning.compare.comparing import Comparison, Difference, MetricOf, OfAction
from otel_feedback.downstream.learning.compare.question import Question
from otel_feedback.logger import duration_of, number_of
from otel_feedback.shares import percent

__all__ = ["Remark", "Row", "basis", "compared_only", "remarks", "remarks_on", "rows"]

LEAST_GAP = 0.05
"""Shares of what is known that differ by more are told."""
_NO_VALUE = "-"


class Remark(NamedTuple):
    """What is to be known before one believes the numbers; `doubt` and `wrong` speak against it."""

    text: str
    weight: Literal["plain", "doubt", "wrong"]


class Row(NamedTuple):
    """A variant of a metric as it is written. `verdict` is that of its difference, None of the baseline."""

    variant: str
    mean: str
    difference: str
    interval: str
    state: str
    verdict: str | None


def remarks(question: Question, found: Comparison) -> Iterator[Remark]:
    """Yield what is to be known of all of it."""
    if not found.units:
        if question.experiment is None:
            yield Remark(f"no action of {' or '.join(question.values)} has ended", "plain")
        elif found.events:
            told = f"{number_of(found.events, 'event')}, and none of an action that ended and asked for a variant"
            yield Remark(told, "doubt")
        else:
            yield Remark("no event of this experiment", "plain")
        return
    yield Remark(", ".join(f"{name} {number_of(units, 'unit')}" for name, units in found.units.items()), "plain")
    missing = [name for name in (found.baseline, *question.values) if name not in found.units]
    if missing:
        yield Remark(f"none of {missing[0]}: there is nothing to compare", "doubt")
    elif len(found.units) < 2:
        yield Remark("there is nothing to compare it with", "doubt")
    if not found.is_drawn:
        yield Remark(f"Nobody drew who got which: by {question.by} they may differ in more than that.", "doubt")
    yield from _of_assignment(found)
    if found.in_several:
        yield Remark(f"{number_of(found.in_several, 'unit')} had several and count in each.", "doubt")


def _of_assignment(found: Comparison) -> Iterator[Remark]:
    told = found.assignment
    if told is None:
        return
    counted = ", ".join(
        f"{name} {number:,} (drawn {percent(told.expected[name])})" if name in told.expected else f"{name} {number:,}"
        for name, number in told.counted.items()
    )
    if told.p_value is None:
        text = "Not checked whether there are as many as were drawn: the events' propensities are no weights."
        yield Remark(f"{text} {counted}", "doubt")
    elif told.is_mismatch:
        text = f"There are not as many {told.counted_by} as were drawn: {counted}. Something loses or adds some: find it before"
        text += f" you believe what follows (wrong in {told.level * 100:g} of 100 at most, however often one looks)."
        yield Remark(text, "wrong")
    if told.weights_changed:
        text = "The weights were changed: before and after, other times and other units. Compare what is since that."
        yield Remark(text, "doubt")


def remarks_on(action: OfAction, found: Comparison) -> Iterator[str]:
    """Yield in what the variants of an action differ otherwise, which all speaks against comparing them."""
    for metric in action.metrics:
        shares = {one.variant: one.coverage for one in metric.variants}
        if len(shares) > 1 and max(shares.values()) - min(shares.values()) > LEAST_GAP:
            known = ", ".join(f"{percent(share, 0)} of {name}" for name, share in shares.items())
            yield f"{metric.metric} is known of {known}: what is not known may differ"
    for one in action.imbalances:
        value = _NO_VALUE if one.value is None else one.value
        yield f"{one.name} {value}: {percent(one.share, 0)} of the units of {one.variant}, {percent(one.baseline, 0)} of {found.baseline}"


def compared_only(found: Comparison) -> str | None:
    """Return of which actions there is one variant alone; None where there is none."""
    alone = [each.action_type for each in found.actions if len(each.units) < 2 <= len(found.units)]
    return f"only one has {', '.join(alone)}: nothing to compare" if alone else None


def basis(found: Comparison) -> str:
    """Return how certain the intervals are."""
    return f"The intervals of a metric hold at {found.level * 100:g} %, at all times together."


def rows(metric: MetricOf, found: Comparison) -> Iterator[Row]:
    """Yield a metric's rows, the baseline first."""
    differences = {each.variant: each for each in metric.differences}
    variants = sorted(metric.variants, key=lambda each: (each.variant != found.baseline, each.variant))
    largest = max((abs(each.mean) for each in variants), default=0.0)
    form = _Form(metric.unit, 2 - math.floor(math.log10(largest)) if largest else 2)
    for one in variants:
        other = differences.get(one.variant)
        known = "" if one.coverage > 0.995 else f"{percent(one.coverage, 0)} known"
        shown = ("", "", known, None) if other is None else _compared(form, other)
        yield Row(one.variant, form.value(one.mean), *shown)


def _compared(form: _Form, one: Difference) -> tuple[str, str, str, str]:
    state = one.verdict
    if state == "not enough yet":
        state += ": far off" if one.more_units is None else f": {_rounded(one.more_units):,} more"
    interval = "" if one.low is None or one.high is None else form.between(one.low, one.high)
    return form.change(one.estimate), interval, state, one.verdict


def _rounded(number: int) -> int:
    """Return it with two digits: it is an estimate."""
    digits = max(0, len(str(number)) - 2)
    return -(-number // 10**digits) * 10**digits


class _Form(NamedTuple):
    """How values of a metric are written: with as many digits after the point, of dollars, as the largest mean needs."""

    unit: str
    digits: int

    def value(self, value: float) -> str:
        if self.unit == "share":
            return percent(value)
        if self.unit == "usd":
            return f"${value:,.{max(2, self.digits)}f}"
        return f"{value:.3f}" if self.unit == "score" else duration_of(value)

    def change(self, value: float) -> str:
        if self.unit == "share":
            return f"{value * 100:+.1f} pt"
        return f"{value:+.3f}" if self.unit == "score" else ("-" if value < 0 else "+") + self.value(abs(value))

    def between(self, low: float, high: float) -> str:
        one, other = self.change(low), self.change(high)
        return f"{one.removesuffix(' pt')} to {other}"
