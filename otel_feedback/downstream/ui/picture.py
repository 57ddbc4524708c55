"""What is going on: a series, totals against the time before, agents by trouble, and what got worse.

Chosen, of a request ──► series, totals, agents, what is compared
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from otel_feedback.downstream.store.rollups import HOUR_MS
from otel_feedback.downstream.ui.asking import Asked
from otel_feedback.downstream.ui.choosing import Chosen
from otel_feedback.downstream.ui.measures import sql_of, told_of
from otel_feedback.downstream.ui.reader import Reader

__all__ = ["picture", "step_s", "totals"]

BUCKETS_S = (5, 10, 30, 60, 300, 900, 1_800, 3_600, 10_800, 21_600, 86_400)
MOST_BUCKETS = 300
LEAST_MS = 900_000
"""That a series is long, where more is asked for."""
PIECES = 12
LEAST_ACTIONS = 10
"""Of an agent's action, now and before, for it to be called worse."""
MOST_WORSE = 20
_FEEDBACK = ("feedback", "rated", "coverage")
_OF_ALL = ("actions", "error_rate", "p50", "p95", "tokens", "cost", "pending", "quality", "scored", *_FEEDBACK)
_OF_AGENTS = ("actions", "error_rate", "bad", "p95", "tokens", "cost", "quality", *_FEEDBACK)
_SERIES = ("success", "failure", "timeout", "partial", "cancelled", "pending")
_MEANS = ("p50", "p95", "tokens", "cost", "feedback", "coverage")


def picture(reader: Reader, asked: Asked) -> dict[str, Any]:
    """Return the answer of /api/now."""
    chosen = Chosen(reader, asked)
    begin = _begin(chosen)
    bucket_s = step_s((chosen.until - begin) / 1e3, chosen.least_s)
    now, before = _totals(chosen)
    compared = chosen.groups(["agent_name", "action_type", "is_now"])
    return {
        "as_of": int(time.time() * 1e3),
        "since": chosen.since,
        "until": chosen.until,
        "by_hours": chosen.is_of_sums,
        "bucket_s": bucket_s,
        "series": _series(chosen, begin, bucket_s * 1_000),
        "totals": now,
        "before": before,
        "agents": _agents(chosen),
        "worse": _worse(compared),
    }


def totals(reader: Reader, asked: Asked) -> dict[str, Any]:
    """Return the totals alone."""
    return _totals(Chosen(reader, asked, compares=False))[0]


def _totals(chosen: Chosen) -> tuple[dict[str, Any], dict[str, Any] | None]:
    found = {row["is_now"]: told_of(row) for row in chosen.groups(["is_now"])}
    nothing = dict.fromkeys(_OF_ALL) | {"actions": 0, "pending": 0, "scored": 0}
    now, before = found.get(True, nothing), found.get(False)
    return _only(now, _OF_ALL), None if before is None else _only(before, _OF_ALL)


def _begin(chosen: Chosen) -> int:
    """Return when the series begins: not long before the first that there is of anything."""
    if chosen.reader.mirror.begin is not None:
        return chosen.since
    [row] = chosen.reader.rows("SELECT min(t) AS first FROM hot")
    first: Any = row["first"]
    return chosen.since if first is None else max(chosen.since, min(first, chosen.until - LEAST_MS))


def step_s(length_s: float, least: int = 1, most: int = MOST_BUCKETS) -> int:
    """Return how many seconds a piece of a picture stands for, of which there are so many at most."""
    many_days = 86_400 * (1 + int(length_s / 86_400 / most))
    return next((each for each in BUCKETS_S if each >= least and length_s / each <= most), many_days)


def _series(chosen: Chosen, begin: int, bucket_ms: int) -> dict[str, list[Any]]:
    found = {row["bucket"]: row for row in chosen.series(bucket_ms)}
    series: dict[str, list[Any]] = {name: [] for name in ("t", *_SERIES, *_MEANS)}
    for at in range(begin - begin % bucket_ms, chosen.until, bucket_ms):
        row = found.get(at)
        told: Mapping[str, Any] = {} if row is None else {**row, **told_of(row)}
        series["t"].append(at)
        for name in _SERIES:
            series[name].append(told.get(name, 0) if name != "pending" or row is None else row["pending"])
        for name in _MEANS:
            series[name].append(told.get(name))
    return series


