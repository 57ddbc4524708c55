"""What a number of outcomes comes to, by group and against the period before: queries on `outcomes`, and their answers.

The measures are those of the view `windows`, with other groups than windows, tenants, agents and actions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from otel_feedback.cli.reading.names import GROUPS
from otel_feedback.downstream.tables.joining import JOINED_BY
from otel_feedback.downstream.tables.selection import Selection, literal
from otel_feedback.downstream.tables.tables import Tables

__all__ = ["MEASURES", "Group", "columns_for", "count"]

_ENDED = "count(*) FILTER (WHERE status <> 'pending')"
MEASURES: Mapping[str, str] = {
    "executions": _ENDED,
    **{
        name: f"count(*) FILTER (WHERE status = '{status}')"
        for name, status in (
            ("successes", "success"), ("failures", "failure"), ("timeouts", "timeout"), ("cancelled", "cancelled"),
            ("partial", "partial"), ("pending", "pending"),
        )
    },
    "success_rate": f"count(*) FILTER (WHERE status = 'success') / nullif({_ENDED}, 0)",
    "error_rate": f"count(*) FILTER (WHERE status = 'failure') / nullif({_ENDED}, 0)",
    "timeout_rate": f"count(*) FILTER (WHERE status = 'timeout') / nullif({_ENDED}, 0)",
    "avg_latency_ms": "avg(latency)",
    "p50_latency_ms": "percentile(latency, 0.5)",
    "p95_latency_ms": "percentile(latency, 0.95)",
    "p99_latency_ms": "percentile(latency, 0.99)",
    "tokens": "sum(own_tokens)::BIGINT",
    "cost": "sum(own_cost)",
    "avg_quality": "avg(quality_score)",
    "quality_count": "count(quality_score)",
    "feedback_score": "avg(feedback_score)",
    "feedback_count": "coalesce(sum(feedback_count), 0)::BIGINT",
    "feedback_coverage": f"count(*) FILTER (WHERE feedback_count > 0 AND status <> 'pending') / nullif({_ENDED}, 0)",
}  # fmt: skip
_COLUMNS = {
    "status", "latency_ms", "duration_ms", "own_tokens", "own_cost", "quality_score", "event_id", "feedback_score",
    "feedback_count", *JOINED_BY,
}  # fmt: skip


class Group(NamedTuple):
    """What the outcomes of one group come to; `before`: those of the period before, None where nothing is compared."""

    key: tuple[Any, ...]
    now: Mapping[str, Any]
    before: Mapping[str, Any] | None


def columns_for(by: Sequence[str]) -> set[str]:
    """Return the columns that groups are made of."""
    return _COLUMNS | {"tags" if each == "tag" else GROUPS[each] for each in by if each != "window"}


def count(tables: Tables, selection: Selection, by: Sequence[str]) -> tuple[list[Group], Group]:
    """Return the groups, and all outcomes as one.

    Args:
        tables: With the outcomes of both periods; those that are selected are kept in it.
        selection: Which.
        by: Names of `GROUPS`.
    """
    before = selection.before()
    whole = selection if before is None else selection._replace(since=before.since)
    tables.choose(whole.condition(), columns_for(by) | selection.columns)
    start = f"floor(epoch(event_time) / {tables.window_s}) * {tables.window_s}"
    rows = (
        "(SELECT *, CASE WHEN status <> 'pending' THEN coalesce(latency_ms, duration_ms) END AS latency,"
        f" event_time >= {literal(selection.since)} IS NOT false AS is_now, to_timestamp({start}) AS window_start"
        " FROM outcomes)"
    )
    unfolded = f"(SELECT *, unnest(CASE WHEN len(tags) > 0 THEN tags ELSE [NULL] END) AS tag FROM {rows})"
    rows_of_groups = unfolded if "tag" in by else rows
    if "window" in by:  # of the period before there are other ones
        rows_of_groups = f"(SELECT * FROM {rows_of_groups} WHERE is_now)"
    compares = before is not None and "window" not in by
    groups = _counted(tables, rows_of_groups, [GROUPS[each] for each in by], compares)
    (total, *_) = _counted(tables, rows, [], before is not None)
    return groups, total


def _counted(tables: Tables, rows: str, keys: Sequence[str], compares: bool) -> list[Group]:
    measures = ", ".join(f"{measure} AS {name}" for name, measure in MEASURES.items())
    names = [*keys, "is_now"]
    answer = tables.query(f"SELECT {', '.join([*names, measures])} FROM {rows} GROUP BY {', '.join(names)}")
    found: dict[tuple[Any, ...], dict[bool, Mapping[str, Any]]] = {} if keys else {(): {}}
    for row in answer:
        periods = found.setdefault(row[: len(keys)], {})
        periods[row[len(keys)]] = dict(zip(MEASURES, row[len(names) :], strict=True))
    nothing = dict.fromkeys(MEASURES)
    nothing |= {name: 0 for name, measure in MEASURES.items() if measure.startswith("co") and "/" not in measure}
    return [
        Group(key, periods.get(True, nothing), periods.get(False, nothing) if compares else None)
        for key, periods in found.items()
    ]
