"""How a comparison came about, as a page draws it: means and intervals as the actions came. Pure but for the query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from otel_feedback.downstream.learning.compare.comparing import baseline_of
from otel_feedback.downstream.learning.compare.counting import METRICS, Counted, choose, count
from otel_feedback.downstream.learning.compare.question import Question
from otel_feedback.downstream.learning.compare.sequences import LEAST, difference, mean
from otel_feedback.downstream.tables.selection import Selection
from otel_feedback.downstream.tables.tables import Tables

__all__ = ["drawn", "picture"]


def picture(
    tables: Tables, question: Question, selection: Selection, level: float = 0.95, points: int = 60
) -> dict[str, Any]:
    """Return what a page draws of a comparison, as JSON has it.

    Args:
        tables: As `compare` takes them.
        question: What is compared.
        selection: Which of its actions.
        level: As `compare` has it.
        points: At how many moments at most; between two of them there are as many actions.

    Returns:
        `{"baseline": "a", "level": 0.95, "actions": [{"action_type": …, "metrics": {"success": {"unit": "share", "better":
        "more", "variants": {"a": [POINT, …], …}, "differences": {"b": [POINT, …], …}}, …}}, …]}`. A POINT is `{"until": moment
        in UTC, "actions": all so far, "units": …, "estimate": …, "low": …, "high": …}`; low and high are null while there
        are too few units.
    """
    choose(tables, question, selection)
    return drawn(tables, question, level, points)


def drawn(tables: Tables, question: Question, level: float = 0.95, points: int = 60) -> dict[str, Any]:
    """Return `picture` of what was chosen already, by `compare`."""
    counted = count(tables, points)
    names = sorted({group for _, _, group in counted})
    baseline = baseline_of(question, dict.fromkeys(names, 0))
    alpha = (1 - level) / max(1, len(names) - 1)
    actions = [
        {
            "action_type": action,
            "metrics": {
                name: _metric(action, name, counted, baseline, names, alpha)
                for name in METRICS
                if _is_known(action, name, counted)
            },
        }
        for action in sorted({action for action, _, _ in counted})
    ]
    return {"baseline": baseline, "level": level, "actions": actions}


def _is_known(action: str, name: str, counted: Mapping[tuple[str, str, str], Sequence[Counted]]) -> bool:
    return any(key[:2] == (action, name) for key in counted)


def _metric(
    action: str, name: str, counted: Mapping[tuple[str, str, str], Sequence[Counted]], baseline: str | None,
    names: Sequence[str], alpha: float,
) -> dict[str, Any]:  # fmt: skip
    metric = METRICS[name]
    known = {each: counted[action, name, each] for each in names if (action, name, each) in counted}
    variants = {each: [_of_one(one, alpha, is_share=metric.is_share) for one in parts] for each, parts in known.items()}
    differences: dict[str, Any] = {}
    if baseline in known:
        for each, parts in known.items():
            if each != baseline:
                differences[each] = _of_two(parts, known[baseline], alpha, is_share=metric.is_share)
    better = "more" if metric.is_more_better else "less"
    return {"unit": metric.unit, "better": better, "variants": variants, "differences": differences}


def _of_one(one: Counted, alpha: float, *, is_share: bool) -> dict[str, Any]:
    shown = mean(one.sample, alpha, is_share=is_share) if one.sample.units >= LEAST else (one.sample.mean, None, None)
    return _point(one.until, one.actions, one.sample.units, shown)


def _of_two(
    parts: Sequence[Counted], against: Sequence[Counted], alpha: float, *, is_share: bool
) -> list[dict[str, Any]]:
    """Return the points at which both are known; where one has nothing new it stands as it was."""
    found: list[dict[str, Any]] = []
    moments = sorted({one.until for one in (*parts, *against)})
    for until in moments:
        of, other = (_latest(each, until) for each in (parts, against))
        if of is None or other is None:
            continue
        shown: tuple[float, float | None, float | None] = of.sample.mean - other.sample.mean, None, None
        if min(of.sample.units, other.sample.units) >= LEAST:
            shown = difference(of.sample, other.sample, alpha, is_share=is_share)
        found.append(_point(until, of.actions + other.actions, of.sample.units + other.sample.units, shown))
    return found


def _latest(parts: Sequence[Counted], until: datetime) -> Counted | None:
    # of several at one moment that with all that came then
    return max((one for one in parts if one.until <= until), key=lambda one: (one.until, one.actions), default=None)


def _point(
    until: datetime, actions: int, units: int, shown: tuple[float, float | None, float | None]
) -> dict[str, Any]:
    estimate, low, high = shown
    moment = until.isoformat().replace("+00:00", "Z")
    return {"until": moment, "actions": actions, "units": units, "estimate": estimate, "low": low, "high": high}
