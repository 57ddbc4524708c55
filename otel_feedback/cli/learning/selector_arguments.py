"""The arguments of `selector`. Each of its actions is imported when it is run."""

from __future__ import annotations

import argparse
import math
from typing import Any

from otel_feedback.cli.arguments import add_json, seconds
from otel_feedback.cli.reading.parsers import reading_options, where_and_which

__all__ = ["add_selector"]

EXAMPLES = """\
examples:
  otel-feedback selector show selector.json
  otel-feedback selector export selector.json > kept.json
  otel-feedback selector export selector.json --weights    name -> probability
  otel-feedback selector reset selector.json               begin anew
  otel-feedback selector reset selector.json --to kept.json
  otel-feedback selector learn selector.json --since 7d    from what there is
  otel-feedback selector learn selector.json --follow      and what comes

FILE is what an AgentSelector was given as `state`.
"""
LEARN = """\
examples:
  otel-feedback selector learn selector.json --from store --since 7d
  otel-feedback selector learn selector.json --agent planner --agent writer
  otel-feedback selector learn selector.json --from topic --follow --every 60

Once: FILE is begun anew with what there is, and programs go on from there. With
--follow it is kept up to date, with feedback from anywhere, and programs read it
and add nothing. Without --agent the actions that a selector chose count.
"""


def add_selector(commands: Any) -> None:
    """Add `selector` and its actions."""
    parser = commands.add_parser(
        "selector",
        help="what an AgentSelector has learned: show, keep, begin anew",
        description="Show what an AgentSelector has learned, write it out, begin anew, or learn from the events that there are.",
        epilog=EXAMPLES,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _show(actions)
    _export(actions)
    _reset(actions)
    _learn(actions)


def _show(actions: Any) -> None:
    def run(options: argparse.Namespace) -> int:
        from otel_feedback.cli.learning import selector

        return selector.show(options.file, as_json=options.json)

    parser = actions.add_parser(
        "show",
        help="how probably each agent is chosen, and why",
        description="Show how probably each agent is chosen, its mean reward, and what that is known from.",
    )
    _add_file(parser)
    add_json(parser, "write the file as it is, as JSON")
    parser.set_defaults(run=run)


def _export(actions: Any) -> None:
    def run(options: argparse.Namespace) -> int:
        from otel_feedback.cli.learning import selector

        return selector.export(options.file, only_weights=options.weights)

    parser = actions.add_parser(
        "export",
        help="write it to stdout, for `reset --to` and `warm_start`",
        description="Write what was learned to stdout, as JSON: what `reset --to` takes, and AgentSelector's `warm_start`.",
    )
    _add_file(parser)
    parser.add_argument("--weights", action="store_true", help="only how probably each agent is chosen, by name")
    parser.set_defaults(run=run)


def _reset(actions: Any) -> None:
    def run(options: argparse.Namespace) -> int:
        from otel_feedback.cli.learning import selector

        return selector.reset(options.file, options.to)

    parser = actions.add_parser(
        "reset",
        help="begin anew, or with what was exported",
        description="Begin anew, or with what was exported. Programs that run notice within a second, and go on from there.",
    )
    _add_file(parser)
    parser.add_argument("--to", metavar="EXPORTED", help="what `export` wrote, in place of nothing")
    parser.set_defaults(run=run)


def _learn(actions: Any) -> None:
    def run(options: argparse.Namespace) -> int:
        from otel_feedback.cli.learning import selector_learning

        return selector_learning.run(
            options.file, **where_and_which(options), half_life_s=options.half_life, floor=options.floor,
            cost_weight=options.cost_weight, latency_weight=options.latency_weight,
            every_s=options.every if options.follow else None,
        )  # fmt: skip

    parser = actions.add_parser(
        "learn",
        help="learn from the events that there are, once or always",
        description="Learn from the events of a topic, a store or log files, and from feedback on them, once or always.",
        **reading_options(LEARN, "FILE "),
    )
    _add_file(parser)
    parser.add_argument("--half-life", type=_half_life, metavar="SECONDS", help="as AgentSelector's (FILE's; 3600)")
    parser.add_argument("--floor", type=_share, metavar="SHARE", help="as AgentSelector's, to be shown (FILE's; 0.05)")
    parser.add_argument("--cost-weight", type=_weight, metavar="N", help="what a US dollar takes away (FILE's; 0)")
    parser.add_argument("--latency-weight", type=_weight, metavar="N", help="what a second takes away (FILE's; 0)")
    parser.add_argument("--follow", action="store_true", help="go on until Ctrl-C")
    parser.add_argument("--every", type=seconds, default=10.0, metavar="SECONDS", help="with --follow: how often (10)")
    parser.set_defaults(run=run)


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the state of an AgentSelector")


def _number(text: str, least: float, most: float, expected: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not {expected}")
    return number


def _half_life(text: str) -> float:
    return _number(text, 1e-3, 1e12, "a number of seconds above 0")


def _share(text: str) -> float:
    return _number(text, 0.0, 1.0, "a number from 0 to 1")


def _weight(text: str) -> float:
    return _number(text, 0.0, 1e12, "a number from 0")
