"""What a selector would know that had learned from all of these events, and how agents were chosen over time.

    Tables ──► outcomes that were chosen, with what each is worth ──┬──► sums of each agent ──► Beliefs
                                                                    └──► shares and means by time ──► a picture

It is worked out and not kept: of each event its highest revision counts, with the feedback that there is by now, and whatever
was killed meanwhile, the same events and the same moment give the same. For the thread of the tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from otel_feedback.downstream.tables.selection import Selection, literal
from otel_feedback.downstream.tables.tables import Tables
from otel_feedback.learning.reward import SUCCESS_OF, Reward
from otel_feedback.learning.selector.beliefs import Belief, Beliefs

__all__ = ["COLUMNS", "HALF_LIVES", "learned", "picture", "since_of"]

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


def picture(
    tables: Tables, objective: Reward, now: datetime, *, bucket_s: int, selection: Selection | None = None
) -> dict[str, Any]:
    """Return how agents were chosen over time, and what came of it, as data for a picture.

    Args:
        tables: With COLUMNS.
        objective: What an outcome is worth.
        now: What ended later is not in it.
        bucket_s: Seconds that a point stands for; they begin at multiples of that since 1970.
        selection: Which events; `since` says where it begins.

    Returns:
        `{"bucket_s", "objective": {"cost_weight", "latency_weight"}, "times": [epoch seconds, ascending], "chosen": [n],
        "feedback": [share of outcomes that have any], "reward": [mean of all], "agents": [{"name", "chosen": [n], "share":
        [0 to 1], "reward": [mean], "propensity": [mean]}]}`. Lists are as long as `times`; None where there is nothing. Agents
        are ordered by how often they were chosen.
    """
    chosen = _chosen(tables, objective, now, selection or Selection())
    answer = tables.ask(
        f"SELECT CAST(floor(epoch(event_time) / {bucket_s}) * {bucket_s} AS BIGINT) AS at, agent_name, count(*), avg(reward),"
        f" avg(choice_propensity), count(feedback) FROM ({chosen}) WHERE agent_name IS NOT NULL GROUP BY ALL ORDER BY ALL"
    )
    found = {(at, name): tuple(rest) for at, name, *rest in answer.rows}
    seen = sorted({at for at, _ in found})
    times = list(range(seen[0], seen[-1] + 1, bucket_s)) if seen else []
    total = {name: sum(row[0] for (_, each), row in found.items() if each == name) for _, name in found}
    names = sorted(total, key=lambda name: (-total[name], name))
    of_all = [_of_all([found[at, name] for name in names if (at, name) in found]) for at in times]
    return {
        "bucket_s": bucket_s,
        "objective": {"cost_weight": objective.cost_weight, "latency_weight": objective.latency_weight},
        "times": times,
        **{key: [each[key] for each in of_all] for key in ("chosen", "feedback", "reward")},
        "agents": [_of_agent(name, [found.get((at, name)) for at in times], of_all) for name in names],
    }


def _of_all(rows: Sequence[tuple[Any, ...]]) -> Mapping[str, Any]:
    chosen = sum(row[0] for row in rows)
    if not chosen:
        return {"chosen": 0, "feedback": None, "reward": None}
    reward = sum(row[0] * row[1] for row in rows) / chosen
    return {"chosen": chosen, "feedback": sum(row[3] for row in rows) / chosen, "reward": reward}


def _of_agent(name: str, rows: Sequence[tuple[Any, ...] | None], of_all: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    chosen = [0 if row is None else row[0] for row in rows]
    return {
        "name": name,
        "chosen": chosen,
        "share": [n / each["chosen"] if each["chosen"] else None for n, each in zip(chosen, of_all, strict=True)],
        "reward": [None if row is None else row[1] for row in rows],
        "propensity": [None if row is None else row[2] for row in rows],
    }


def _chosen(tables: Tables, objective: Reward, now: datetime, selection: Selection) -> str:
    """Return the SELECT of the outcomes that count, each with what it is worth."""
    names = tables.ask("SELECT * FROM outcomes LIMIT 0").names
    feedback = FEEDBACK if FEEDBACK in names else "NULL::DOUBLE"
    which = "true" if selection.values.get("agent_name") else "choice_policy IS NOT NULL"
    return (
        f"SELECT agent_name, event_time, choice_propensity, {feedback} AS feedback, {_worth(objective, feedback)} AS reward"
        f" FROM outcomes WHERE {which} AND {selection.condition()} AND event_time <= {literal(now)} AND status <> 'pending'"
    )


def _worth(objective: Reward, feedback: str) -> str:
    """Return `Reward.of()` as SQL."""
    statuses = " ".join(f"WHEN '{status}' THEN {worth!r}::DOUBLE" for status, worth in SUCCESS_OF.items())
    return (
        f"least(1.0, greatest(0.0, CASE status {statuses} END * coalesce({feedback}, quality_score, 1.0)"
        f" - {float(objective.cost_weight)!r}::DOUBLE * coalesce(cost_estimate, 0.0)"
        f" - {float(objective.latency_weight)!r}::DOUBLE * coalesce(latency_ms, duration_ms, 0.0) / 1000.0))"
    )
