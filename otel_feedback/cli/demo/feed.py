"""The outcomes as they arrive: a live table on a terminal, one line each everywhere else.

Input: all events so far, again and again. Output: the terminal. Used by one thread.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Protocol

from rich.cells import set_cell_size
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from otel_feedback import OutcomeEvent, OutcomeStatus
from otel_feedback.cli.console import Mark, count, dollars, duration, marks, write

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Feed", "LiveFeed", "PlainFeed", "SilentFeed", "tally"]

WIDE = 104
"""Columns from which there is room to say why an action ended as it did."""
NARROW = 78
"""Columns below which the table has fewer and smaller ones."""
AROUND_TABLE = 6
"""Lines of the live view that are not outcomes: title, head, tally, the blank ones, and the cursor's own."""


class Feed(Protocol):
    """Shows outcomes while they arrive."""

    def show(self, events: Sequence[OutcomeEvent], elapsed_s: float) -> None:
        """Show these events, among which are those of the last call, or later revisions of them."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None: ...


class Column(NamedTuple):
    """One column of the table."""

    title: str
    width: int
    right: bool
    cell: Callable[[OutcomeEvent], str]


_COLUMNS = (
    Column("Run", 5, False, lambda event: event.run_id or ""),
    Column("Agent", 12, False, lambda event: event.agent_name or ""),
    Column("Action", 16, False, lambda event: event.action_type),
    Column("Outcome", 11, False, lambda event: event.status.value),
    Column("Took", 7, True, lambda event: duration(event.duration_ms)),
    Column("Tokens", 6, True, lambda event: count(event.own_tokens)),
    Column("Cost", 7, True, lambda event: dollars(event.own_cost)),
)
_OUTCOME = 3


def why(event: OutcomeEvent) -> str:
    """Return in a few words why an action ended as it did."""
    if event.error_message:
        known = event.error_type not in (None, "_OTHER")
        return f"{event.error_type}: {event.error_message}" if known else event.error_message
    if event.status is OutcomeStatus.CANCELLED:
        return "no longer wanted"
    reason = event.metadata.get("status_reason")
    if reason is not None:
        return str(reason)
    return f"quality {event.quality_score:.2f}" if event.quality_score is not None else ""


class _Rows:
    """Outcomes as lines of text, as wide as the console."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.marks = marks(console)
        self._gap = "  " if console.width >= NARROW else " "
        self._columns = _COLUMNS if console.width >= NARROW else _COLUMNS[:-2]

    def head(self) -> Text:
        line = Text("  ", style="bold", no_wrap=True, overflow="ellipsis")
        for column in self._columns:
            line.append(_fitted(column.title, column) + self._gap)
        if self.console.width >= WIDE:
            line.append("Why")
        line.rstrip()
        return line

    def row(self, event: OutcomeEvent) -> Text:
        line = Text("  ", no_wrap=True, overflow="ellipsis")
        mark = self.marks[event.status]
        for index, column in enumerate(self._columns):
            if index == _OUTCOME:
                line.append(_fitted(f"{mark.symbol} {column.cell(event)}", column), mark.style)
            else:
                line.append(_fitted(column.cell(event), column), "dim" if index == 0 else "")
            line.append(self._gap)
        if self.console.width >= WIDE:
            line.append(why(event), "dim" if event.status is OutcomeStatus.SUCCESS else "")
        line.rstrip()
        return line


def _fitted(text: str, column: Column) -> str:
    return text.rjust(column.width) if column.right else set_cell_size(text, column.width)


def tally(events: Sequence[OutcomeEvent], symbols: dict[OutcomeStatus, Mark], elapsed_s: float) -> Text:
    """Return one line that counts the outcomes by status."""
    counts = Counter(event.status for event in events)
    line = Text("  ", no_wrap=True, overflow="ellipsis")
    for status, mark in symbols.items():
        if counts[status]:
            line.append(f"{mark.symbol} {counts[status]} {status.value}", mark.style)
            line.append("   ")
    line.append(f"{elapsed_s:.1f} s", "dim")
    return line


class SilentFeed:
    """Shows nothing."""

    def show(self, events: Sequence[OutcomeEvent], elapsed_s: float) -> None:
        """Nothing: the events are written at the end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Nothing was opened."""


class PlainFeed(SilentFeed):
    """Writes each outcome once, as a line of text."""

    def __init__(self, console: Console, title: Text) -> None:
        self._rows = _Rows(console)
        self._title = title
        self._shown: set[str] = set()  # ids: one that is told once more has another place in the list

    def __enter__(self) -> Self:
        write(self._rows.console, self._title, "", self._rows.head())
        return self

    def show(self, events: Sequence[OutcomeEvent], elapsed_s: float) -> None:
        for event in events:
            if event.event_id not in self._shown:
                self._shown.add(event.event_id)
                write(self._rows.console, self._rows.row(event))
        sys.stdout.flush()


class LiveFeed:
    """Keeps the newest outcomes in view, as many as the terminal is high."""

    def __init__(self, console: Console, title: Text) -> None:
        self._rows = _Rows(console)
        self._title = title
        self._live = Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._live.__exit__(exc_type, exc, tb)

    def show(self, events: Sequence[OutcomeEvent], elapsed_s: float) -> None:
        rows = self._rows
        room = max(3, rows.console.height - AROUND_TABLE)
        lines = [rows.row(event) for event in events[-room:]]
        view = Group(self._title, "", rows.head(), *lines, "", tally(events, rows.marks, elapsed_s))
        self._live.update(view, refresh=True)
