"""Objectives: what was aimed at, what is left of the budget of failures, and how fast it burns."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from tools.dashboards import parts, whole
from tools.dashboards.parts import BAD, GOOD, WARNING, Column, query

__all__ = ["dashboard"]

CHOSEN = 'objective=~"$objective",tenant=~"$tenant",agent=~"$agent"'
NO_OBJECTIVES = "No objectives: write slo.toml, and start otel-feedback alerts run with OTEL_EXPORTER_OTLP_ENDPOINT"
LEFT = parts.steps((0, WARNING), (0.25, GOOD), first=BAD)
BURN = parts.steps((1, WARNING), (6, BAD))
# two processes that evaluate the same objectives say the same
ONE = "by (objective, tenant, agent, action)"
LEGEND = "{{objective}} {{tenant}} {{agent}} {{action}}"


def of(metric: str, *more: str) -> str:
    return f"max {ONE} (agent_slo_{metric}{{{','.join((CHOSEN, *more))}}})"


def burn(window: str) -> str:
    return of("burn_rate", f'window="{window}"')


def dashboard() -> Dashboard:
    target, left = of("target"), of("budget_remaining")
    rows = {
        "At a glance": [
            parts.number(
                "Objectives", "short", "One that is for each agent counts once for each.", f"count({target})",
                nothing=NO_OBJECTIVES, decimals=0,
            ),
            parts.number(
                "Missed", "short", "More failed than the budget of the period allows.",
                f"count({left} < 0) or 0 * count({left})", nothing=NO_OBJECTIVES, thresholds=parts.steps((1, BAD)), decimals=0,
            ),
            parts.number(
                "At risk", "short", "Used up before the period ends, if the rest of it is like the last 24 h.",
                f"count({left} >= 0 and {burn('24h')} > 1) or 0 * count({left})", nothing=NO_OBJECTIVES,
                thresholds=parts.steps((1, WARNING)), decimals=0,
            ),
            parts.number(
                "Not enough yet", "short", "With too few actions for anything to be said.",
                f"count({target}) - (count({left}) or vector(0))", nothing=NO_OBJECTIVES, decimals=0,
            ),
            parts.number(
                "Least budget left", "percentunit", "100 %: nothing failed. 0 %: as much as is allowed. Below: missed.",
                f"min({left})", nothing=NO_OBJECTIVES, thresholds=LEFT,
            ),
            parts.number(
                "Fastest burn", "none", "Over an hour. At 1 the budget lasts just for its period, at 6 for a sixth of it.",
                f"max({burn('1h')})", nothing=NO_OBJECTIVES, thresholds=BURN, decimals=1,
            ),
        ],
        "Over time": [
            parts.series(
                "Budget left", "percentunit", "What of the failures that the period allows has not happened. Below 0: missed.",
                query(left, LEGEND), nothing=NO_OBJECTIVES, thresholds=LEFT, least=None,
            ),
            parts.series(
                "Burn rate, over an hour", "none", "Above 1 the budget is used up before its period ends.",
                query(burn("1h"), LEGEND), nothing=NO_OBJECTIVES, thresholds=BURN,
            ),
        ],
        "Each": [
            parts.listing(
                "Objectives", "The one with the least budget left is first. Reached is empty where it is not enough yet.",
                [
                    *(Column(name.capitalize(), field=name) for name in ("objective", "tenant", "agent", "action")),
                    Column("Target", target, unit="percentunit"),
                    Column("Reached", f"1 - (1 - {left}) * (1 - {target})", unit="percentunit"),
                    Column("Budget left", left, unit="percentunit", thresholds=LEFT),
                    *(Column(f"Burn, {window}", burn(window), thresholds=BURN) for window in ("1h", "6h", "24h", "3d")),
                ],
                sort="Budget left", nothing=NO_OBJECTIVES, most_first=False,
            ),
        ],
    }  # fmt: skip
    variables = [
        whole.choice("objective", "Objective", "agent_slo_target", "objective"),
        whole.choice("tenant", "Tenant", 'agent_slo_target{objective=~"$objective"}', "tenant"),
        whole.choice("agent", "Agent", 'agent_slo_target{objective=~"$objective",tenant=~"$tenant"}', "agent"),
    ]
    return whole.dashboard(
        "objectives",
        "Agents: objectives",
        "Targets, what is left of their budgets, how fast it burns.",
        variables,
        rows,
    )
