"""The arguments of `compare`. The command is imported when it is run."""

from __future__ import annotations

import argparse
from typing import Any

from otel_feedback.cli.arguments import add_json
from otel_feedback.cli.reading.parsers import reading_options, where_and_which

__all__ = ["add_compare"]

EXAMPLES = """\
examples:
  otel-feedback compare --experiment prompt-7           of `variant("prompt-7", …)`
  otel-feedback compare --experiment prompt-7 --action answer --since 7d
  otel-feedback compare --by model gpt-4o gpt-4o-mini
  otel-feedback compare --by metadata.version 1.4 1.5 --csv

Look as often as you like: the intervals hold at all times together. A user
counts once, or a session, or a run. Only actions of one type are compared.
"""
BY = ("agent", "model", "tool", "service", "tenant", "workflow", "tag")


def add_compare(commands: Any) -> None:
    """Add `compare`."""

    def run(options: argparse.Namespace) -> int:
        from otel_feedback.cli.learning import compare

        if options.experiment is None and options.by is None:
            options.parser.error("say what is compared: --experiment NAME, or --by WHAT A B")
        by, *values = options.by or (None,)
        if options.baseline is not None and values and options.baseline not in values:
            options.parser.error(f"--baseline {options.baseline!r} is neither {values[0]!r} nor {values[1]!r}")
        form = "json" if options.json else "csv" if options.csv else "table"
        return compare.run(
            **where_and_which(options), experiment=options.experiment, by=by, values=tuple(values),
            baseline=options.baseline, level=options.level, form=form,
        )  # fmt: skip

    parser = commands.add_parser(
        "compare",
        help="is one variant better than the other, and is that certain yet?",
        description="Compare the variants of an experiment, or two agents, models, tags …: success, quality, cost and latency, "
        "by how much they differ, whether that is certain yet, and what speaks against comparing them.",
        **reading_options(EXAMPLES),
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--experiment", metavar="NAME", help="the variants of this experiment")
    what.add_argument(
        "--by", nargs=3, action=_By, metavar=("WHAT", "A", "B"), help=f"two values of {', '.join(BY)}, or metadata.KEY"
    )
    parser.add_argument(
        "--baseline", metavar="NAME", help="what the others are held against (A; of an experiment the first by name)"
    )
    parser.add_argument(
        "--level",
        type=_level,
        default=0.95,
        metavar="SHARE",
        help="how certain all of a metric's intervals are together (0.95)",
    )
    form = parser.add_mutually_exclusive_group()
    add_json(form, "write one JSON object, with all numbers")
    form.add_argument("--csv", action="store_true", help="write a line for each action, metric and variant")
    parser.set_defaults(run=run)


class _By(argparse.Action):
    """What is compared, and two values of it that differ."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        from difflib import get_close_matches

        by, one, other = values
        if by not in BY and not (by.startswith("metadata.") and len(by) > len("metadata.") and '"' not in by):
            near = get_close_matches(by, BY, 1)
            hint = f"did you mean {near[0]}? " if near else ""
            parser.error(
                f"argument --by: {by!r} cannot be compared by; {hint}there are {', '.join(BY)} and metadata.KEY"
            )
        if one == other:
            parser.error(f"argument --by: {one!r} is compared with itself; give two values of {by}")
        setattr(namespace, self.dest, values)


def _level(text: str) -> float:
    try:
        level = float(text)
    except ValueError:
        level = 0.0
    if not 0.5 <= level < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share from 0.5 to below 1, such as 0.95")
    return level
