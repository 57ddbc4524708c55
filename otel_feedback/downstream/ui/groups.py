"""Groups of actions: failures, costs, and the values that a field has."""

from __future__ import annotations

from typing import Any

from otel_feedback.downstream.store.rollups import DAY_MS, HOUR_MS
from otel_feedback.downstream.ui.asking import FILTERS, Asked
from otel_feedback.downstream.ui.details import outcomes_for
from otel_feedback.downstream.ui.measures import sql_of
from otel_feedback.downstream.ui.reader import Reader
from otel_feedback.downstream.ui.summed import sums_between

__all__ = ["BY", "VALUES", "costs", "failures", "values"]

BY = ("tenant", "user", "session", "workflow", "agent", "model")
VALUES = ("agent", "tenant", "service", "action", "model", "tag")
LENGTHS_MS = {"hour": HOUR_MS, "day": DAY_MS}
SUMMED = ("tenant", "agent", "model")
"""What sums tell apart."""
MOST_KEYS = 8
OTHER = "other"


def failures(reader: Reader, asked: Asked) -> dict[str, Any]:
    """Return what goes wrong, by agent, action and kind of error, the most frequent first."""
    outcomes = outcomes_for(reader, asked)
    if outcomes != "hot":
        outcomes = f"({sql_of('failing')})"
    return {"groups": reader.rows(sql_of("failures", outcomes=outcomes, condition=asked.whole_condition))}


def costs(reader: Reader, asked: Asked, by: str, bucket: str) -> dict[str, Any]:
    """Return who used what, and a series of the dearest."""
    key, length_ms = FILTERS[by], LENGTHS_MS[bucket]
    begin = reader.mirror.begin
    is_of_sums = begin is not None and asked.since < begin and by in SUMMED and asked.is_of_sums
    if is_of_sums:
        since = asked.since_ms - asked.since_ms % HOUR_MS
        sums = sums_between(reader, asked, since, asked.until_ms, (key, "status"), by_day=length_ms == DAY_MS)
        reader.cursor.execute(
            f"CREATE OR REPLACE TEMP TABLE sums AS SELECT hour, {key}, status, n, tokens, cost, unpriced FROM ({sums})"
        )
        groups = reader.rows(sql_of("costs_of_hours", key=key))
        of, at, cost, condition = "sums", "hour", "cost", "true"
    else:
        of, at, cost, condition = (
            outcomes_for(reader, asked),
            "(epoch_us(event_time) // 1000)",
            "own_cost",
            asked.whole_condition,
        )
        groups = reader.rows(sql_of("costs", key=key, outcomes=of, condition=condition))
    series = reader.rows(
        sql_of("cost_series", bucket=f"{at} - {at} % {length_ms}", key=key, cost=cost, outcomes=of, condition=condition)
    )
    return {"by": by, "groups": groups, "series": _series(asked, length_ms, groups, series)}


def values(reader: Reader, field: str, prefix: str) -> dict[str, Any]:
    """Return the values of a field that begin so, in any case."""
    if field == "tag":
        found = "SELECT unnest(tags) AS value, 1 AS n FROM hot"
    else:
        column = FILTERS[field]
        found = f"SELECT {column} AS value, 1 AS n FROM hot UNION ALL SELECT {column}, n FROM days"
    return {"values": [row["value"] for row in reader.rows(sql_of("values", values=found), [prefix])]}


def _series(asked: Asked, length_ms: int, groups: list[dict[str, Any]], rows: list[dict[str, Any]]) -> dict[str, Any]:
    top = [group["key"] for group in groups if group["cost"] is not None][:MOST_KEYS]
    since, until = asked.since_ms, asked.until_ms
    times = list(range(since - since % length_ms, until, length_ms))
    places = {at: place for place, at in enumerate(times)}
    lines: list[list[float]] = [[0.0] * len(times) for _ in range(len(top) + 1)]
    is_more = False
    for row in rows:
        place = places.get(row["bucket"])
        if place is not None:
            number = top.index(row["key"]) if row["key"] in top else len(top)
            is_more |= number == len(top)
            lines[number][place] += row["cost"]
    keys = [*top, OTHER] if is_more else top
    return {"t": times, "keys": keys, "cost": lines[: len(keys)]}
