"""Each agent's share of the newest decisions, beside how good it really is: bars on a terminal, a line now and then elsewhere.

Input: all decisions so far, again and again. Output: the terminal. Used by one thread.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from otel_feedback.cli.console import can_write, write
from otel_feedback.cli.demo.learning.help_desk import AGENTS, CHANGE_S, LENGTH_S, Agent, Decision
from otel_feedback.cli.demo.learning.shares import NEWEST, change_of, newest

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["LiveShares", "PlainShares", "SharesFeed", "SilentShares"]

APART_S = 5.0
"""Between two lines, in nominal seconds."""
MOST_BAR = 40
AROUND_BAR = 37
"""Columns of a line that are not its bar: the name before it, share and quality behind it."""
NAMED = max(len(agent.name) for agent in AGENTS)


class SharesFeed(Protocol):
    """Shows shares while they change."""

    def show(self, decisions: Sequence[Decision], now_s: float) -> None:
        """Show what it is like at this nominal second."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None: ...


class SilentShares:
    """Shows nothing."""

    def show(self, decisions: Sequence[Decision], now_s: float) -> None:
        """Nothing: numbers are written at the end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Nothing was opened."""


class PlainShares(SilentShares):
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

    def show(self, decisions: Sequence[Decision], now_s: float) -> None:
        if now_s >= CHANGE_S and not self._is_changed:
            self._is_changed = True
            write(self._console, Text(change_of(now_s)))
        if now_s >= self._due_s:
            self._due_s = now_s - now_s % APART_S + APART_S
            shares = newest(decisions)
            cells = (f"{shares[a.name]:4.0%} of {a.quality_at(now_s).worth:.2f}" for a in AGENTS)
            write(
                self._console,
                Text(f"{min(now_s, LENGTH_S):5.0f} s" + "".join(f"  {cell:<13}" for cell in cells).rstrip()),
            )
            sys.stdout.flush()


class LiveShares:
    """Keeps the shares in view as bars."""

    def __init__(self, console: Console, title: Text) -> None:
        self._console = console
        self._title = title
        self._bar = "█" if can_write(console, "█") else "#"
        self._live = Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._live.__exit__(exc_type, exc, tb)

    def show(self, decisions: Sequence[Decision], now_s: float) -> None:
        width = max(10, min(MOST_BAR, self._console.width - AROUND_BAR))
        shares = newest(decisions)
        title = f"newest {NEWEST} decisions" if width >= 20 else "decisions"
        head = Text(f"  {'Agent':<{NAMED}}  {title:<{width}}  Share  Quality", "bold", no_wrap=True)
        lines = [self._line(agent, shares[agent.name], width, now_s) for agent in AGENTS]
        state = Text(f"  {min(now_s, LENGTH_S):.0f} s of {LENGTH_S:.0f}  {len(decisions):,} decisions", "dim")
        change = Text(f"  {change_of(now_s)}", "yellow" if now_s >= CHANGE_S else "dim")
        self._live.update(Group(self._title, "", head, *lines, "", state, change), refresh=True)

    def _line(self, agent: Agent, share: float, width: int, now_s: float) -> Text:
        worth = agent.quality_at(now_s).worth
        is_best = worth == max(each.quality_at(now_s).worth for each in AGENTS)
        note = "  best" if is_best else f"  was {agent.quality.worth:.2f}" if worth != agent.quality.worth else ""
        bar = self._bar * round(width * share)
        line = Text(f"  {agent.name:<{NAMED}}  ", no_wrap=True)
        line.append(f"{bar:<{width}}", "green" if is_best else "dim")
        return line.append(f"  {share:5.0%}  {worth:.2f}{note}")
