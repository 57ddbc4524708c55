"""The arguments of `otel-feedback slo`. Each action is imported when it is run."""

from __future__ import annotations

import argparse
from typing import Any

from otel_feedback.cli.arguments import add_json, moment
from otel_feedback.cli.reading.parsers import add_filter, add_where

__all__ = ["add_slo"]

EXAMPLES = """\
examples:
  otel-feedback slo check                    is slo.toml right, and what does it mean?
  otel-feedback slo                          how each objective stands
  otel-feedback slo --at 2026-03-02 --json   how it stood then
  otel-feedback slo --tenant acme            of this tenant's actions alone
  otel-feedback slo --from 'outcomes.jsonl*' --csv

Objectives are those of slo.toml in the current directory. `otel-feedback alerts`
tells of those beside its rules; `otel-feedback sql` has the view objectives.
"""


def add_slo(commands: Any) -> None:
    """Add the command and its action."""

    def run(options: argparse.Namespace) -> int:
        from otel_feedback.cli.reading.selection import values_of
        from otel_feedback.cli.slo import showing

        form = "json" if options.json else "csv" if options.csv else "table"
        return showing.run(
            objectives=options.slo, source=options.source, bootstrap_servers=options.bootstrap_servers, at=options.at,
            values=values_of(options), form=form,
        )  # fmt: skip

    parser = commands.add_parser(
        "slo",
        help="what share of actions was good, what is left of the budget, and for how long",
        description="Show how each objective stands: what share was good, what is left of its budget, how fast that burns, "
        "and when it will be used up.",
        epilog=EXAMPLES,
        usage="%(prog)s [check] [--slo FILE] [--from SOURCE] [options]",
    )
    add_where(parser)
    _add_slo(parser)
    add_filter(parser, "tenant", "count this tenant's actions alone; given again, and that one's; -: those without one")
    parser.add_argument("--at", type=moment, metavar="WHEN", help="as it was then: 2h ago, or a time (now)")
    form = parser.add_mutually_exclusive_group()
    add_json(form, "write an array of JSON objects, with all numbers")
    form.add_argument("--csv", action="store_true", help="write all numbers as CSV")
    parser.set_defaults(run=run)
    _check(parser.add_subparsers(dest="action", metavar="check", prog="otel-feedback slo"))


def _check(actions: Any) -> None:
    def run(options: argparse.Namespace) -> int:
        from otel_feedback.cli.slo import check

        return check.run(objectives=options.slo)

    parser = actions.add_parser(
        "check",
        help="say what is wrong with the objectives, and what would be right",
        description="Read the objectives, and say what is wrong with them, or what they mean and when somebody is told.",
    )
    _add_slo(parser, default=argparse.SUPPRESS)  # what was said before `check` stays
    parser.set_defaults(run=run)


def _add_slo(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    parser.add_argument("--slo", metavar="FILE", default=default, help="the objectives (slo.toml in this directory)")
