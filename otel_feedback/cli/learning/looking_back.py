"""The arguments of `gaps` and `evaluate-policy`, which look back at what was recorded. Each is imported when it is run."""

from __future__ import annotations

from typing import Any

from otel_feedback.cli.arguments import add_json
from otel_feedback.cli.reading.parsers import reading_options, where_and_which, whole

__all__ = ["add_gaps"]

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
