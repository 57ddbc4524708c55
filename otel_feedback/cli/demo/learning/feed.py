"""Each agent's share of the newest decisions, beside how good it really is: bars on a terminal, a line now and then elsewhere.

Input: all decisions so far, again and again. Output: the terminal. Used by one thread.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.text import Text

from otel_feedback.cli.console import can_write, write
from otel_feedback.cli.demo.learning.help_desk import AGENTS, CHANGE_S, LENGTH_S, Agent, Decision
from otel_feedback.cli.demo.learning.shares import NEWEST, change_of, newest
from otel_feedback.cli.demo.showing import Screen, Silent
from otel_feedback.shares import percent

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["LiveShares", "PlainShares"]

APART_S = 5.0
"""Between two lines, in nominal seconds."""
MOST_BAR = 40
AROUND_BAR = 37
"""Columns of a line that are not its bar: the name before it, share and quality behind it."""
NAMED = max(len(agent.name) for agent in AGENTS)


class PlainShares(Silent[Decision]):
    """Writes a line every five nominal seconds, and one when an agent gets worse."""

    def __init__(self, console: Console, title: Text) -> None:
        self._console = console
        self._title = title
        self._due_s = APART_S
        self._is_changed = False

    def __enter__(self) -> Self:
        head = "".join(f"  {agent.name:<13}" for agent in AGENTS)
        note = Text(f"newest {NEWEST} decisions: share, and how good each really is", "dim")
        write(
            self._console, self._title, note, Text(change_of(0.0), "dim"), "", Text(f"   Time{head}".rstrip(), "bold")
        )
        sys.stdout.flush()
        return self

    def show(self, so_far: Sequence[Decision], at_s: float) -> None:
        if at_s >= CHANGE_S and not self._is_changed:
            self._is_changed = True
            write(self._console, Text(change_of(at_s)))
        if at_s >= self._due_s:
            self._due_s = at_s - at_s % APART_S + APART_S
            shares = newest(so_far)
            cells = (f"{percent(shares[a.name], 0):>5} of {a.quality_at(at_s).worth:.2f}" for a in AGENTS)
            write(
                self._console,
                Text(f"{min(at_s, LENGTH_S):5.0f} s" + "".join(f"  {cell:<13}" for cell in cells).rstrip()),
            )
            sys.stdout.flush()


class LiveShares(Screen):
    """Keeps the shares in view as bars."""

    def __init__(self, console: Console, title: Text) -> None:
        super().__init__(console)
        self._console = console
        self._title = title
        self._bar = "█" if can_write(console, "█") else "#"

    def show(self, so_far: Sequence[Decision], at_s: float) -> None:
        width = max(10, min(MOST_BAR, self._console.width - AROUND_BAR))
        shares = newest(so_far)
        title = f"newest {NEWEST} decisions" if width >= 20 else "decisions"
        head = Text(f"  {'Agent':<{NAMED}}  {title:<{width}}  Share  Quality", "bold", no_wrap=True)
        lines = [self._line(agent, shares[agent.name], width, at_s) for agent in AGENTS]
        state = Text(f"  {min(at_s, LENGTH_S):.0f} s of {LENGTH_S:.0f}  {len(so_far):,} decisions", "dim")
        change = Text(f"  {change_of(at_s)}", "yellow" if at_s >= CHANGE_S else "dim")
        self.draw(Group(self._title, "", head, *lines, "", state, change))

    def _line(self, agent: Agent, share: float, width: int, now_s: float) -> Text:
        worth = agent.quality_at(now_s).worth
        is_best = worth == max(each.quality_at(now_s).worth for each in AGENTS)
        note = "  best" if is_best else f"  was {agent.quality.worth:.2f}" if worth != agent.quality.worth else ""
        bar = self._bar * round(width * share)
        line = Text(f"  {agent.name:<{NAMED}}  ", no_wrap=True)
        line.append(f"{bar:<{width}}", "green" if is_best else "dim")
        return line.append(f"  {percent(share, 0):>6}  {worth:.2f}{note}")
