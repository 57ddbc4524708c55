"""What is going on: a series, totals against the time before, agents by trouble, and what got worse.

hot, or hours beside it ──chosen by time and filters──► `chosen` ──► series, totals, agents, compared
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from otel_feedback.downstream.store.rollups import sums_of
from otel_feedback.downstream.ui.asking import Asked
from otel_feedback.downstream.ui.measures import OF_ROWS, OF_SUMS, sql_of, told_of
from otel_feedback.downstream.ui.mirror import HOT
from otel_feedback.downstream.ui.reader import Reader
from otel_feedback.downstream.ui.rows import milliseconds

__all__ = ["Chosen", "picture", "totals"]

HOUR_MS = 3_600_000
BUCKETS_S = (5, 10, 30, 60, 300, 900, 1_800, 3_600, 10_800, 21_600, 86_400)
MOST_BUCKETS = 300
PIECES = 12
LEAST_ACTIONS = 10
"""Of an agent's action, now and before, for it to be called worse."""
MOST_WORSE = 20
_OF_ALL = ("actions", "error_rate", "p50", "p95", "tokens", "cost", "pending", "quality", "scored")
_OF_AGENTS = ("actions", "error_rate", "bad", "p95", "tokens", "cost", "quality")
_SERIES = ("success", "failure", "timeout", "partial", "cancelled", "pending")
_KEPT = ("agent_name", "action_type", "status")


class Chosen:
    """The actions of a request as a table `chosen` of its cursor, with those of the time before where they are compared."""

    def __init__(self, reader: Reader, asked: Asked, *, compares: bool = True) -> None:
        self.reader = reader
        since, until = asked.since_ms, asked.until_ms
        begin = milliseconds(reader.mirror.begin)
        is_in_memory = begin is None or (2 * since - until if compares else since) >= begin
        self.is_of_sums = not is_in_memory and asked.is_of_sums
        if self.is_of_sums:  # whole hours
            since -= since % HOUR_MS
        self.since, self.until, self.before = since, until, 2 * since - until if compares else since
        self.condition = asked.condition
        self.measures = OF_SUMS if self.is_of_sums else OF_ROWS
        if self.is_of_sums:
            hot = sums_of(f"(SELECT * FROM hot WHERE t >= {self.before} AND t < {until} AND {self.condition})", _KEPT)
            text = sql_of(
                "chosen_sums", since=since, before=self.before, until=until, condition=self.condition, hot=hot
            )
        else:
            rows = "hot" if is_in_memory else self._stored(asked)
            text = sql_of(
                "chosen_rows", rows=rows, since=since, before=self.before, until=until, condition=self.condition
            )
        reader.cursor.execute(text)

    def _stored(self, asked: Asked) -> str:
        self.reader.open_stored(asked.since - asked.length, asked.until)
        return f"(SELECT *, (epoch_us(event_time) // 1000) AS t, {HOT['took']} AS took FROM outcomes)"

    def rows(self, name: str, **parts: object) -> list[dict[str, Any]]:
        """Return the rows of a query on it."""
        return self.reader.rows(sql_of(name, measures=self.measures, **parts))


def picture(reader: Reader, asked: Asked) -> dict[str, Any]:
    """Return the answer of /api/now."""
    chosen = Chosen(reader, asked)
    bucket_s = _bucket_s((chosen.until - chosen.since) / 1e3, 3_600 if chosen.is_of_sums else 1)
    now, before = _totals(chosen)
    compared = chosen.rows("compared")
    return {
        "as_of": int(time.time() * 1e3),
        "since": chosen.since,
        "until": chosen.until,
        "by_hours": chosen.is_of_sums,
        "bucket_s": bucket_s,
        "series": _series(chosen, bucket_s * 1_000),
        "totals": now,
        "before": before,
        "agents": _agents(chosen),
        "worse": _worse(compared),
    }


def totals(reader: Reader, asked: Asked) -> dict[str, Any]:
    """Return the totals alone."""
    return _totals(Chosen(reader, asked, compares=False))[0]


def _totals(chosen: Chosen) -> tuple[dict[str, Any], dict[str, Any] | None]:
    found = {row["is_now"]: told_of(row) for row in chosen.rows("totals")}
    nothing = dict.fromkeys(_OF_ALL) | {"actions": 0, "pending": 0, "scored": 0}
    now, before = found.get(True, nothing), found.get(False)
    return _only(now, _OF_ALL), None if before is None else _only(before, _OF_ALL)


def _bucket_s(length_s: float, least: int) -> int:
    return next((each for each in BUCKETS_S if each >= least and length_s / each <= MOST_BUCKETS), _many_days(length_s))


def _many_days(length_s: float) -> int:
    return 86_400 * (1 + int(length_s / 86_400 / MOST_BUCKETS))


def _series(chosen: Chosen, bucket_ms: int) -> dict[str, list[Any]]:
    found = {row["bucket"]: row for row in chosen.rows("series", bucket=bucket_ms)}
    series: dict[str, list[Any]] = {name: [] for name in ("t", *_SERIES, "p50", "p95", "tokens", "cost")}
    for at in range(chosen.since - chosen.since % bucket_ms, chosen.until, bucket_ms):
        row = found.get(at)
        told: Mapping[str, Any] = {} if row is None else {**row, **told_of(row)}
        series["t"].append(at)
        for name in _SERIES:
            series[name].append(told.get(name, 0) if name != "pending" or row is None else row["pending"])
        for name in ("p50", "p95", "tokens", "cost"):
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
        for row in chosen.rows("agents")
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
        for what, name in (("error rate", "error_rate"), ("p95", "p95"), ("cost", "cost"), ("quality", "quality")):
            times = _times_worse(what, new, old)
            if times is not None:
                told = {"agent": key[0], "action": key[1], "what": what, "now": new[name], "before": old[name]}
                found.append((times, {**told, "actions": new["actions"]}))
    found.sort(key=lambda each: each[0], reverse=True)
    return [each for _, each in found[:MOST_WORSE]]


def _times_worse(what: str, new: Mapping[str, Any], old: Mapping[str, Any]) -> float | None:
    """Return how many times worse a measure is; None: not so much that chance, or more work, would not do it."""
    if what == "error rate":
        n, m, now, before = new["actions"], old["actions"], new["error_rate"], old["error_rate"]
        share = (new["bad"] + old["bad"]) / (n + m)
        doubt = (share * (1 - share) * (1 / n + 1 / m)) ** 0.5
        return now / max(before, 0.5 / m) if now - before > max(0.02, 3 * doubt) else None
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
