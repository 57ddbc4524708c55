"""The logger of this package: a line that cannot be written costs that line and nothing else.

A filter, a handler or a level of the program's own may raise, on any of our threads and in the middle of anything: while
journals are taken over, between an export and its account, on the agent's own thread. Each line is guarded here.
"""

from __future__ import annotations

import logging

__all__ = ["SafeLogger", "duration_of", "get_logger", "number_of"]


class SafeLogger:
    """Says what a `logging.Logger` would, and never raises. Safe from any thread."""

    __slots__ = ("_logger",)

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def debug(self, message: str, *args: object) -> None:
        """Log `message % args` for those who look for defects."""
        self._log(logging.DEBUG, message, args)

    def warning(self, message: str, *args: object) -> None:
        """Log `message % args`, which somebody should see."""
        self._log(logging.WARNING, message, args)

    def error(self, message: str, *args: object) -> None:
        """Log `message % args`, which somebody has to do something about."""
        self._log(logging.ERROR, message, args)

    def exception(self, message: str, *args: object) -> None:
        """Log `message % args` with the exception that is being handled."""
        self._log(logging.ERROR, message, args, exc_info=True)

    def _log(self, level: int, message: str, args: tuple[object, ...], *, exc_info: bool = False) -> None:
        try:
            self._logger.log(level, message, *args, exc_info=exc_info, stacklevel=3)
        except Exception:  # there is nobody left to say it to
            return


def get_logger(name: str) -> SafeLogger:
    """Return the logger of a module; `name` is its `__name__`."""
    return SafeLogger(logging.getLogger(name))


def duration_of(milliseconds: float) -> str:
    """Return a duration with a unit that fits: `312 ms`, `2.41 s`, `17.3 min`, `4.2 h`."""
    if milliseconds < 999.5:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1e3
    if seconds < 600:
        return f"{seconds:.2f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7_200 else f"{seconds / 3_600:,.1f} h"


def number_of(number: int, thing: str) -> str:
    """Return a number with its noun, for a line that people read: `1 event`, `2,000 events`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
