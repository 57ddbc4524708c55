"""`otel-feedback compare`: the variants of an experiment, or two agents, models, tags …, as a table, as JSON or as CSV."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from otel_feedback.cli.console import open_console
from otel_feedback.cli.learning.compare_table import write_table
from otel_feedback.cli.reading.source import Source, answering, opened, source_of, tell, watched
from otel_feedback.downstream.learning.compare.comparing import Comparison, compare
from otel_feedback.downstream.learning.compare.lines import HEAD, lines
from otel_feedback.downstream.learning.compare.question import Question
from otel_feedback.downstream.tables.selection import Selection
from otel_feedback.version import VERSION

__all__ = ["run"]


def run(
    *, source: Sequence[str], bootstrap_servers: str | None, selection: Selection, experiment: str | None, by: str | None,
    values: tuple[str, ...], baseline: str | None, level: float, form: str,
) -> int:  # fmt: skip
    """Compare, write, and return the exit code.

    Args:
        source: What `--from` says.
        bootstrap_servers: In place of the setting.
        selection: Which events.
        experiment: Its name; None: `by` is compared.
        by: What is compared, a word of `compare_arguments.BY` or `metadata.KEY`.
        values: Two values of it.
        baseline: What the others are held against; None: the first.
        level: How certain the intervals are.
        form: "table", "json" or "csv".
    """
    question = Question(experiment=experiment, by=by, values=values, baseline=baseline)

    def work() -> int:
        asked = source_of(source, bootstrap_servers)
        with opened(asked, selection, question.columns) as tables:
            found = watched(tables, lambda: compare(tables, question, selection, level), "comparing")
            tell(tables)
        if form == "json":
            _write_json(asked, question, selection, found)
        elif form == "csv":
            _write_csv(found)
        else:
            write_table(open_console(), asked, question, selection, found)
        return 0

    return answering(work)


def _write_json(source: Source, question: Question, selection: Selection, found: Comparison) -> None:
    what: dict[str, Any] = {"experiment": question.experiment}
    if question.experiment is None:
        what = {"by": question.by, "values": question.values}
    times = {"since": _said(selection.since), "until": _said(selection.until)}
    document = {"version": VERSION, "source": source.said, **times, **what, **msgspec.to_builtins(found)}
    print(json.dumps(document, indent=2))


def _said(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


def _write_csv(found: Comparison) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(HEAD)
    writer.writerows(lines(found))
