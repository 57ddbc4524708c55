"""Made-up outcomes that teach something: choices of a selector that learned, and actions of which some slices fail more."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from otel_feedback import OutcomeEvent, OutcomeStatus
from tests.downstream.learning.policies.learners import CASES, learned_log
from tests.downstream.tables import made

__all__ = ["SECRET", "actions", "decisions"]

SECRET = "globex-only"
"""In each name of that tenant's, and nowhere else."""


def decisions(tenant: str, begin: datetime = made.BEGIN, number: int = 1_000) -> list[OutcomeEvent]:
    """Return what a selector chose, once in three seconds, and what came of it; a few are under way."""
    mark = f"{SECRET}-" if tenant == "globex" else ""
    log, _ = learned_log(CASES["drifting"], 3, number)
    lot = random.Random(7)
    events: list[OutcomeEvent] = []
    for place, decision in enumerate(log):
        at = begin + timedelta(seconds=3 * place)
        status = OutcomeStatus.SUCCESS if decision.reward else OutcomeStatus.FAILURE
        events.append(OutcomeEvent(
            event_id=f"{mark}choice-{place}", run_id=f"{mark}{decision.run}", action_type="answer", agent_name=f"{mark}{decision.agent}",
            tenant_id=tenant, timestamp=at, end_time=at, status=OutcomeStatus.PENDING if place % 100 == 0 else status,
            quality_score=decision.reward or None, cost_estimate=0.02, latency_ms=500.0, tags=("eu",) if place % 3 else (),
            choice_candidates=tuple(f"{mark}{name}" for name in decision.candidates), choice_policy=f"thompson:{place // 75}",
            choice_propensity=decision.propensity, metadata={"plan": f"{mark}{lot.choice(['free', 'pro'])}"},
        ))  # fmt: skip
    return events


def actions(tenant: str, begin: datetime = made.BEGIN, number: int = 1_600) -> list[OutcomeEvent]:
    """Return actions of which those of a researcher with the small model fail often, as do those of the plan free's."""
    mark = f"{SECRET}-" if tenant == "globex" else ""
    lot = random.Random(4)
    events: list[OutcomeEvent] = []
    for place in range(number):
        agent, model = lot.choice(["planner", "researcher", "writer"]), lot.choice(["large", "small"])
        plan = lot.choice(["free", "pro"])
        bad = lot.random() < (0.5 if (agent, model) == ("researcher", "small") else 0.3 if plan == "free" else 0.05)
        at = begin + timedelta(seconds=2 * place)
        events.append(OutcomeEvent(
            event_id=f"{mark}action-{place}", run_id=f"{mark}run-{place // 4}", action_type="step", agent_name=f"{mark}{agent}",
            model=f"{mark}{model}", tool_name=f"{mark}{lot.choice(['search', 'mail'])}", tenant_id=tenant, timestamp=at, end_time=at,
            status=OutcomeStatus.FAILURE if bad else OutcomeStatus.SUCCESS, own_cost=0.01, latency_ms=1_000.0,
            tags=("beta",) if lot.random() < 0.5 else (), metadata={"plan": f"{mark}{plan}", "retries": lot.randrange(3)},
        ))  # fmt: skip
    return events
