"""From outcomes to what each variant came to, unit by unit: one query, for the state now and for how it came about.

    outcomes ──► seen: group, unit, success, quality, cost, latency
                  │ by part of the time, in order
                  ▼
                 values of units, as they were after each part ──► Sample of each action, metric, group and part

A unit is a user, else a session, else a run, and counts once, with the mean of its actions: those of one user are alike, and
counted each by itself they would look like more than they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

from otel_feedback.downstream.learning.compare.question import Question
from otel_feedback.downstream.learning.compare.sequences import Sample
from otel_feedback.downstream.tables.selection import Selection
from otel_feedback.downstream.tables.tables import Tables

__all__ = ["METRICS", "Counted", "Metric", "choose", "count"]


class Metric(NamedTuple):
    """What is measured of an action. `is_share`: from 0 to 1."""

    unit: str
    is_more_better: bool
    is_share: bool


METRICS: Mapping[str, Metric] = MappingProxyType({
    "success": Metric("share", is_more_better=True, is_share=True),
    "quality": Metric("score", is_more_better=True, is_share=True),
    "feedback": Metric("score", is_more_better=True, is_share=True),
    "cost": Metric("usd", is_more_better=False, is_share=False),
    "latency": Metric("ms", is_more_better=False, is_share=False),
})  # fmt: skip


class Counted(NamedTuple):
    """What is known of one group by a moment: its actions, and what its units came to."""

    until: datetime
    actions: int
    sample: Sample


def choose(tables: Tables, question: Question, selection: Selection) -> None:
    """Keep what has a say in it, in memory, and make the view `seen` of what is compared.

    Filters are about what is compared; what an exposure cost elsewhere may be of other agents and services.
    """
    times = Selection(selection.since, selection.until)
    joined = {name for name, *_ in tables.query("DESCRIBE outcomes")} & {"feedback_score"}
    tables.choose(f"{question.which} AND {times.condition()}", question.columns | selection.columns | joined)
    unit = "concat_ws(chr(31), coalesce(tenant_id, ''), coalesce(user_id, session_id, run_id, event_id))"
    rows = f"SELECT *, {unit} AS unit, {question.group} AS grp FROM outcomes WHERE {question.is_seen}"
    cost = "coalesce(cost_estimate, own_cost)"
    if question.experiment is not None:
        tables.connection.execute(f"CREATE OR REPLACE TABLE asked AS {_OF_TRACES.format(rows=rows)}")
        rows = f"SELECT asked.*, elsewhere FROM asked LEFT JOIN ({_ELSEWHERE}) USING (event_id)"
        cost = (
            f"CASE WHEN coalesce({cost}, elsewhere) IS NOT NULL THEN coalesce({cost}, 0) + coalesce(elsewhere, 0) END"
        )
    feedback = "feedback_score" if joined else "NULL::DOUBLE"
    tables.connection.execute(
        f"CREATE OR REPLACE TABLE seen AS SELECT *, (status = 'success')::DOUBLE AS success, quality_score AS quality,"
        f" {feedback} AS feedback, {cost} AS cost, coalesce(latency_ms, duration_ms) AS latency FROM ({rows})"
        f" WHERE grp IS NOT NULL AND status <> 'pending' AND {selection.condition()}"
    )


_OF_TRACES = (
    "SELECT *, row_number() OVER (PARTITION BY trace_id, grp ORDER BY coalesce(start_time, event_time), event_id) AS place"
    " FROM ({rows})"
)
# what actions inside cost in other processes, of which an exposure's own sum knows nothing; it is that of the trace's first one
_ELSEWHERE = (
    "SELECT first.event_id, sum(outcomes.own_cost) AS elsewhere FROM outcomes JOIN asked AS first"
    " ON outcomes.trace_id = first.trace_id AND outcomes.variant = first.grp AND first.place = 1"
    " WHERE coalesce(outcomes.root_event_id, outcomes.event_id) NOT IN (SELECT coalesce(root_event_id, event_id) FROM asked)"
    " GROUP BY first.event_id"
)


def count(tables: Tables, parts: int = 1) -> Mapping[tuple[str, str, str], Sequence[Counted]]:
    """Return, by action, metric and group, what is known at the end of each part in which something came.

    Args:
        tables: After `choose`.
        parts: Into how many parts with as many actions each the time is cut; 1: only how it is at last.
    """
    part = f"ntile({parts:d}) OVER (PARTITION BY action_type ORDER BY event_time, event_id)" if parts > 1 else "1"
    of_unit = "PARTITION BY action_type, metric, grp, unit ORDER BY part"
    so_far = "OVER (PARTITION BY action_type, metric, grp ORDER BY part)"
    rows = tables.query(
        f"""
        WITH parted AS (SELECT action_type, grp, unit, event_time, {", ".join(METRICS)}, {part} AS part FROM seen),
        long AS (UNPIVOT parted ON {", ".join(METRICS)} INTO NAME metric VALUE x),
        -- around a centre, or squares of large numbers would leave no digits for their differences
        centred AS (SELECT *, avg(x) OVER (PARTITION BY action_type, metric) AS centre,
                           max(event_time) OVER (PARTITION BY action_type, part) AS until FROM long),
        units AS (SELECT action_type, metric, grp, unit, part, until, centre, count(*) AS n, sum(x - centre) AS total
                  FROM centred GROUP BY ALL),
        running AS (SELECT *, sum(total) OVER w / sum(n) OVER w AS y FROM units WINDOW w AS ({of_unit})),
        changes AS (SELECT *, lag(y) OVER w AS was FROM running WINDOW w AS ({of_unit})),
        sums AS (SELECT action_type, metric, grp, part, until, centre, sum(n) AS n, count(*) FILTER (was IS NULL) AS more,
                        sum(y - coalesce(was, 0)) AS linear, sum(y * y - coalesce(was * was, 0)) AS squared
                 FROM changes GROUP BY ALL)
        SELECT action_type, metric, grp, until, (sum(n) {so_far})::BIGINT, (sum(more) {so_far})::BIGINT, centre,
               sum(linear) {so_far}, sum(squared) {so_far}
        FROM sums ORDER BY action_type, metric, grp, part
        """
    )
    found: dict[tuple[str, str, str], list[Counted]] = {}
    for action, metric, group, until, actions, units, centre, linear, squared in rows:
        variance = max(0.0, (squared - linear * linear / units) / (units - 1)) if units > 1 else 0.0
        one = Counted(until, actions, Sample(units, centre + linear / units, variance))
        found.setdefault((action, metric, group), []).append(one)
    return found
