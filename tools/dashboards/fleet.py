"""Fleet: how all agents fare. How many actions, how they end, how long they take, what they cost."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from tools.dashboards import parts, whole
from tools.dashboards.parts import BAD, STATUSES, WARNING, Column, by, named, query

__all__ = ["dashboard"]

CHOSEN = 'job=~"$service",tenant=~"$tenant",agent=~"$agent",model=~"$model"'
FAILED = 'status=~"failure|timeout"'
NONE_ENDED = "No actions: choose a longer time, or other values above"
NO_TOKENS = "No usage: call add_usage(), or use an instrumentor of model calls"
NO_COST = "No cost: call add_usage() with a model whose price is known, or with cost="
NO_SCORE = "No scores: call act.score(quality=…)"
RATES = parts.steps((0.05, WARNING), (0.1, BAD))
OF_SERVICE, OF_AGENT = "${__data.fields.job:percentencode}", "${__data.fields.agent:percentencode}"
AGENT_LINKS = (
    (
        "Traces in Jaeger",
        f"${{jaeger}}/search?service={OF_SERVICE}&tags=%7B%22gen_ai.agent.name%22%3A%22{OF_AGENT}%22%7D",
    ),
    (
        "Outcomes",
        f"${{page}}/?service={OF_SERVICE}&agent={OF_AGENT}&since=${{__from:date:iso}}&until=${{__to:date:iso}}",
    ),
)


def chosen(metric: str, *more: str) -> str:
    return f"{metric}{{{','.join((CHOSEN, *more))}}}"


def now(metric: str, *more: str) -> str:
    """Return how much a counter grew by in a second."""
    return f"rate({chosen(metric, *more)}[$__rate_interval])"


def grown(metric: str, *more: str) -> str:
    """Return how much a counter grew by in the time that is shown."""
    return f"increase({chosen(metric, *more)}[$__range])"


def share(grown: str, failed: str, labels: str = "") -> str:
    """Return the share that failed; 0, and not nothing, where none did."""
    of = f"sum {labels} ({grown})".replace("  ", " ")
    return f"(sum {labels} ({failed}) or 0 * {of}) / ({of} > 0)".replace("  ", " ")


def quantile(q: float, labels: str, buckets: str) -> str:
    return f"histogram_quantile({q}, sum by ({labels}) ({buckets}))"


def dashboard() -> Dashboard:
    outcomes, seconds = "agent_outcomes_total", "agent_outcome_duration_seconds_bucket"
    cost, tokens = "agent_outcome_cost_total", "agent_outcome_tokens_total"
    scores, scored = grown("agent_outcome_quality_sum"), grown("agent_outcome_quality_count")
    row, of_row = "by (job, agent)", "job, agent"
    rows = {
        "At a glance": [
            parts.number(
                "Actions", "short", "Actions that ended in this time.", f"sum({grown(outcomes)})",
                nothing=NONE_ENDED, decimals=0,
            ),
            parts.number(
                "Failed", "percentunit", "Share of actions that failed or ran out of time. What was cancelled is not a failure.",
                share(grown(outcomes), grown(outcomes, FAILED)), nothing=NONE_ENDED, thresholds=RATES, decimals=1,
            ),
            parts.number(
                "95 % faster than", "s", "95 % of the actions took less.", quantile(0.95, "le", grown(seconds)),
                nothing=NONE_ENDED,
            ),
            parts.number(
                "Cost", "currencyUSD", "US dollars, each call counted once. Actions whose price is not known are not in it.",
                f"sum({grown(cost)})", nothing=NO_COST,
            ),
            parts.number(
                "Tokens", "short", "Of input and output, each call counted once.", f"sum({grown(tokens)})", nothing=NO_TOKENS,
            ),
            parts.number(
                "Quality", "percentunit", "Mean of the scores that were given.", f"sum({scores}) / (sum({scored}) > 0)",
                nothing=NO_SCORE, thresholds=parts.steps((0.5, WARNING), (0.7, parts.GOOD), first=BAD),
            ),
        ],
        "How actions end": [
            parts.bars(
                "Actions a minute, by status", "cpm", "How many ended, and how.",
                query(f"60 * sum by (status) ({now(outcomes)})", "{{status}}"), nothing=NONE_ENDED, colours=STATUSES,
            ),
            parts.series(
                "Share that failed, by agent", "percentunit", "Failures and time limits. The lines are at 5 % and 10 %.",
                query(named(share(now(outcomes), now(outcomes, FAILED), "by (agent)"), "agent"), "{{agent}}"),
                nothing=NONE_ENDED, most=0.2, thresholds=RATES,
            ),
        ],
        "How long they take": [
            parts.series(
                "Duration", "s", "Of all actions. A dot is an action: it leads to its trace.",
                *(
                    query(quantile(q, "le", now(seconds)), f"{100 * q:.0f} %", name=name, exemplars=q == 0.95)
                    for name, q in (("A", 0.5), ("B", 0.95), ("C", 0.99))
                ),
                nothing=NONE_ENDED,
            ),
            parts.series(
                "95 % faster than, by agent", "s", "95 % of this agent's actions took less.",
                query(named(quantile(0.95, "agent, le", now(seconds)), "agent"), "{{agent}}"), nothing=NONE_ENDED,
            ),
        ],
        "Cost": [
            parts.series(
                "US dollars an hour, by agent", "currencyUSD", "What actions cost themselves, at the pace of the moment.",
                query(by("agent", f"3600 * {now(cost)}"), "{{agent}}"), nothing=NO_COST, width=24,
            ),
            *(
                parts.ranking(
                    f"Cost by {label}", "currencyUSD", f"In the time that is shown, of the ten {label}s with most of it.",
                    by(label, grown(cost)), label, nothing=NO_COST,
                )
                for label in ("tenant", "agent", "model")
            ),
        ],
        "Tokens": [
            parts.bars(
                "Tokens a minute, by type", "cpm", "Type is unknown where only the sum was said.",
                query(f"60 * sum by (type) ({now(tokens)})", "{{type}}"), nothing=NO_TOKENS, width=24,
            ),
            *(
                parts.ranking(
                    f"Tokens by {label}", "short", f"In the time that is shown, of the ten {label}s with most of them.",
                    by(label, grown(tokens)), label, nothing=NO_TOKENS,
                )
                for label in ("tenant", "agent", "model")
            ),
        ],
        "Agents": [
            parts.listing(
                "Agents", "In the time that is shown; the one that fails most is first. A name leads to its traces.",
                [
                    Column("Service", field="job"),
                    Column("Agent", field="agent", links=AGENT_LINKS),
                    Column("Actions", f"sum {row} ({grown(outcomes)})", unit="short"),
                    Column(
                        "Failed", share(grown(outcomes), grown(outcomes, FAILED), row), unit="percentunit", thresholds=RATES
                    ),
                    Column("50 % faster than", quantile(0.5, f"{of_row}, le", grown(seconds)), unit="s"),
                    Column("95 % faster than", quantile(0.95, f"{of_row}, le", grown(seconds)), unit="s"),
                    Column("Tokens", f"sum {row} ({grown(tokens)})", unit="short"),
                    Column("Cost", f"sum {row} ({grown(cost)})", unit="currencyUSD"),
                    Column("Quality", f"sum {row} ({scores}) / (sum {row} ({scored}) > 0)", unit="percentunit"),
                ],
                sort="Failed", nothing=NONE_ENDED,
            ),
        ],
    }  # fmt: skip
    variables = [
        whole.choice("service", "Service", outcomes, "job"),
        whole.choice("tenant", "Tenant", f'{outcomes}{{job=~"$service"}}', "tenant"),
        whole.choice("agent", "Agent", f'{outcomes}{{job=~"$service",tenant=~"$tenant"}}', "agent"),
        whole.choice("model", "Model", f'{outcomes}{{job=~"$service",tenant=~"$tenant",agent=~"$agent"}}', "model"),
    ]
    return whole.dashboard(
        "fleet", "Agents: fleet", "How all agents fare: outcomes, duration, cost, tokens.", variables, rows
    )
