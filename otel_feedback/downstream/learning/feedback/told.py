"""What was said of some actions afterwards, as JSON to draw: for a run, for an agent, for whatever a condition chooses.

Input: a way to ask for rows, in which `outcomes` and `feedback` are: `Tables.rows`, or `rows` of the page's reader after its
`open_feedback`. Missing feedback tells nothing: means are over what was said, and beside them is of how much something was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from otel_feedback.downstream.tables.selection import literal

__all__ = ["Ask", "by_action", "feedback_told", "of_agent", "of_run"]

Ask = Callable[[str], Sequence[Mapping[str, Any]]]
"""Returns the rows of a query, by column."""

MOST_GIVEN = 50

_OF_CHOSEN = "(SELECT * FROM feedback SEMI JOIN ({chosen}) AS chosen ON counts_for = chosen.event_id)"
_TOTAL = """
SELECT avg(score) AS score, coalesce(sum(raters), 0)::BIGINT AS count, count(raters) FILTER (is_over) AS rated,
    count(*) FILTER (is_over) AS ended
FROM (SELECT event_id, status <> 'pending' AS is_over FROM ({chosen})) AS c
LEFT JOIN (SELECT counts_for, avg(score) AS score, count(*) AS raters FROM {given} GROUP BY counts_for) AS f
    ON f.counts_for = c.event_id
"""
_NAMES = """
SELECT {keys}, count(*) AS count, count(score) AS scored, avg(score) AS score, median(delay_s) AS delay_s
FROM {given} GROUP BY {keys} ORDER BY count DESC, {keys}
"""
_LABELS = """
SELECT {keys}, label, count(*) AS count
FROM {given} WHERE label IS NOT NULL GROUP BY {keys}, label ORDER BY count DESC, label
"""
_GIVEN = """
SELECT feedback_id, name, source, "by", score, label, comment, counts_for AS event_id, run_id, target,
    epoch_ms("timestamp") AS at, delay_s
FROM {given} ORDER BY "timestamp" DESC, feedback_id LIMIT {most}
"""


def feedback_told(ask: Ask, condition: str = "true", most: int = MOST_GIVEN) -> dict[str, Any]:
    """Return what was said of the actions for which a condition holds.

    Args:
        ask: Returns rows.
        condition: SQL on columns of `outcomes`, of which the values are quoted.
        most: How many single ones there are in it at most.

    Returns:
        `{"score", "count", "rated", "ended", "coverage", "names", "given"}`. `score`: the mean over the actions of which
        something with a score was said, each of them the mean of its raters; None: there is none. `coverage`: the share
        `rated / ended` of the actions that have ended; None: none has. `names`: the most frequent first, `[{"name",
        "source", "count", "scored", "score", "delay_s", "labels": {label: count}}]`, of each rater the newest, `delay_s` the
        median of how long after the end it was given. `given`: the newest first, `[{"feedback_id", "name", "source",
        "by", "score", "label", "comment", "event_id", "run_id", "target", "at", "delay_s"}]`, `at` in milliseconds since 1970.
    """
    chosen = f"SELECT event_id, status FROM outcomes WHERE {condition}"
    given = _OF_CHOSEN.format(chosen=chosen)
    [total] = ask(_TOTAL.format(chosen=chosen, given=given))
    return {
        **total,
        "coverage": total["rated"] / total["ended"] if total["ended"] else None,
        "names": list(_names(ask, given, ("name", "source")).values()),
        "given": [dict(row) for row in ask(_GIVEN.format(given=given, most=most))],
    }


def by_action(ask: Ask, condition: str = "true") -> dict[str, list[dict[str, Any]]]:
    """Return what was said of each of the actions for which a condition holds: `names` of `feedback_told`, by event id.

    Of what nothing was said there is nothing in it.
    """
    given = _OF_CHOSEN.format(chosen=f"SELECT event_id FROM outcomes WHERE {condition}")
    found: dict[str, list[dict[str, Any]]] = {}
    for (event_id, *_), row in _names(ask, given, ("counts_for", "name", "source")).items():
        del row["counts_for"]
        found.setdefault(event_id, []).append(row)
    return found


def _names(ask: Ask, given: str, keys: Sequence[str]) -> dict[tuple[Any, ...], dict[str, Any]]:
    of = {"given": given, "keys": ", ".join(keys)}
    found = {tuple(row[key] for key in keys): {**row, "labels": dict[str, int]()} for row in ask(_NAMES.format(**of))}
    for row in ask(_LABELS.format(**of)):
        found[tuple(row[key] for key in keys)]["labels"][row["label"]] = row["count"]
    return found


def of_run(run_id: str) -> str:
    """Return the condition for a run's page."""
    return f"run_id = {literal(run_id)}"


def of_agent(agent_name: str | None, action_type: str | None = None) -> str:
    """Return the condition for an agent's row, of all its actions or of those of one type."""
    agent = "agent_name IS NULL" if agent_name is None else f"agent_name = {literal(agent_name)}"
    return agent if action_type is None else f"{agent} AND action_type = {literal(action_type)}"
