"""What a selector would know that had learned from all of these events.

    Tables ──► outcomes that were chosen, with what each is worth ──► sums of each agent ──► Beliefs

It is worked out and not kept: of each event its highest revision counts, with the feedback that there is by now, and whatever
was killed meanwhile, the same events and the same moment give the same. For the thread of the tables.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from otel_feedback.downstream.tables.selection import Selection, literal
from otel_feedback.downstream.tables.tables import Tables
from otel_feedback.learning.reward import SUCCESS_OF, Reward
from otel_feedback.learning.selector.beliefs import Belief, Beliefs

__all__ = ["COLUMNS", "FEEDBACK", "HALF_LIVES", "learned", "since_of", "worth_of"]

COLUMNS = (
    "agent_name", "quality_score", "cost_estimate", "latency_ms", "duration_ms", "choice_candidates", "choice_policy",
    "choice_propensity",
)  # fmt: skip
"""Those of the events that are asked for here, beside a selection's."""
HALF_LIVES = 12
"""What is older counts less than a four-thousandth."""
FEEDBACK = "feedback_score"


def since_of(half_life_s: float | None, now: datetime) -> datetime | None:
    """Return from when on events count; None: all."""
    return None if half_life_s is None else now - timedelta(seconds=HALF_LIVES * half_life_s)


def learned(
    tables: Tables, objective: Reward, half_life_s: float | None, now: datetime, selection: Selection | None = None
) -> Beliefs:
    """Return what is to be believed of each agent that was chosen, or could have been.

    Args:
        tables: With COLUMNS.
        objective: What an outcome is worth.
        half_life_s: Seconds after which it counts half; None: it always counts.
        now: What ended later does not count.
        selection: Which events count. Where it names agents, those that no selector has chosen count, too.
    """
    selection = selection or Selection()
    age_s = f"epoch({literal(now)}) - epoch(event_time)"
    weight = "1.0" if half_life_s is None else f"pow(2.0, -({age_s}) / {half_life_s!r})"
    answer = tables.ask(
        f"SELECT agent_name, sum({weight} * reward), sum({weight} * (1.0 - reward)), count(*), count(feedback)"
        f" FROM ({_chosen(tables, objective, now, selection)}) WHERE agent_name IS NOT NULL GROUP BY agent_name"
    )
    beliefs = Beliefs(half_life_s, now.timestamp())
    for name, successes, failures, outcomes, feedback in answer.rows:
        beliefs.of[name] = Belief(successes, failures, outcomes, feedback)
    named = tables.ask(
        f"SELECT DISTINCT unnest(choice_candidates) FROM outcomes WHERE {selection.condition()}"
        f" AND event_time <= {literal(now)}"
    )
    for (name,) in named.rows:
        beliefs.of.setdefault(name, Belief())
    return beliefs


def _chosen(tables: Tables, objective: Reward, now: datetime, selection: Selection) -> str:
    """Return the SELECT of the outcomes that count, each with what it is worth."""
    names = tables.ask("SELECT * FROM outcomes LIMIT 0").names
    feedback = FEEDBACK if FEEDBACK in names else "NULL::DOUBLE"
    which = "true" if selection.values.get("agent_name") else "choice_policy IS NOT NULL"
    return (
        f"SELECT agent_name, event_time, choice_propensity, {feedback} AS feedback, {worth_of(objective, feedback)} AS reward"
        f" FROM outcomes WHERE {which} AND {selection.condition()} AND event_time <= {literal(now)} AND status <> 'pending'"
    )


def worth_of(objective: Reward, feedback: str) -> str:
    """Return `Reward.of()` as SQL, over `outcomes` that are not pending; `feedback` is SQL of what was said of one."""
    statuses = " ".join(f"WHEN '{status}' THEN {worth!r}::DOUBLE" for status, worth in SUCCESS_OF.items())
    return (
        f"least(1.0, greatest(0.0, CASE status {statuses} END * coalesce({feedback}, quality_score, 1.0)"
        f" - {float(objective.cost_weight)!r}::DOUBLE * coalesce(cost_estimate, 0.0)"
        f" - {float(objective.latency_weight)!r}::DOUBLE * coalesce(latency_ms, duration_ms, 0.0) / 1000.0))"
    )
