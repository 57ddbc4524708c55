"""Single actions: the newest ones, what has changed since, and all of a run."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from otel_feedback.downstream.learning.feedback.told import by_action, feedback_told
from otel_feedback.downstream.tables.selection import literal
from otel_feedback.downstream.ui.asking import Asked, RefusedError
from otel_feedback.downstream.ui.measures import sql_of
from otel_feedback.downstream.ui.reader import Reader
from otel_feedback.downstream.ui.rows import ROW, detail_of, row_of

__all__ = ["changed", "feed", "outcomes_for", "run"]

COLUMNS = ", ".join(f'{what} AS "{name}"' for name, what in ROW.items())
MARGIN = timedelta(hours=1)
MOST_ACTIONS = 5_000


def outcomes_for(reader: Reader, asked: Asked) -> str:
    """Return the relation that has all actions of a time: that in memory, or else the store's."""
    begin = reader.mirror.begin
    if begin is None or asked.since >= begin:
        return "hot"
    reader.open_stored(asked.since, asked.until)
    return "outcomes"


def feed(reader: Reader, asked: Asked, limit: int, before_ms: int | None) -> dict[str, Any]:
    """Return the newest actions of those that are older than a moment, and what to name for what comes after."""
    mark = reader.mirror.mark
    condition = asked.whole_condition
    if before_ms is not None:
        condition += f" AND (epoch_us(event_time) // 1000) < {before_ms}"
    outcomes = outcomes_for(reader, asked)
    if outcomes == "hot":  # so that of the others no text is looked at
        newest = f"SELECT place FROM hot WHERE {condition} ORDER BY event_time DESC LIMIT {limit}"
        condition = f"place IN ({newest})"
    text = sql_of("feed", columns=COLUMNS, outcomes=outcomes, condition=condition, limit=limit)
    return {"events": [row_of(row) for row in reader.rows(text)], "seen": mark}


def changed(reader: Reader, asked: Asked, seen: int, limit: int) -> dict[str, Any]:
    """Return the newest of the actions that have come or changed since, those that changed so that they are no more what is
    asked for, how many more rows there are (None where more has gone than is known), and whether anything was said of any.
    """
    condition = asked.whole_condition
    mark = reader.mirror.mark
    rows = reader.rows(sql_of("changed", columns=COLUMNS, seen=seen, condition=condition, limit=limit))
    gone = reader.rows(sql_of("gone", seen=seen, condition=condition, limit=limit + 1))
    # looked at after the question, which may have missed what was let go of meanwhile
    is_whole = seen >= reader.mirror.whole and len(gone) <= limit
    skipped = int(str(rows[0]["changed"])) - len(rows) if rows else 0
    is_given = reader.mirror.given > seen and reader.rows(
        f"SELECT 1 FROM hot WHERE given > {seen} AND {condition} LIMIT 1"
    )
    return {
        "rows": [row_of(row) for row in rows],
        "gone": [row["event_id"] for row in gone[:limit]],
        "skipped": skipped if is_whole else None,
        "given": bool(is_given),
        "seen": mark,
    }


def run(reader: Reader, run_id: str) -> dict[str, Any]:
    """Return a run with its actions, in the order in which they began, and what was said of them: None where nothing was.

    Raises:
        RefusedError: There is none of this name that the asker may see.
    """
    only = f"run_id = {literal(run_id)}"
    [found] = reader.rows(
        f"SELECT min(least(t, (epoch_us(start_time) // 1000))) AS first, max(t) AS last FROM hot WHERE {only}"
    )
    if found["first"] is None and reader.mirror.begin is None:
        raise _no_run(run_id)
    if found["first"] is None:
        reader.open_stored(only=only)
    else:
        reader.open_stored(_moment(found["first"]) - MARGIN, _moment(found["last"]) + MARGIN, only)
    more = "error_message, stack_trace, depth, attempt, tokens_used, cost_estimate, usage_complete, confidence_score,"
    more += " quality_score, own_tokens, own_cost, metadata::VARCHAR AS metadata, user_id, session_id, workflow_id, root_event_id"
    rows = reader.rows(
        f"SELECT {COLUMNS}, {more}, (epoch_us(event_time) // 1000) AS at FROM outcomes"
        f" ORDER BY coalesce(start_time, event_time), event_time LIMIT {MOST_ACTIONS}"
    )
    if not rows:
        raise _no_run(run_id)
    told: dict[str, Any] | None = None
    of_each: dict[Any, list[dict[str, Any]]] = {}
    if reader.has_feedback:
        reader.open_feedback()
        reader.keep("feedback", "outcomes")
        told, of_each = feedback_told(reader.rows), by_action(reader.rows)
    actions = [{**detail_of(row), "feedback": of_each.get(row["event_id"], [])} for row in rows]
    return {"run": _summary(run_id, rows), "feedback": told if of_each else None, "actions": actions}


def _summary(run_id: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    def first(name: str) -> Any:
        return next((row[name] for row in rows if row[name] is not None), None)

    def total(name: str) -> Any:
        return sum(told) if (told := [row[name] for row in rows if row[name] is not None]) else None

    tops = [row for row in rows if row["root_event_id"] in (None, row["event_id"])] or rows
    is_over = all(row["status"] != "pending" for row in tops)
    start = min(row["at"] if row["start"] is None else row["start"] for row in rows)
    end = max(row["at"] for row in rows) if is_over else None
    status = max(tops, key=lambda row: row["at"])["status"] if is_over else "pending"
    return {
        "run_id": run_id, "service": first("service"), "tenant": first("tenant"), "workflow": first("workflow_id"),
        "session": first("session_id"), "user": first("user_id"), "status": status, "start": start, "end": end,
        "duration": None if end is None else end - start, "actions": len(rows), "tokens": total("own_tokens"),
        "cost": total("own_cost"), "errors": sum(row["status"] in ("failure", "timeout") for row in rows),
        "trace_id": first("trace_id"),
    }  # fmt: skip


def _moment(at_ms: Any) -> datetime:
    return datetime.fromtimestamp(at_ms / 1e3, timezone.utc)


def _no_run(run_id: str) -> RefusedError:
    return RefusedError(404, f"there is no run {run_id[:80]!r}", "it may be older than what is kept, or not here yet")
