"""The arguments of `gaps` and `evaluate-policy`, which look back at what was recorded. Each is imported when it is run."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from otel_feedback.cli.arguments import add_json
from otel_feedback.cli.reading.parsers import reading_options, where_and_which, whole

if TYPE_CHECKING:
    from otel_feedback.downstream.learning.policies.policy import Policy

__all__ = ["add_evaluate_policy", "add_gaps"]

POLICIES = """\
examples:
  otel-feedback evaluate-policy --since 7d       each agent always, and any
  otel-feedback evaluate-policy --policy always:planner --policy uniform
  otel-feedback evaluate-policy --policy weights:planner=0.7,writer=0.3
  otel-feedback evaluate-policy --policy state:selector.json --cost-weight 2

A reward is success * quality - weights * what it cost and took, from 0 to 1.
Events need to say how their agent was chosen, as those of an AgentSelector do.
"""

GAPS = """\
examples:
  otel-feedback gaps --since 7d              what to improve next
  otel-feedback gaps --agent researcher --sort cost
  otel-feedback gaps --export gaps.jsonl     the actions, for a data set

Looked at: agents, actions, tools, models, tenants, tags, metadata, and pairs of
them, with 50 actions of 20 runs at least, and the 30 most frequent values each.
Of what is told, at most one in twenty may be there by chance.
"""


def add_gaps(commands: Any) -> None:
    """Add `gaps`."""

    def run(options: Any) -> int:
        from otel_feedback.cli.learning import gaps

        form = "json" if options.json else "csv" if options.csv else "text"
        return gaps.run(
            **where_and_which(options), sort=options.sort, top=options.top, form=form, export=options.export
        )

    parser = commands.add_parser(
        "gaps",
        help="where success or quality is lower than elsewhere",
        description="Find what goes wrong more often than elsewhere, or is of lower quality, by more than chance: by agent, "
        "action, tool, model, tenant, tag, metadata and pairs of them; what it cost, and examples.",
        **reading_options(GAPS),
    )
    parser.add_argument(
        "--sort", choices=["lost", "cost", "time"], default="lost", help="what was lost most of comes first (lost)"
    )
    parser.add_argument("--top", type=whole, default=10, metavar="N", help="gaps that are shown (10); 0: all")
    parser.add_argument("--export", metavar="FILE", help="write their actions to this file, as JSON lines")
    form = parser.add_mutually_exclusive_group()
    add_json(form, "write one JSON object, with all gaps")
    form.add_argument("--csv", action="store_true", help="write all gaps as CSV")
    parser.set_defaults(run=run)


def add_evaluate_policy(commands: Any) -> None:
    """Add `evaluate-policy`."""

    def run(options: Any) -> int:
        from otel_feedback.cli.learning import evaluate_policy

        form = "json" if options.json else "csv" if options.csv else "table"
        return evaluate_policy.run(
            **where_and_which(options), policies=options.policy, cost_weight=options.cost_weight,
            latency_weight=options.latency_weight, form=form,
        )  # fmt: skip

    parser = commands.add_parser(
        "evaluate-policy",
        help="what another way to choose agents would have brought",
        description="Estimate from events that say how their agents were chosen what another policy would have brought, beside "
        "what was chosen: two estimates, intervals of 95 %, and how many decisions say something of it.",
        **reading_options(POLICIES),
    )
    parser.add_argument(
        "--policy", type=_policy, action="append", metavar="POLICY",
        help="always:AGENT, uniform, weights:AGENT=0.7,AGENT=0.3, or state:FILE, of a selector; several times for several "
        "(each agent always, and uniform)",
    )  # fmt: skip
    for name, of in (("cost", "US dollar"), ("latency", "second")):
        parser.add_argument(
            f"--{name}-weight", type=_weight, default=0.0, metavar="N", help=f"what a {of} takes from a reward (0)"
        )
    form = parser.add_mutually_exclusive_group()
    add_json(form, "write one JSON object, with all numbers")
    form.add_argument("--csv", action="store_true", help="write all numbers as CSV")
    parser.set_defaults(run=run)


def _policy(text: str) -> Policy:
    from otel_feedback.downstream.learning.policies.policy import PolicyError, policy_of

    try:
        return policy_of(text)
    except PolicyError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None


def _weight(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0")
    return number
