"""Sums of a store's days by the hour, which compaction writes beside the files, so that what is long ago need not be read again.

    files of a day ──one row an action──► by hour, tenant, service, agent, action, model, status ──► day=…/NAME.rollup

A rollup is of a day as it was: it counts while the day has as many rows as when it was made. Actions that were under way on
its day and ended on the next are not in it. Pure: SQL and choices.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

from otel_feedback.downstream.store.manifest import Manifest, Rollup

__all__ = [
    "BUCKETS", "DAY_MS", "GROWTH", "HOUR_MS", "KEYS", "current", "day_after", "day_sums", "due", "joined_sums", "rows_by_day", "sums_by_few", "sums_of",
]  # fmt: skip

BUCKETS = 64
GROWTH = 1.27
"""Latencies are counted in buckets, the first from 0 to 1.27 ms, each further one so many times as wide; the last from an hour on."""
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
AFTER = timedelta(days=2)
"""A day is summed up when it is so long over: what was under way then has mostly ended."""
KEYS = ("tenant_id", "service_name", "agent_name", "action_type", "model", "status")
_LATENCY = "CASE WHEN status <> 'pending' THEN coalesce(latency_ms, duration_ms) END"
_BUCKET = f"least({BUCKETS - 1}, greatest(0, floor(ln(greatest(took, 1)) / ln({GROWTH}))))"
_WHOLE = ", ".join(
    (*(f"sum({name})::BIGINT AS {name}" for name in ("n", "tokens", "unpriced", "scored")),
     "sum(cost) AS cost", "sum(quality) AS quality")
)  # fmt: skip


def sums_of(rows: str, keys: Sequence[str] = KEYS, step: int = HOUR_MS) -> str:
    """Return the SELECT of the sums of actions, by `hour` (milliseconds since 1970) and keys.

    Args:
        rows: What to select from, one row an action, with `t` and `took`.
        keys: Columns.
        step: What is taken for an hour, in milliseconds.
    """
    latencies = ", ".join(
        f"count(*) FILTER (WHERE bucket = {number})::UINTEGER AS l{number}" for number in range(BUCKETS)
    )
    named = ", ".join(keys)
    return (
        f"SELECT t - t % {step} AS hour, {named}, count(*) AS n, sum(own_tokens)::BIGINT AS tokens, sum(own_cost) AS cost,"
        " count(*) FILTER (WHERE own_tokens > 0 AND own_cost IS NULL) AS unpriced, sum(quality_score) AS quality,"
        f" count(quality_score) AS scored, {latencies}"
        f" FROM (SELECT *, {_BUCKET} AS bucket FROM {rows}) GROUP BY hour, {named}"
    )


def sums_by_few(rows: str, keys: Sequence[str], step: int) -> str:
    """Return what `sums_of` does, for keys of which there are few combinations.

    Counted by the bucket first: 64 counts with a condition each cost a third of a second for 100,000 rows, where of a chunk few are
    left. Where nearly each row is a combination of its own, that is twice as dear.
    """
    named = ", ".join(keys)
    counted = (
        f"SELECT t - t % {step} AS hour, {named}, {_BUCKET} AS bucket, count(*) AS n, sum(own_tokens) AS tokens,"
        " sum(own_cost) AS cost, count(*) FILTER (WHERE own_tokens > 0 AND own_cost IS NULL) AS unpriced,"
        f" sum(quality_score) AS quality, count(quality_score) AS scored FROM {rows} GROUP BY ALL"
    )
    latencies = (
        f"coalesce(sum(n) FILTER (WHERE bucket = {number}), 0)::UINTEGER AS l{number}" for number in range(BUCKETS)
    )
    return f"SELECT hour, {named}, {_WHOLE}, {', '.join(latencies)} FROM ({counted}) GROUP BY hour, {named}"


def joined_sums(sums: str, keys: Sequence[str] = KEYS, step: int = HOUR_MS) -> str:
    """Return the SELECT of sums of sums, by fewer keys or a longer step; see `sums_of`."""
    latencies = ", ".join(f"sum(l{number})::UINTEGER AS l{number}" for number in range(BUCKETS))
    named = ", ".join(keys)
    return (
        f"SELECT s.hour - s.hour % {step} AS hour, {named}, {_WHOLE}, {latencies}"
        f" FROM {sums} AS s GROUP BY s.hour - s.hour % {step}, {named}"
    )


def day_sums(rows: str, day: str) -> str:
    """Return the SELECT of the sums of a day.

    Args:
        rows: The rows of the files of the day and of the next one, repeats and revisions too.
        day: Such as `2026-03-02`.
    """
    latest = (
        f"SELECT *, (epoch_us(ended) // 1000) AS t, {_LATENCY} AS took FROM (SELECT *, coalesce(end_time, timestamp) AS ended FROM {rows})"
        " QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY revision DESC) = 1"
    )
    sums = sums_of(f"(SELECT * FROM ({latest}) WHERE CAST(ended AS DATE) = DATE '{day}')")
    return f"{sums} ORDER BY hour"  # some hours of a day are then a part of its file


def current(manifest: Manifest) -> list[Rollup]:
    """Return the rollups that count."""
    rows = rows_by_day(manifest)
    return [rollup for rollup in manifest.rollups if rows.get(rollup.day) == rollup.rows]


def due(manifest: Manifest, now: datetime | None = None) -> str | None:
    """Return a day that is to be summed up; None: there is none."""
    last = ((now or datetime.now(timezone.utc)) - AFTER).strftime("%Y-%m-%d")
    done = {rollup.day for rollup in current(manifest)}
    return next((day for day in sorted(rows_by_day(manifest)) if day <= last and day not in done), None)


def day_after(day: str) -> str:
    """Return the next day."""
    return (datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=timezone.utc) + timedelta(days=1)).strftime("%Y-%m-%d")


def rows_by_day(manifest: Manifest) -> dict[str, int]:
    """Return how many rows each day has."""
    rows: dict[str, int] = {}
    for file in manifest.files:
        rows[file.day] = rows.get(file.day, 0) + file.rows
    return rows
