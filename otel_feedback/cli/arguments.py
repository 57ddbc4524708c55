"""What the commands' arguments are made of: a parser that names the nearest, and the types that several of them have."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Iterable
from datetime import datetime
from difflib import get_close_matches
from typing import Any, NoReturn

__all__ = ["Parser", "add_bootstrap_servers", "add_json", "moment", "positive", "seconds", "timeout"]

WIDTH = 78
_NO_CHOICE = re.compile(r"argument ([^:]+): invalid choice: '(.*?)' ")
_UNKNOWN = "unrecognized arguments: "


class Parser(argparse.ArgumentParser):
    """Says what would be right: the nearest command, choice or option. Its help has examples as they are written."""

    def __init__(self, description: str = "", **options: Any) -> None:
        super().__init__(
            description=textwrap.fill(description, WIDTH),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **options,
        )

    def error(self, message: str) -> NoReturn:
        """Write the usage and what is wrong to stderr, and exit with 2."""
        wrong = _NO_CHOICE.match(message)
        if wrong is not None:
            names = self._choices(wrong[1])
            message = f"{wrong[1]}: invalid choice: '{wrong[2]}'{_near(wrong[2], names)}"
            message += f" (choose from {', '.join(names)})"
        super().error(message)

    def refuse(self, unknown: list[str]) -> NoReturn:
        """Say that there are no such arguments, to this command, and exit with 2."""
        words = [word.partition("=")[0] for word in unknown if word.startswith("-")]
        near = _near(words[0], self.options()) if words else ""
        self.error(f"{_UNKNOWN}{' '.join(unknown)}{near}")

    def options(self) -> list[str]:
        """Return the options that this command has."""
        return [option for action in self._actions for option in action.option_strings]

    def commands(self) -> dict[str, Parser]:
        """Return the parsers of the commands below this one, by name."""
        found: dict[str, Parser] = {}
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):  # pyright: ignore[reportPrivateUsage]
                found.update(action.choices)
        return found

    def _choices(self, metavar: str) -> list[str]:
        return [
            str(choice)
            for action in self._actions
            if metavar in (action.metavar, "/".join(action.option_strings)) and action.choices is not None
            for choice in action.choices
        ]


def _near(word: str, names: Iterable[str]) -> str:
    near = get_close_matches(word, list(names), 1, 0.65)
    return f"; did you mean {near[0]}?" if near else ""


def add_bootstrap_servers(parser: Any) -> None:
    """Add `--bootstrap-servers`."""
    parser.add_argument("--bootstrap-servers", metavar="HOST:PORT", help="brokers, in place of KAFKA_BOOTSTRAP_SERVERS")


def add_json(parser: Any, what: str = "write one JSON object") -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help=what)


def seconds(text: str) -> float:
    """Read how long something is to take: 0.2 to 3600 seconds."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0.2 <= number <= 3_600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0.2 to 3600")
    return number


def timeout(text: str) -> float:
    """Read a limit in seconds."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= 10**9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return number


def moment(text: str) -> datetime:
    """Read how long ago, or a time."""
    from otel_feedback.downstream.tables.since import moment_of

    try:
        return moment_of(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None


def positive(text: str) -> int:
    """Read a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)
