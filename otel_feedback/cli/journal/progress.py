"""How far a delivery is, on stderr: a bar where a terminal shows it, else a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TaskID, TextColumn

from otel_feedback.cli.console import progress_console

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["DeliveryProgress"]

TOLD_S = 10.0
"""How often it is told where no bar shows it, in seconds."""
REPEATED_S = 60.0
"""How often an error is told, in seconds."""


class DeliveryProgress:
    """Shows events delivered and pending, and what holds them up; a context manager."""

    def __init__(self) -> None:
        console = progress_console()
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        if console is not None:
            columns = BarColumn(), TextColumn("{task.completed:,.0f} delivered, {task.fields[pending]:,} pending")
            self._progress = Progress(*columns, console=console, transient=True)
        self._due = time.monotonic() + TOLD_S
        self._told_errors: dict[str, float] = {}  # when each exporter's error may be told again

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def say(self, delivered: int, pending: int, errors: Mapping[str, str]) -> None:
        """Show that so many events are delivered, so many pending, and the last error of each exporter."""
        now = time.monotonic()
        for name, error in errors.items():
            if now >= self._told_errors.get(name, 0.0):
                self._told_errors[name] = now + REPEATED_S
                self._line(f"{name}: {error}")
        if self._progress is None:
            if now >= self._due:
                self._due = now + TOLD_S
                self._line(f"{delivered:,} delivered, {pending:,} pending")
        elif self._task is None:
            self._task = self._progress.add_task("", total=delivered + pending, completed=delivered, pending=pending)
        else:
            self._progress.update(self._task, total=delivered + pending, completed=delivered, pending=pending)

    def _line(self, text: str) -> None:
        if self._progress is None:
            print(text, file=sys.stderr, flush=True)
        else:
            self._progress.console.print(text)
