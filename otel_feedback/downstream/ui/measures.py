"""What is counted of actions, from rows or from sums: SQL, and how a group of it is told.

Rows give exact percentiles. Sums, of an hour or a day each, have counts of latencies in 64 buckets, each 1.27 times as wide as the one
before; a percentile of them is right within a tenth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from string import Template
from typing import Any

__all__ = ["COUNTS", "LATENCIES", "OF_ROWS", "TOOK", "sql_of", "told_of"]

from otel_feedback.downstream.store.rollups import BUCKETS, GROWTH

_STATUSES = ("success", "failure", "timeout", "partial", "cancelled", "pending")
TOOK = "quantile_cont(took, [0.5, 0.95]) AS took"
"""Percentiles of rows."""
OF_ROWS = ", ".join([
    *(f"count(*) FILTER (WHERE status = '{status}') AS \"{status}\"" for status in _STATUSES),
    "sum(own_tokens)::BIGINT AS tokens", "sum(own_cost) AS cost",
    "count(*) FILTER (WHERE own_tokens > 0 AND own_cost IS NULL) AS unpriced",
    "sum(quality_score) AS quality", "count(quality_score) AS scored", "sum(feedback_score) AS feedback",
    "count(feedback_score) AS graded", "count(*) FILTER (WHERE feedback_count > 0 AND status <> 'pending') AS rated", TOOK,
])  # fmt: skip
"""Measures of a group of rows of `hot`."""
COUNTS = ", ".join([
    *(f"coalesce(sum(n) FILTER (WHERE status = '{status}'), 0)::BIGINT AS \"{status}\"" for status in _STATUSES),
    "sum(tokens)::BIGINT AS tokens", "sum(cost) AS cost", "sum(unpriced)::BIGINT AS unpriced", "sum(quality) AS quality",
    "sum(scored)::BIGINT AS scored", "sum(feedback) AS feedback", "sum(graded)::BIGINT AS graded",
    "(sum(rated) FILTER (WHERE status <> 'pending'))::BIGINT AS rated",
])  # fmt: skip
"""Measures of a group of sums, but percentiles."""
LATENCIES = f"[{', '.join(f'sum(l{number})::BIGINT' for number in range(BUCKETS))}] AS latencies"
"""What the percentiles of a group of sums are made of."""


@cache
def _template(name: str) -> Template:
    return Template((Path(__file__).parent / "queries" / f"{name}.sql").read_text(encoding="utf-8"))


def sql_of(name: str, **parts: object) -> str:
    """Return a query of `queries/` with these parts in it, of which none is anybody else's text but quoted."""
    return _template(name).substitute(parts)


def told_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is told of a group: shares and costs that nobody knows are None.

    `rated` is of how many of its actions anything was said afterwards, `feedback` the mean over those with a score of it. Both
    are None where sums have nothing of it.
    """
    bad = row["failure"] + row["timeout"]
    ended = bad + row["success"] + row["partial"] + row["cancelled"]
    p50, p95 = _percentiles(row)
    return {
        "actions": ended, "bad": bad, "error_rate": bad / ended if ended else None, "p50": p50, "p95": p95,
        "tokens": row["tokens"], "cost": row["cost"], "unpriced": row["unpriced"], "pending": row["pending"],
        "quality": row["quality"] / row["scored"] if row["scored"] else None, "scored": row["scored"],
        "feedback": row["feedback"] / row["graded"] if row["graded"] else None, "rated": row["rated"],
        "coverage": row["rated"] / ended if ended and row["rated"] is not None else None,
    }  # fmt: skip


def _percentiles(row: Mapping[str, Any]) -> tuple[float | None, float | None]:
    if "took" in row:
        p50, p95 = row["took"] or (None, None)
        return p50, p95
    counts = [count or 0 for count in row["latencies"]]
    return _percentile(counts, 0.5), _percentile(counts, 0.95)


def _percentile(counts: Sequence[int], share: float) -> float | None:
    wanted = sum(counts) * share
    if not wanted:
        return None
    for number, count in enumerate(counts):
        if count >= wanted:
            return math.pow(GROWTH, number + wanted / count)
        wanted -= count
    raise AssertionError
