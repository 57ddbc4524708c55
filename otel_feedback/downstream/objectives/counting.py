"""Which actions count for an objective, and which of them are bad: SQL over `outcomes`, written once for all who ask.

outcomes ──► seen: what any objective asks for, of the time that is looked at
              │
              ▼  for each objective
             t, keys, run_id, bad: 1, 0, or NULL where nobody knows
"""

from __future__ import annotations

from otel_feedback.downstream.objectives.objective import Objective
from otel_feedback.downstream.tables.tables import any_of, quoted

__all__ = ["COLUMNS", "KEYS", "counted", "seen"]

KEYS = {"tenant": "tenant_id", "agent": "agent_name", "action": "action_type"}
COLUMNS = frozenset({
    *KEYS.values(), "service_name", "status", "latency_ms", "duration_ms", "own_cost", "cost_estimate", "own_tokens",
    "tokens_used", "quality_score", "run_id",
})  # fmt: skip
"""Columns of events that it reads, beside those that every table has."""

_ENDED = "status <> 'cancelled'"  # by whom it was called: neither good nor bad
_COST = "coalesce(cost_estimate, own_cost)"
_UNPRICED = "coalesce(own_tokens > 0 AND own_cost IS NULL, false)"


def seen(since_s: float, until_s: float) -> str:
    """Return the SELECT of what ended in (since, until], in seconds since 1970."""
    return (
        "SELECT epoch(event_time) AS t, coalesce(latency_ms, duration_ms) AS took,"
        f" {', '.join(sorted(COLUMNS - {'latency_ms', 'duration_ms'}))} FROM outcomes WHERE status <> 'pending'"
        f" AND event_time > to_timestamp({since_s!r}) AND event_time <= to_timestamp({until_s!r})"
    )


def counted(objective: Objective, since_s: float, until_s: float) -> str:
    """Return the SELECT, over `seen`, of what an objective counts: `t`, KEYS, `run_id`, `bad`.

    What cannot be said to be good or bad has no `bad`: an action nobody scored, tokens without a price. A window of a cost
    is there once it has ended, at its end; the one that `since` cuts is left out.
    """
    keys = ", ".join(column if part in objective.by else f"NULL::VARCHAR AS {column}" for part, column in KEYS.items())
    where, bad = _judged(objective)
    chosen = " AND ".join((
        any_of("tenant_id", objective.tenant), any_of("agent_name", objective.agent),
        any_of("action_type", objective.action), any_of("service_name", objective.service),
    ))  # fmt: skip
    if objective.window is None:
        return f"SELECT t, {keys}, run_id, {bad} AS bad FROM seen WHERE {chosen} AND {where}"
    length = int(objective.window)
    return (
        f"SELECT * FROM (SELECT floor(t / {length}) * {length} + {length} AS t, {keys}, arg_max(run_id, own_cost) AS run_id,"
        f" CASE WHEN sum(own_cost) > {objective.threshold_usd!r} THEN 1 WHEN NOT bool_or({_UNPRICED}) THEN 0 END AS bad"
        f" FROM seen WHERE {chosen} AND {where} GROUP BY 1, 2, 3, 4)"
        f" WHERE t - {length} >= {since_s!r} AND t <= {until_s!r}"
    )


def _judged(objective: Objective) -> tuple[str, str]:
    """Return which actions count, and the CASE that tells bad from good."""
    match objective.kind:
        case "success":
            bad = ["failure", "timeout", *(["partial"] if objective.partial == "bad" else [])]
            return _ENDED, f"CASE WHEN status IN ({', '.join(map(quoted, bad))}) THEN 1 ELSE 0 END"
        case "latency":  # what failed at once was not fast; what timed out was slow, however long that was
            return f"{_ENDED} AND status <> 'failure'", (
                f"CASE WHEN status = 'timeout' OR took > {objective.threshold_ms!r} THEN 1 WHEN took IS NOT NULL THEN 0 END"
            )
        case "cost":  # also what was cancelled has been paid for
            if objective.window is not None:
                return f"(own_cost IS NOT NULL OR {_UNPRICED})", "NULL"
            return f"({_COST} IS NOT NULL OR coalesce(tokens_used, own_tokens) > 0)", (
                f"CASE WHEN {_COST} > {objective.threshold_usd!r} THEN 1 WHEN {_COST} IS NOT NULL THEN 0 END"
            )
        case "quality":
            return _ENDED, (
                f"CASE WHEN quality_score < {float(objective.threshold_score or 0)!r} THEN 1"
                " WHEN quality_score IS NOT NULL THEN 0 END"
            )
