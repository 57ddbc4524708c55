"""A comparison as a table that fits the terminal, and in words what speaks against believing it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from otel_feedback.cli.console import moment, number_of, write
from otel_feedback.cli.reading.selection import said_of
from otel_feedback.cli.reading.source import Source
from otel_feedback.downstream.learning.compare import words
from otel_feedback.downstream.learning.compare.comparing import Comparison, MetricOf, OfAction
from otel_feedback.downstream.learning.compare.question import Question
from otel_feedback.downstream.tables.selection import Selection

__all__ = ["write_table"]

GAP = 2
LEAST_NAME = 7
MOST_ACTIONS = 10
_STYLES = {"better": "green", "worse": "bold red", "not enough yet": "dim"}
_WEIGHTS = {"plain": "", "doubt": "yellow", "wrong": "bold red"}


def write_table(console: Console, source: Source, question: Question, selection: Selection, found: Comparison) -> None:
    """Write a comparison."""
    title = Text(source.said, "bold")
    what = f"experiment {question.experiment}" if question.experiment is not None else f"by {question.by}"
    since = "" if selection.since is None else f"since {moment(selection.since)}"
    title.append("  " + ", ".join(each for each in (what, said_of(selection), since) if each), "not bold")
    write(console, title, *(Text(text, _WEIGHTS[weight]) for text, weight in words.remarks(question, found)))
    if len(found.units) < 2:
        return
    shown = [each for each in found.actions if len(each.units) > 1]
    tells_more = False
    for action in shown[:MOST_ACTIONS]:
        rows = [row for metric in action.metrics for row in _rows(metric, found)]
        told = (Text(text, "yellow") for text in words.remarks_on(action, found))
        write(console, "", _heading(action), _table(console, rows), *told)
        tells_more = tells_more or (_that_fit(console.width, rows)[1] and any(" more" in row.state for row in rows))
    alone = words.compared_only(found)
    if alone is not None:
        write(console, "", Text(alone, "dim"))
    if len(shown) > MOST_ACTIONS:
        left = number_of(len(shown) - MOST_ACTIONS, "more type")
        write(console, "", Text(f"and {left} of actions: --action has one, --json all", "dim"))
    more = "More: units that it takes, if it stays so." if tells_more else "--json has all of it."
    write(console, "", Text(f"{words.basis(found)} {more}", "dim"))


# -- the table -----------------------------------------------------------------------------------------------------


class _Row(NamedTuple):
    """A row of words, with its metric where it is the first of it."""

    metric: str
    variant: str
    mean: str
    difference: str
    interval: str
    state: str
    style: str


def _rows(metric: MetricOf, found: Comparison) -> Iterator[_Row]:
    title = metric.metric.title()
    for row in words.rows(metric, found):
        yield _Row(title, *row[:-1], "dim" if row.verdict is None else _STYLES[row.verdict])
        title = ""


def _heading(action: OfAction) -> Text:
    counts = (f"{name} {number_of(number, 'action')}" for name, number in action.actions.items())
    return Text(action.action_type, "bold").append("  " + ", ".join(counts), "not bold dim")


def _table(console: Console, rows: Sequence[_Row]) -> Table:
    columns, is_whole, room = _that_fit(console.width, rows)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    table.add_column("", no_wrap=True)
    table.add_column("Variant", no_wrap=True, overflow="ellipsis", max_width=max(LEAST_NAME, room))
    for name in columns:
        table.add_column(name.title(), justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in rows:
        cells = [Text(getattr(row, each)) for each in ("metric", "variant", *columns)]
        table.add_row(*cells, Text(_state(row, is_whole=is_whole), row.style))
    return table


def _state(row: _Row, *, is_whole: bool) -> str:
    return row.state if is_whole else row.state.partition(":")[0]


def _that_fit(width: int, rows: Sequence[_Row]) -> tuple[Sequence[str], bool, int]:
    """Return the columns that there is room for, whether there is any for all of the state, and what is left for names."""
    widths = {
        name: max(len(name), *(len(getattr(row, name)) for row in rows)) + GAP
        for name in ("metric", "variant", "mean", "difference", "interval")
    }
    room, columns, is_whole = 0, _LAYOUTS[0][0], True
    for columns, is_whole in _LAYOUTS:
        states = max(len(_state(row, is_whole=is_whole)) for row in rows)
        room = width - widths["metric"] - sum(widths[each] for each in columns) - states - GAP
        if room >= (widths["variant"] - GAP if is_whole else LEAST_NAME):
            break
    return columns, is_whole, room


_LAYOUTS: Sequence[tuple[Sequence[str], bool]] = (
    (("mean", "difference", "interval"), True), (("mean", "interval"), True), (("mean", "interval"), False),
    (("mean", "difference"), False), (("mean",), False),
)  # fmt: skip
"""From the widest on: the columns, and whether the state is told with its details."""
