"""Whether two groups may be compared: are there as many of each as was drawn, and are they otherwise alike?

    seen ──► units by variant and propensity ──► as many as there were to be? ──► Assignment
        └──► shares of tenants, services, agents, workflows ──► the largest differences ──► Imbalance

Source of the test: Lindon, Malek: Anytime-valid inference for multinomial count data (2020). Its p-value is right whenever
one looks, and falls for good only where the counts are not what was drawn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product

import msgspec

from otel_feedback.downstream.learning.compare.question import Question
from otel_feedback.downstream.tables.tables import Tables, quoted

__all__ = ["MISMATCH_LEVEL", "Assignment", "Imbalance", "assignment", "imbalances", "mismatch_p"]

MISMATCH_LEVEL = 0.01
"""With what probability a mismatch is told where there is none, however often one looks."""
PRIOR = 10.0
"""How closely alternatives are around what was drawn: the higher, the sooner a small mismatch is found, the later a large one."""
MOST_SETS = 1_000
LEAST_DIFFERENCE, LEAST_ERRORS = 0.05, 4.0
"""Shares differ if they do so by this much, and by as many standard errors: hardly by chance, also when looked at often."""
MOST_SEVERAL = 0.01
_DRAWN_FOR = {
    "units": "unit", "sessions": "coalesce(session_id, run_id, event_id)", "runs": "coalesce(run_id, event_id)",
    "actions": "event_id",
}  # fmt: skip
_BALANCED = {"tenant": "tenant_id", "service": "service_name", "agent": "agent_name", "workflow": "workflow_id"}


class Assignment(msgspec.Struct, frozen=True):
    """How many of each variant there are, against how many were drawn, of the newest weights.

    `counted` are units, or what variants were drawn for, where units have several: sessions, runs, actions. `expected` are
    shares; what is missing of 1 is of variants that nobody has. `p_value` is None where the propensities tell no weights.
    """

    counted_by: str
    counted: Mapping[str, int]
    expected: Mapping[str, float]
    p_value: float | None
    is_mismatch: bool
    weights_changed: bool
    level: float = MISMATCH_LEVEL


class Imbalance(msgspec.Struct, frozen=True):
    """A value that one group has more often than the baseline, in shares of their units."""

    action_type: str
    name: str
    value: str | None
    variant: str
    share: float
    baseline: float


def assignment(tables: Tables) -> Assignment | None:
    """Return whether there are as many of each variant as were drawn; None where nothing was seen. After `choose`."""
    told = tables.query(
        "SELECT grp, round(propensity, 9), max(event_time) FROM seen WHERE propensity > 0 GROUP BY ALL ORDER BY 3 DESC, 1"
    )
    names = [name for (name,) in tables.query("SELECT DISTINCT grp FROM seen ORDER BY 1")]
    if not names:
        return None
    newest = _newest(told)
    total = math.fsum(newest.values())
    is_told = len(newest) == len(names) and total < 1 + 1e-6
    of_newest = " OR ".join(
        f"(grp = {quoted(name)} AND round(propensity, 9) = {share!r})" for name, share in newest.items()
    )
    counted_by, counted = _counted(tables, of_newest if is_told else "true")
    p_value = None
    if is_told:
        shares, numbers = [*newest.values()], [counted.get(name, 0) for name in newest]
        if total < 1 - 1e-6:  # of those that nobody has
            shares, numbers = [*shares, 1 - total], [*numbers, 0]
        p_value = mismatch_p(numbers, shares)
    return Assignment(
        counted_by, counted, newest, p_value, p_value is not None and p_value <= MISMATCH_LEVEL, len(told) > len(newest)
    )


def _counted(tables: Tables, which: str) -> tuple[str, dict[str, int]]:
    """Return what was drawn for, the widest of which hardly any has several variants, and how many of each variant there are."""
    found = "", dict[str, int]()
    has_sessions = tables.query("SELECT count(session_id) > 0 FROM seen")[0][0]
    for name, key in _DRAWN_FOR.items():
        if name == "sessions" and not has_sessions:
            continue
        rows = tables.query(
            "SELECT grp, count(*), count(*) FILTER (variants > 1) FROM (SELECT grp, count(*) OVER (PARTITION BY key) AS variants"
            f" FROM (SELECT DISTINCT grp, {key} AS key FROM seen WHERE {which})) GROUP BY grp ORDER BY grp"
        )
        found = name, {group: number for group, number, _ in rows}
        if sum(several for _, _, several in rows) <= MOST_SEVERAL * sum(found[1].values()):
            break
    return found


def _newest(told: Sequence[tuple[str, float, object]]) -> dict[str, float]:
    """Return the propensities that add up to 1, of several the newest; else of each variant the newest."""
    of_each: dict[str, list[float]] = {}
    for group, propensity, _ in told:
        of_each.setdefault(group, []).append(propensity)
    if math.prod(map(len, of_each.values())) <= MOST_SETS:
        for chosen in product(*of_each.values()):
            if math.isclose(math.fsum(chosen), 1, abs_tol=1e-6):
                return dict(zip(of_each, chosen, strict=True))
    return {group: propensities[0] for group, propensities in of_each.items()}


def mismatch_p(counted: Sequence[int], expected: Sequence[float]) -> float:
    """Return the p-value of counts against the shares that were drawn, which is right at any time.

    Args:
        counted: Of each variant.
        expected: Shares above 0 that add up to 1.
    """
    n, weights = sum(counted), [PRIOR * share for share in expected]
    evidence = math.lgamma(PRIOR) - math.lgamma(PRIOR + n)
    for number, weight, share in zip(counted, weights, expected, strict=True):
        evidence += math.lgamma(weight + number) - math.lgamma(weight) - number * math.log(share)
    return min(1.0, math.exp(-evidence)) if evidence > -700 else 1.0


def imbalances(tables: Tables, question: Question, baseline: str) -> list[Imbalance]:
    """Return in what the groups differ otherwise: of each of what is looked at the largest difference. After `choose`."""
    found: list[Imbalance] = []
    for name, column in _BALANCED.items():
        if column == question.column:
            continue
        rows = tables.query(
            f"WITH of AS (SELECT DISTINCT action_type, grp, unit, {column} AS value FROM seen),"
            " totals AS (SELECT action_type, grp, count(DISTINCT unit) AS total FROM of GROUP BY ALL)"
            " SELECT action_type, grp, value, count(*), any_value(total) FROM of JOIN totals USING (action_type, grp) GROUP BY ALL"
        )
        totals = {(action, group): total for action, group, _, _, total in rows}
        units = {(action, group, value): number for action, group, value, number, _ in rows}
        largest: dict[tuple[str, str], Imbalance] = {}
        for action, group, value in sorted(
            {(action, group, value) for action, group in totals for _, _, value, _, _ in rows}, key=str
        ):
            if group == baseline or (action, baseline) not in totals:
                continue
            one = Imbalance(
                action, name, value, group, units.get((action, group, value), 0) / totals[action, group],
                units.get((action, baseline, value), 0) / totals[action, baseline],
            )  # fmt: skip
            if _differs(one, totals[action, group], totals[action, baseline]):
                known = largest.get((action, group))
                if known is None or abs(one.share - one.baseline) > abs(known.share - known.baseline):
                    largest[action, group] = one
        found += largest.values()
    return found


def _differs(one: Imbalance, units: int, of_baseline: int) -> bool:
    difference = abs(one.share - one.baseline)
    share = (one.share * units + one.baseline * of_baseline) / (units + of_baseline)
    error = math.sqrt(share * (1 - share) * (1 / units + 1 / of_baseline))
    return difference > LEAST_DIFFERENCE and difference > LEAST_ERRORS * error
