"""The outcomes as they arrive: a live table on a terminal, one line each everywhere else.

Input: all events so far, again and again. Output: the terminal. Used by one thread.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.text import Text

from otel_feedback import OutcomeEvent
from otel_feedback.cli.console import count, dollars, duration, write
from otel_feedback.cli.demo.showing import Screen, Silent
from otel_feedback.cli.outcomes import NARROW, Column, Rows, tally

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["LiveFeed", "PlainFeed"]

AROUND_TABLE = 6
"""Lines of the live view that are not outcomes: title, head, tally, the blank ones, and the cursor's own."""


COLUMNS = (
    Column("Run", 5, False, lambda event: event.run_id or ""),
    Column("Agent", 12, False, lambda event: event.agent_name or ""),
    Column("Action", 16, False, lambda event: event.action_type),
    Column("Outcome", 11, False, lambda event: event.status.value),
    Column("Took", 7, True, lambda event: duration(event.duration_ms)),
    Column("Tokens", 6, True, lambda event: count(event.own_tokens), NARROW),
    Column("Cost", 7, True, lambda event: dollars(event.own_cost), NARROW),
)


class PlainFeed(Silent[OutcomeEvent]):
    """Writes each outcome once, as a line of text."""

    def __init__(self, console: Console, title: Text) -> None:
        self._rows = Rows(console, COLUMNS)
        self._title = title
        self._shown: set[str] = set()  # ids: one that is told once more has another place in the list

    def __enter__(self) -> Self:
        write(self._rows.console, self._title, "", self._rows.head())
        return self

    def show(self, so_far: Sequence[OutcomeEvent], at_s: float) -> None:
        for event in so_far:
            if event.event_id not in self._shown:
                self._shown.add(event.event_id)
                write(self._rows.console, self._rows.row(event))
        sys.stdout.flush()


class LiveFeed(Screen):
    """Keeps the newest outcomes in view, as many as the terminal is high."""

    def __init__(self, console: Console, title: Text) -> None:
        super().__init__(console)
        self._rows = Rows(console, COLUMNS)
        self._title = title

    def show(self, so_far: Sequence[OutcomeEvent], at_s: float) -> None:
        rows = self._rows
        room = max(3, rows.console.height - AROUND_TABLE)
        lines = [rows.row(event) for event in so_far[-room:]]
        view = Group(self._title, "", rows.head(), *lines, "", tally(so_far, rows.marks, at_s))
        self.draw(view)
