"""How selectors chose over time, and what came of it, as JSON to draw: for a page.

    outcomes ──► choices.sql: a row for each decision ──► policies ──► their agents ──► shares and rewards by time

Of each event the highest revision counts. One that is under way is a decision, and no outcome yet. For the thread of the
tables, in which it leaves a table `choice_facts`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from otel_feedback.downstream.learning.asking import Asks, columns_there
from otel_feedback.downstream.learning.selectors.learning import FEEDBACK, worth_of
from otel_feedback.downstream.tables.selection import literal
from otel_feedback.downstream.tables.tables import columns_of
from otel_feedback.learning.reward import Reward

__all__ = ["COLUMNS", "MEASURES", "MOST_POLICIES", "choices", "of_policy"]

_TEXT = (Path(__file__).parent / "choices.sql").read_text(encoding="utf-8")
MOST_POLICIES = 20
_NAME = "regexp_replace(choice_policy, ':[0-9]+([+][0-9]+)?$', '')"
"""A policy without its version: `thompson:42+7` has learned more than `thompson:41`, and is the same."""
_CANDIDATES = "coalesce(list_sort(choice_candidates), [])"
COLUMNS = columns_of(f"{_TEXT} {_NAME} {_CANDIDATES}") | {"run_id", "root_event_id", "tenant_id", "action_type"}
"""The columns of events that are asked for; the last ones are what feedback is joined by."""
_POLICIES = f"""
SELECT policy, candidates, arg_max(version, event_time), count(*) AS decisions, count(*) FILTER (status = 'pending'),
    min(t), max(t), count(propensity), min(propensity), avg((propensity <= 0.5)::INTEGER), avg(reward)
FROM choice_facts
GROUP BY policy, candidates
ORDER BY decisions DESC, policy, candidates
LIMIT {MOST_POLICIES}
"""
_AGENTS = """
SELECT policy, candidates, agent, count(*) AS chosen, count(*) FILTER (status = 'pending') AS pending,
    avg(propensity) AS propensity, count(*) FILTER (status <> 'pending') AS outcomes, count(*) FILTER (status = 'success') AS successes,
    avg(coalesce(feedback, quality)) AS quality, count(coalesce(feedback, quality)) AS rated, count(feedback) AS feedback,
    avg(cost) AS cost, count(cost) AS priced, quantile_cont(took, 0.5) AS p50, quantile_cont(took, 0.95) AS p95,
    avg(reward) AS reward
FROM choice_facts
GROUP BY policy, candidates, agent
"""
MEASURES = (
    "chosen", "pending", "propensity", "outcomes", "successes", "quality", "rated", "feedback", "cost", "priced", "p50",
    "p95", "reward",
)  # fmt: skip
_COUNTED = {"chosen", "pending", "outcomes", "successes", "rated", "feedback", "priced"}
_OVER_TIME = """
SELECT policy, candidates, agent, t - t % $1 AS at, count(*), count(reward), avg(reward)
FROM choice_facts
GROUP BY ALL
"""

Key = tuple[str, tuple[str, ...]]


def choices(tables: Asks, objective: Reward, step_s: Callable[[float], int], until_ms: int) -> dict[str, Any]:
    """Return how agents were chosen, by policy and candidates, those with most decisions first.

    Args:
        tables: In which `outcomes` are, with COLUMNS.
        objective: What an outcome is worth.
        step_s: How many seconds a point stands for, where all of them together are so many.
        until_ms: Where the last point is, in milliseconds since 1970.

    Returns:
        `{"reward": {"cost_weight", "latency_weight"}, "step_s", "t": [milliseconds since 1970], "policies": [{"policy": the
        name without its version, "version": the newest one, "candidates", "decisions", "pending", "first", "last", "known":
        of how many the probability is, "floor_at_most": the share of the decisions that can have been spread evenly over all,
        "explored": the share for an agent that was no more probable than all others together, "reward": the mean, "agents":
        [{"agent", MEASURES, "share", "series": {"chosen": [n], "outcomes": [n], "reward": [mean]}}]}]}`. Lists are as long as
        `t`; None is what nobody knows. Agents are in the order of their names, all candidates among them. `quality` is
        feedback where there is some, else the score; `rated` of how many outcomes it is, `feedback` how many have any,
        `priced` of how many `cost` is the mean.
    """
    _make_facts(tables, objective)
    rows = tables.query(_POLICIES)
    first = min((row[5] for row in rows), default=until_ms)
    step = step_s((until_ms - first) / 1e3)
    t = list(range(first - first % (step * 1_000), until_ms, step * 1_000)) if rows else []
    measured: defaultdict[Key, dict[str | None, dict[str, Any]]] = defaultdict(dict)
    for policy, candidates, agent, *values in tables.query(_AGENTS):
        measured[policy, tuple(candidates)][agent] = dict(zip(MEASURES, values, strict=True))
    series: defaultdict[Key, dict[str | None, dict[int, Any]]] = defaultdict(lambda: defaultdict(dict))
    for policy, candidates, agent, at, *point in tables.query(_OVER_TIME, [step * 1_000]):
        series[policy, tuple(candidates)][agent][at] = point
    policies = [_policy(row, measured[row[0], tuple(row[1])], series[row[0], tuple(row[1])], t) for row in rows]
    weights = {"cost_weight": objective.cost_weight, "latency_weight": objective.latency_weight}
    return {"reward": weights, "step_s": step, "t": t, "policies": policies}


def of_policy(policy: str, candidates: Sequence[str]) -> str:
    """Return the condition for the decisions of a policy, by its name without a version, among these candidates."""
    named = ", ".join(map(literal, sorted(candidates)))
    return f"{_NAME} = {literal(policy)} AND {_CANDIDATES} = [{named}]::VARCHAR[]"


def _make_facts(tables: Asks, objective: Reward) -> None:
    feedback = FEEDBACK if FEEDBACK in columns_there(tables) else "NULL::DOUBLE"
    worth = worth_of(objective, feedback)
    parts = {"name": _NAME, "candidates": _CANDIDATES, "feedback": feedback, "worth": worth}
    tables.query(f"CREATE OR REPLACE TEMP TABLE choice_facts AS {Template(_TEXT).substitute(parts)}")


def _policy(
    row: tuple[Any, ...],
    measured: Mapping[str | None, dict[str, Any]],
    series: Mapping[str | None, Any],
    t: Sequence[int],
) -> dict[str, Any]:
    policy, candidates, version, decisions, pending, first, last, known, least, explored, reward = row
    names = sorted({*candidates, *measured}, key=lambda name: (name is None, name or ""))
    nothing = {name: 0 if name in _COUNTED else None for name in MEASURES}
    agents: list[dict[str, Any]] = []
    for name in names:
        of = measured.get(name, nothing)
        points = series.get(name, {})
        columns = zip(*(points.get(at, (0, 0, None)) for at in t), strict=True)
        drawn = dict(zip(("chosen", "outcomes", "reward"), map(list, columns), strict=True))
        agents.append({"agent": name, **of, "share": of["chosen"] / decisions, "series": drawn})
    return {
        "policy": policy, "version": version, "candidates": candidates, "decisions": decisions, "pending": pending,
        "first": first, "last": last, "known": known, "explored": explored, "reward": reward, "agents": agents,
        "floor_at_most": None if least is None else min(1.0, least * max(1, len(candidates))),
    }  # fmt: skip
