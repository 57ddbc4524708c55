"""How objectives stand, recomputed plainly: one action after the other, exact shares, a day at a time for what is ahead."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from fractions import Fraction
from typing import Any, NamedTuple

from otel_feedback import OutcomeEvent
from otel_feedback.downstream.objectives.objective import Objective
from tests.downstream.tables import made

DAY_S = 86_400

Key = tuple[str | None, ...]


class Item(NamedTuple):
    """What counts once: how long ago it was, in seconds, and whether it was bad; None: nobody knows."""

    age_s: float
    bad: bool | None


def standing_of(records: Iterable[OutcomeEvent], objective: Objective, now: datetime) -> dict[Key, dict[str, Any]]:
    """Return, by tenant, agent and action, what the view should have."""
    longest_s = max(objective.days, 3) * DAY_S
    events = [
        event
        for event in made.outcomes(records)
        if event.status != "pending" and _matches(event, objective) and 0 <= _age_s(event, now) < longest_s
    ]
    items: dict[Key, list[Item]] = defaultdict(list)
    for key, item in _windows(events, objective, now) if objective.window else _actions(events, objective, now):
        items[key].append(item)
    return {key: _standing(each, objective) for key, each in items.items()} or {
        (None, None, None): _standing([], objective)
    }


def _age_s(event: OutcomeEvent, now: datetime) -> float:
    return (now - (event.end_time or event.timestamp)).total_seconds()


def _matches(event: OutcomeEvent, objective: Objective) -> bool:
    wanted = (
        (event.tenant_id, objective.tenant), (event.agent_name, objective.agent), (event.action_type, objective.action),
        (event.service_name, objective.service),
    )  # fmt: skip
    return all(
        "*" in patterns or (value is not None and any(fnmatchcase(value, each) for each in patterns))
        for value, patterns in wanted
    )


def _key(event: OutcomeEvent, objective: Objective) -> Key:
    values = {"tenant": event.tenant_id, "agent": event.agent_name, "action": event.action_type}
    return tuple(value if part in objective.by else None for part, value in values.items())


def _actions(events: Sequence[OutcomeEvent], objective: Objective, now: datetime) -> Iterable[tuple[Key, Item]]:
    for event in events:
        bad: bool | None
        if objective.kind == "cost":
            cost = event.own_cost if event.cost_estimate is None else event.cost_estimate
            if cost is None and not (event.tokens_used or event.own_tokens):
                continue
            bad = None if cost is None else cost > (objective.threshold_usd or 0)
        elif event.status == "cancelled" or (objective.kind == "latency" and event.status == "failure"):
            continue
        elif objective.kind == "success":
            bad = event.status in ("failure", "timeout") or (event.status == "partial" and objective.partial == "bad")
        elif objective.kind == "latency":
            took = event.duration_ms if event.latency_ms is None else event.latency_ms
            bad = True if event.status == "timeout" else None if took is None else took > (objective.threshold_ms or 0)
        else:
            score = event.quality_score
            bad = None if score is None else score < (objective.threshold_score or 0)
        yield _key(event, objective), Item(_age_s(event, now), bad)


def _windows(events: Sequence[OutcomeEvent], objective: Objective, now: datetime) -> Iterable[tuple[Key, Item]]:
    length_s = int(objective.window or 0)
    longest_s = max(objective.days, 3) * DAY_S
    grouped: dict[tuple[Key, float], list[OutcomeEvent]] = defaultdict(list)
    for event in events:
        at_s = (event.end_time or event.timestamp).timestamp()
        grouped[_key(event, objective), math.floor(at_s / length_s) * length_s].append(event)
    for (key, start_s), group in grouped.items():
        age_s = now.timestamp() - start_s - length_s
        known = [event.own_cost for event in group if event.own_cost is not None]
        is_unpriced = any(event.own_cost is None and event.own_tokens for event in group)
        if age_s < 0 or age_s + length_s > longest_s or not (known or is_unpriced):
            continue
        is_over = math.fsum(known) > (objective.threshold_usd or 0)
        yield key, Item(age_s, True if is_over else None if is_unpriced else False)


def _standing(items: Sequence[Item], objective: Objective) -> dict[str, Any]:
    allowance = 1 - Fraction(str(float(objective.target)))
    period = [item for item in items if item.age_s < objective.days * DAY_S]
    known = [item for item in period if item.bad is not None]
    bad = sum(bool(item.bad) for item in known)
    least = objective.min_count or math.ceil(1 / allowance)
    told: dict[str, Any] = {
        "counted": len(known), "bad": bad, "least": least, "coverage": len(known) / len(period) if period else None,
        "attained": None, "budget_remaining": None, "burn_1h": None, "burn_6h": None, "burn_24h": None, "burn_3d": None,
        "used_up_in_days": None, "state": "not enough yet",
    }  # fmt: skip
    if len(known) < least:
        return told
    told["attained"] = 1 - bad / len(known)
    told["budget_remaining"] = float(1 - bad / (allowance * len(known)))
    for name, hours in (("1h", 1), ("6h", 6), ("24h", 24), ("3d", 72)):
        lately = [item.bad for item in items if item.bad is not None and item.age_s < hours * 3_600]
        told[f"burn_{name}"] = float(sum(lately) / len(lately) / allowance) if lately else None
    if bad > allowance * len(known):
        told["state"] = "missed"
        return told
    told["used_up_in_days"] = _used_up(items, objective.days, allowance, least)
    told["state"] = "met" if told["used_up_in_days"] is None else "at risk"
    return told


def _used_up(items: Sequence[Item], days: int, allowance: Fraction, least: int) -> float | None:
    def excess_of(chosen: Iterable[Item]) -> Fraction:
        return sum(((1 if item.bad else 0) - allowance for item in chosen), Fraction(0))

    known = [item for item in items if item.bad is not None]
    today = [item for item in known if item.age_s < DAY_S]
    lately = [item for item in known if item.age_s < 3 * DAY_S]
    if len(today) >= least:
        pace = excess_of(today)
    elif len(lately) >= least:
        pace = excess_of(lately) / 3
    else:
        return None
    before = excess_of(item for item in known if item.age_s < days * DAY_S)
    for day in range(1, days + 1):
        after = excess_of(item for item in known if item.age_s < (days - day) * DAY_S) + day * pace
        if pace > 0 and before <= 0 < after:
            return float(day - 1 + before / (before - after))
        before = after
    return None
