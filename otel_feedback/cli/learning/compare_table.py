"""A comparison as a table that fits the terminal, and in words what speaks against believing it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from otel_feedback.cli.console import UNKNOWN, duration, moment, number_of, write
from otel_feedback.cli.reading.selection import said_of
from otel_feedback.cli.reading.source import Source
from otel_feedback.downstream.learning.compare.comparing import Comparison, Difference, MetricOf, OfAction
from otel_feedback.downstream.learning.compare.question import Question
from otel_feedback.downstream.tables.selection import Selection

__all__ = ["write_table"]

GAP = 2
LEAST_NAME = 7
MOST_ACTIONS = 10
LEAST_GAP = 0.05
"""Shares of what is known that differ by more are told."""
_STYLES = {"better": "green", "worse": "bold red", "not enough yet": "dim"}


def write_table(console: Console, source: Source, question: Question, selection: Selection, found: Comparison) -> None:
    """Write a comparison."""
    title = Text(source.said, "bold")
    what = f"experiment {question.experiment}" if question.experiment is not None else f"by {question.by}"
    since = "" if selection.since is None else f"since {moment(selection.since)}"
    title.append("  " + ", ".join(each for each in (what, said_of(selection), since) if each), "not bold")
    write(console, title, *(Text(text, style) for text, style in _remarks(question, found)))
    if len(found.units) < 2:
        return
    shown = [each for each in found.actions if len(each.units) > 1]
    tells_more = False
    for action in shown[:MOST_ACTIONS]:
        rows = [row for metric in action.metrics for row in _rows(metric, found)]
        write(console, "", _heading(action), _table(console, rows), *_remarks_on(action, found))
        tells_more = tells_more or (_that_fit(console.width, rows)[1] and any(" more" in row.state for row in rows))
    alone = [each.action_type for each in found.actions if len(each.units) < 2]
    if alone:
        write(console, "", Text(f"only one has {', '.join(alone)}: nothing to compare", "dim"))
    if len(shown) > MOST_ACTIONS:
        left = number_of(len(shown) - MOST_ACTIONS, "more type")
        write(console, "", Text(f"and {left} of actions: --action has one, --json all", "dim"))
    told = f"The intervals of a metric hold at {found.level * 100:g} %, at all times together."
    more = "More: units that it takes, if it stays so." if tells_more else "--json has all of it."
    write(console, "", Text(f"{told} {more}", "dim"))


def _remarks(question: Question, found: Comparison) -> Iterator[tuple[str, str]]:
    """Yield what is to be known before one believes the numbers, and how it looks."""
    if not found.units:
        if question.experiment is None:
            yield f"no action of {' or '.join(question.values)} has ended", ""
        elif found.events:
            yield (
                f"{number_of(found.events, 'event')}, and none of an action that ended and asked for a variant",
                "yellow",
            )
        else:
            yield "no event of this experiment", ""
        return
    yield ", ".join(f"{name} {number_of(units, 'unit')}" for name, units in found.units.items()), ""
    missing = [name for name in (found.baseline, *question.values) if name not in found.units]
    if missing:
        yield f"none of {missing[0]}: there is nothing to compare", "yellow"
    elif len(found.units) < 2:
        yield "there is nothing to compare it with", "yellow"
    told = found.assignment
    if not found.is_drawn:
        yield f"Nobody drew who got which: by {question.by} they may differ in more than that.", "yellow"
    elif told is not None:
        counted = ", ".join(
            f"{name} {number:,} (drawn {told.expected[name]:.1%})" if name in told.expected else f"{name} {number:,}"
            for name, number in told.counted.items()
        )
        if told.p_value is None:
            yield (
                f"Not checked whether there are as many as were drawn: the events' propensities are no weights. {counted}",
                "yellow",
            )
        elif told.is_mismatch:
            text = f"There are not as many {told.counted_by} as were drawn: {counted}. Something loses or adds some: find it before"
            text += (
                f" you believe what follows (wrong in {told.level * 100:g} of 100 at most, however often one looks)."
            )
            yield text, "bold red"
        if told.weights_changed:
            yield (
                "The weights were changed: before and after, other times and other units. Compare with --since that.",
                "yellow",
            )
    if found.in_several:
        yield f"{number_of(found.in_several, 'unit')} had several and count in each.", "yellow"


# -- the table -----------------------------------------------------------------------------------------------------


class _Row(NamedTuple):
    metric: str
    variant: str
    mean: str
    difference: str
    interval: str
    state: str
    style: str


def _heading(action: OfAction) -> Text:
    counts = (f"{name} {number_of(number, 'action')}" for name, number in action.actions.items())
    return Text(action.action_type, "bold").append("  " + ", ".join(counts), "not bold dim")


def _remarks_on(action: OfAction, found: Comparison) -> Iterator[Text]:
    for metric in action.metrics:
        shares = {one.variant: one.coverage for one in metric.variants}
        if len(shares) > 1 and max(shares.values()) - min(shares.values()) > LEAST_GAP:
            known = ", ".join(f"{share:.0%} of {name}" for name, share in shares.items())
            yield Text(f"{metric.metric} is known of {known}: what is not known may differ", "yellow")
    for one in action.imbalances:
        value = UNKNOWN if one.value is None else one.value
        text = (
            f"{one.name} {value}: {one.share:.0%} of the units of {one.variant}, {one.baseline:.0%} of {found.baseline}"
        )
        yield Text(text, "yellow")


def _rows(metric: MetricOf, found: Comparison) -> Iterator[_Row]:
    differences = {each.variant: each for each in metric.differences}
    variants = sorted(metric.variants, key=lambda each: (each.variant != found.baseline, each.variant))
    largest = max((abs(each.mean) for each in variants), default=0.0)
    form = _Form(metric.unit, 2 - math.floor(math.log10(largest)) if largest else 2)
    title = metric.metric.title()
    for one in variants:
        other = differences.get(one.variant)
        known = "" if one.coverage > 0.995 else f"{one.coverage:.0%} known"
        shown = ("", "", known, "dim") if other is None else _compared(form, other)
        yield _Row(title, one.variant, form.value(one.mean), *shown)
        title = ""


def _compared(form: _Form, one: Difference) -> tuple[str, str, str, str]:
    state = one.verdict
    if state == "not enough yet":
        state += ": far off" if one.more_units is None else f": {_rounded(one.more_units):,} more"
    interval = "" if one.low is None or one.high is None else form.between(one.low, one.high)
    return form.change(one.estimate), interval, state, _STYLES[one.verdict]


def _rounded(number: int) -> int:
    """Return it with two digits: it is an estimate."""
    digits = max(0, len(str(number)) - 2)
    return -(-number // 10**digits) * 10**digits


class _Form(NamedTuple):
    """How values of a metric are written: with as many digits after the point, of dollars, as the largest mean needs."""

    unit: str
    digits: int

    def value(self, value: float) -> str:
        if self.unit == "share":
            return f"{value:.1%}"
        if self.unit == "usd":
            return f"${value:,.{max(2, self.digits)}f}"
        return f"{value:.3f}" if self.unit == "score" else duration(value)

    def change(self, value: float) -> str:
        if self.unit == "share":
            return f"{value * 100:+.1f} pt"
        return f"{value:+.3f}" if self.unit == "score" else ("-" if value < 0 else "+") + self.value(abs(value))

    def between(self, low: float, high: float) -> str:
        one, other = self.change(low), self.change(high)
        return f"{one.removesuffix(' pt')} to {other}"


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
