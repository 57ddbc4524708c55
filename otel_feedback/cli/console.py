"""What the commands write with: a rich console, plain where nobody wants control codes, and short forms of values.

Plain means: stdout is no terminal, `NO_COLOR` is set, or the terminal is a dumb one.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Any, NamedTuple

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.segment import Segment
from rich.text import Text

from otel_feedback import OutcomeStatus
from otel_feedback.logger import duration_of, number_of

__all__ = [
    "UNKNOWN",
    "Mark",
    "PlainConsole",
    "count",
    "dollars",
    "duration",
    "failed",
    "marks",
    "moment",
    "number_of",
    "open_console",
    "progress_console",
    "remark",
    "size",
    "write",
    "write_whole",
]

UNKNOWN = "-"
"""Stands for what is not there, also where a filter asks for it."""


class Mark(NamedTuple):
    """How something that has a state is shown."""

    symbol: str
    style: str


_STATUS_MARKS = {
    OutcomeStatus.SUCCESS: ("✓", "+", "green"),
    OutcomeStatus.PARTIAL: ("◐", "~", "yellow"),
    OutcomeStatus.FAILURE: ("✗", "x", "bold red"),
    OutcomeStatus.TIMEOUT: ("◷", "!", "magenta"),
    OutcomeStatus.CANCELLED: ("⊘", "o", "cyan"),
    OutcomeStatus.PENDING: ("…", ".", "dim"),
}


_OBEYED = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069]")
"""What a terminal would obey rather than show: control characters, and those that turn the direction of what follows."""


class PlainConsole(Console):
    """A console that does not emphasize of itself, and on which texts of others are no more than texts."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, emoji=False, markup=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Give what there is to be written, without what a terminal would obey, but for what this console says itself."""
        for segment in super().render(renderable, options):
            if segment.control is None and _OBEYED.search(segment.text):
                yield Segment(_OBEYED.sub("", segment.text), segment.style)
            else:
                yield segment

    def on_broken_pipe(self) -> None:
        """Leave it to `main()` that a reader has seen enough, as `print()` does: Rich would call that a failure."""
        raise BrokenPipeError


def open_console() -> Console:
    """Return a console on stdout; `is_terminal` says whether it may move the cursor and use colours."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal of another encoding shows ?, and nothing breaks
    rich_terminal = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return PlainConsole(force_terminal=rich_terminal, no_color=not rich_terminal)


def progress_console() -> Console | None:
    """Return a console on stderr to show progress on; None where nobody would see it move."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        return None
    return PlainConsole(stderr=True, no_color=bool(os.environ.get("NO_COLOR")))


CORRECT_IT = "correct it in the environment, in .env or among the arguments"
"""What to do about a setting that some commands take as an argument, too."""


def failed(found: str, todo: str) -> None:
    """Say on stderr why a command cannot do its work, and what to do."""
    console = PlainConsole(stderr=True)
    console.print(Text("error: ", "bold red").append(found, "none"), soft_wrap=True)
    console.print(Text(f"  -> {todo}"), soft_wrap=True)


def remark(text: str) -> None:
    """Say something on stderr that is no error."""
    console = PlainConsole(stderr=True)
    console.print(Text(text, "yellow"), soft_wrap=True)


def can_write(console: Console, text: str) -> bool:
    """Tell whether the console's encoding has these characters."""
    try:
        text.encode(console.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def write(console: Console, *parts: RenderableType) -> None:
    """Write the parts one below the other, without the blanks that fill tables up to their width."""
    with console.capture() as captured:
        console.print(Group(*parts))  # print() alone joins texts and forgets which may not be wrapped
    sys.stdout.write("\n".join(line.rstrip(" ") for line in captured.get().split("\n")))


def write_whole(console: Console, line: Text) -> None:
    """Write a line that is to be copied, such as a link or a command: whole, however narrow the terminal is."""
    with console.capture() as captured:
        console.print(line, soft_wrap=True)
    sys.stdout.write(captured.get())


def marks(console: Console) -> dict[OutcomeStatus, Mark]:
    """Return the mark of each status, in ASCII where the encoding has no others."""
    symbols = can_write(console, "".join(symbol for symbol, _, _ in _STATUS_MARKS.values()))
    return {
        status: Mark(symbol if symbols else ascii_symbol, style)
        for status, (symbol, ascii_symbol, style) in _STATUS_MARKS.items()
    }


def duration(milliseconds: float | None) -> str:
    """Return a duration with a unit that fits."""
    return UNKNOWN if milliseconds is None else duration_of(milliseconds)


def dollars(cost: float | None) -> str:
    """Return US dollars, with as many digits as one call to a model needs."""
    if not cost:
        return UNKNOWN
    return f"${cost:.4f}" if abs(cost) < 100 else f"${cost:,.2f}"


def count(number: int | None) -> str:
    """Return a whole number with its thousands apart; nothing and none look the same."""
    return f"{number:,}" if number else UNKNOWN


def size(number: int) -> str:
    """Return bytes with a unit that fits: `812 B`, `8.0 MiB`."""
    if number < 1_024:
        return f"{number} B"
    value = float(number)
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1_024
        if value < 999.5:
            return f"{value:.1f} {unit}"
    return f"{value:,.0f} GiB"


def moment(when: datetime) -> str:
    """Return a moment in UTC, to the second."""
    return when.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ")