def _agents(chosen: Chosen) -> list[dict[str, Any]]:
    begin = chosen.until - HOUR_MS
    begin -= begin % 300_000 - 300_000 if chosen.until % 300_000 else 0
    pieces: dict[Any, dict[str, list[int]]] = {}
    for row in chosen.reader.rows(sql_of("last_hour", begin=begin, condition=chosen.condition)):
        of = pieces.setdefault(row["agent_name"], {"n": [0] * PIECES, "bad": [0] * PIECES})
        of["n"][int(str(row["piece"]))], of["bad"][int(str(row["piece"]))] = row["n"], row["bad"]  # type: ignore[assignment]
    empty = {"n": [0] * PIECES, "bad": [0] * PIECES}
    agents = [
        {
            "agent": row["agent_name"],
            **_only(told_of(row), _OF_AGENTS),
            "last_hour": pieces.get(row["agent_name"], empty),
        }
        for row in chosen.groups(["agent_name"], only_now=True)
    ]
    return sorted(agents, key=_trouble, reverse=True)


def _trouble(agent: Mapping[str, Any]) -> tuple[float, int, int]:
    """Return how much an agent is in trouble: by the share of errors that is sure, so that one of two is not the worst."""
    n, bad = agent["actions"], agent["bad"]
    if not n:
        return 0.0, 0, 0
    share, z = bad / n, 1.96
    low = (share + z * z / (2 * n) - z * ((share * (1 - share) + z * z / (4 * n)) / n) ** 0.5) / (1 + z * z / n)
    return max(0.0, low) if bad else 0.0, bad, n


def _worse(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what got worse, by agent and action, the most of it first."""
    now: dict[tuple[Any, Any], Mapping[str, Any]] = {}
    before: dict[tuple[Any, Any], Mapping[str, Any]] = {}
    for row in rows:
        (now if row["is_now"] else before)[row["agent_name"], row["action_type"]] = told_of(row)
    found: list[tuple[float, dict[str, Any]]] = []
    for key, new in now.items():
        old = before.get(key)
        if old is None or min(new["actions"], old["actions"]) < LEAST_ACTIONS:
            continue
        for what, name in (("error rate", "error_rate"), ("p95", "p95"), ("cost", "cost"), ("quality", "quality"),
                           ("feedback", "feedback")):  # fmt: skip
            times = _times_worse(what, new, old)
            if times is not None:
                told = {"agent": key[0], "action": key[1], "what": what, "now": new[name], "before": old[name]}
                found.append((times, {**told, "actions": new["actions"], "coverage": new["coverage"]}))
    found.sort(key=lambda each: each[0], reverse=True)
    return [each for _, each in found[:MOST_WORSE]]


def _times_worse(what: str, new: Mapping[str, Any], old: Mapping[str, Any]) -> float | None:
    """Return how many times worse a measure is; None: not so much that chance, or more work, would not do it."""
    if what == "error rate":
        n, m, now, before = new["actions"], old["actions"], new["error_rate"], old["error_rate"]
        share = (new["bad"] + old["bad"]) / (n + m)
        doubt = (share * (1 - share) * (1 / n + 1 / m)) ** 0.5
        return now / max(before, 0.5 / m) if now - before > max(0.02, 3 * doubt) else None
    if what == "feedback":  # marks of few people, who may mostly say 0 or 1
        now, before, n, m = new["feedback"], old["feedback"], new["rated"], old["rated"]
        if now is None or before is None or min(n, m) < LEAST_ACTIONS:
            return None
        share = (now * n + before * m) / (n + m)
        doubt = (share * (1 - share) * (1 / n + 1 / m)) ** 0.5
        return before / max(now, 0.01) if before - now > max(0.05, 3 * doubt) else None
    if what == "quality":
        now, before = new["quality"], old["quality"]
        is_enough = min(new["scored"], old["scored"]) >= LEAST_ACTIONS
        return before / max(now, 0.01) if is_enough and before - now > 0.05 else None
    now, before = new["p95" if what == "p95" else "cost"], old["p95" if what == "p95" else "cost"]
    if now is None or not before:
        return None
    if what == "cost":  # of an action: that there are more of them is not worse
        now, before = now / new["actions"], before / old["actions"]
    return now / before if now > 1.5 * before else None


def _only(told: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: told[name] for name in names}
