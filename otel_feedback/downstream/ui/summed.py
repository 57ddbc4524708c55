"""Sums of a time that goes further back than there are rows: whole days from `days`, where that will do, the rest by the hour.

├─ hours ─┼────── days ──────┼─ hours ─┼──── hot ────►
begin     midnight      midnight    the mirror's begin
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

from otel_feedback.downstream.store.rollups import DAY_MS, HOUR_MS, joined_sums, sums_by_few
from otel_feedback.downstream.ui.asking import Asked
from otel_feedback.downstream.ui.reader import Reader
from otel_feedback.downstream.ui.rows import milliseconds

__all__ = ["is_by_day", "sums_between"]

LONG = timedelta(days=8)
"""What is longer is shown by days: its hours are too many to be read, or looked at."""


def is_by_day(asked: Asked) -> bool:
    """Tell whether a time is so long that it is not told by the hour."""
    return asked.length > LONG


def sums_between(reader: Reader, asked: Asked, begin: int, end: int, keys: Sequence[str], *, by_day: bool) -> str:
    """Return the SELECT of sums from one moment to another, by `hour` and keys; see `rollups.sums_of`.

    Args:
        reader: What may be seen.
        asked: Whose filters.
        begin: From when on, in milliseconds since 1970: an hour, or later than the mirror's begin.
        end: Up to when; all of the hour in which it is.
        keys: Columns.
        by_day: `hour` is that in which a day begins, and the sums are of days where these are in the time wholly.
    """
    hot_begin = milliseconds(reader.mirror.begin)
    assert hot_begin is not None
    step = DAY_MS if by_day else HOUR_MS
    old = min(end, hot_begin)
    first, last = (_up(begin), max(_up(begin), old - old % DAY_MS)) if by_day else (old, old)
    condition = asked.condition
    parts: list[str] = []
    if first < last:
        parts.append(f"SELECT * EXCLUDE (day) FROM days WHERE hour >= {first} AND hour < {last} AND {condition}")
    ends = [(at, until) for at, until in ((begin, min(first, old)), (max(last, begin), old)) if at < until]
    for at, until in ends:
        hours = reader.hours([_day(each) for each in range(at - at % DAY_MS, until, DAY_MS)])
        parts.append(f"SELECT * FROM {hours} WHERE hour >= {at} AND hour < {until} AND {condition}")
    sums = [joined_sums(f"({' UNION ALL BY NAME '.join(parts)})", keys, step)] if parts else []
    if end > hot_begin or not parts:
        rows = f"(SELECT * FROM hot WHERE t >= {max(begin, hot_begin)} AND t < {end} AND {condition})"
        sums.append(sums_by_few(rows, keys, step))
    return " UNION ALL BY NAME ".join(sums)


def _up(at: int) -> int:
    return -(-at // DAY_MS) * DAY_MS


def _day(at: int) -> str:
    return datetime.fromtimestamp(at / 1e3, timezone.utc).strftime("%Y-%m-%d")
