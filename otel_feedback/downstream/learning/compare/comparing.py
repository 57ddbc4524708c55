"""Two ways compared: what each variant came to, by how much they differ, and whether that is certain yet.

    Tables ──► choose ──► seen ──► Sample of each action, metric, group ──► intervals ──► Comparison
                             └──► Assignment, Imbalance

Only actions of one type are held against each other. For the thread of the tables; nothing is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from otel_feedback.downstream.learning.compare.balance import Assignment, Imbalance, assignment, imbalances
from otel_feedback.downstream.learning.compare.counting import METRICS, Counted, choose, count
from otel_feedback.downstream.learning.compare.question import Question
from otel_feedback.downstream.learning.compare.sequences import LEAST, difference, mean, units_until
from otel_feedback.downstream.tables.selection import Selection
from otel_feedback.downstream.tables.tables import Tables

__all__ = ["Comparison", "Difference", "MetricOf", "OfAction", "OfVariant", "baseline_of", "compare"]


class OfVariant(msgspec.Struct, frozen=True):
    """What a variant came to: the mean of its units, each with the mean of its actions, and between what it is.

    `coverage` is the share of its actions of which the metric is known.
    """

    variant: str
    units: int
    actions: int
    coverage: float
    mean: float
    low: float | None
    high: float | None


class Difference(msgspec.Struct, frozen=True):
    """How much more a variant has than the baseline.

    `verdict` is `better`, `worse` or `not enough yet`; then `more_units` is how many units more, of both, it takes if the
    difference stays as it is: None where that is not in sight. Without an interval there are too few units of either.
    """

    variant: str
    estimate: float
    low: float | None
    high: float | None
    verdict: str
    more_units: int | None


class MetricOf(msgspec.Struct, frozen=True):
    """One metric of one action. `unit`: share, score, usd, or ms."""

    metric: str
    unit: str
    better: str
    variants: Sequence[OfVariant]
    differences: Sequence[Difference]


class OfAction(msgspec.Struct, frozen=True):
    """What is known of actions of one type: metrics of which anything is. `units` and `actions` by variant, the baseline first."""

    action_type: str
    units: Mapping[str, int]
    actions: Mapping[str, int]
    metrics: Sequence[MetricOf]
    imbalances: Sequence[Imbalance]


class Comparison(msgspec.Struct, frozen=True):
    """The answer. `level` is that of each metric's differences together; `events` is how many had a say in it.

    `in_several` are units with several variants, which count in each; `is_drawn`: chance decided who got which.
    """

    baseline: str | None
    level: float
    is_drawn: bool
    events: int
    units: Mapping[str, int]
    in_several: int
    assignment: Assignment | None
    actions: Sequence[OfAction]


def compare(tables: Tables, question: Question, selection: Selection, level: float = 0.95) -> Comparison:
    """Return how the variants of an experiment, or the two values of something, compare.

    Args:
        tables: With the columns of `question` and `selection`; what has no say in it is let go of.
        question: What is compared.
        selection: Which of its actions.
        level: With what probability all differences of a metric are within their intervals, at all times: below 1.
    """
    choose(tables, question, selection)
    counted = count(tables)
    events, several = tables.query(
        "SELECT (SELECT count(*) FROM outcomes),"
        " (SELECT count(*) FROM (SELECT unit FROM seen GROUP BY unit HAVING count(DISTINCT grp) > 1))"
    )[0]
    units = dict(tables.query("SELECT grp, count(DISTINCT unit) FROM seen GROUP BY grp ORDER BY grp"))
    baseline = baseline_of(question, units)
    found = [] if baseline is None else imbalances(tables, question, baseline)
    names = [name for name in units if name != baseline]
    alpha = (1 - level) / max(1, len(names))
    actions = [
        _of_action(action, counted, baseline, names, alpha, [each for each in found if each.action_type == action])
        for action in _by_size(counted)
        if baseline is not None
    ]
    return Comparison(
        baseline, level, question.experiment is not None, events, units, several,
        assignment(tables) if question.experiment is not None else None, actions,
    )  # fmt: skip


def baseline_of(question: Question, names: Mapping[str, int]) -> str | None:
    """Return what the others are held against: what was asked for, else the first value, else the first name."""
    if question.baseline is not None:
        return question.baseline
    return question.values[0] if question.values else min(names, default=None)


def _by_size(counted: Mapping[tuple[str, str, str], Sequence[Counted]]) -> list[str]:
    sizes: dict[str, int] = {}
    for (action, metric, _), parts in counted.items():
        if metric == "success":
            sizes[action] = sizes.get(action, 0) + parts[-1].actions
    return sorted(sizes, key=lambda action: (-sizes[action], action))


def _of_action(
    action: str, counted: Mapping[tuple[str, str, str], Sequence[Counted]], baseline: str, names: Sequence[str],
    alpha: float, imbalances: Sequence[Imbalance],
) -> OfAction:  # fmt: skip
    all_names = [name for name in (baseline, *names) if (action, "success", name) in counted]
    last = {name: counted[action, "success", name][-1] for name in all_names}
    return OfAction(
        action,
        {name: one.sample.units for name, one in last.items()},
        {name: one.actions for name, one in last.items()},
        [
            one
            for metric in METRICS
            if (one := _of_metric(action, metric, counted, baseline, all_names, alpha)).variants
        ],
        imbalances,
    )


def _of_metric(
    action: str, name: str, counted: Mapping[tuple[str, str, str], Sequence[Counted]], baseline: str,
    names: Sequence[str], alpha: float,
) -> MetricOf:  # fmt: skip
    metric = METRICS[name]
    known = {each: counted[action, name, each][-1] for each in names if (action, name, each) in counted}
    variants: list[OfVariant] = []
    differences: list[Difference] = []
    for each, one in known.items():
        of_all = one.actions / counted[action, "success", each][-1].actions
        shown = mean(one.sample, alpha, is_share=metric.is_share) if one.sample.units >= LEAST else None
        low, high = (None, None) if shown is None else shown[1:]
        variants.append(OfVariant(each, one.sample.units, one.actions, of_all, one.sample.mean, low, high))
    against = known.get(baseline)
    for each, one in known.items():
        if against is not None and each != baseline:
            differences.append(_difference(each, one, against, name, alpha))
    return MetricOf(name, metric.unit, "more" if metric.is_more_better else "less", variants, differences)


def _difference(variant: str, of: Counted, against: Counted, name: str, alpha: float) -> Difference:
    metric, one, other = METRICS[name], of.sample, against.sample
    if min(one.units, other.units) < LEAST:
        missing = sum(max(0, LEAST - each.units) for each in (one, other))
        return Difference(variant, one.mean - other.mean, None, None, "not enough yet", missing)
    estimate, low, high = difference(one, other, alpha, is_share=metric.is_share)
    if low <= 0 <= high:
        more = units_until(one, other, alpha, is_share=metric.is_share)
        return Difference(variant, estimate, low, high, "not enough yet", more)
    return Difference(variant, estimate, low, high, "better" if (low > 0) == metric.is_more_better else "worse", None)
