"""`.env` in the current directory, for the command line only: argument > environment > `.env` > default.

Input: a file in the usual notation (quotes, comments, `export`). Output: variables put into the environment where it
has none of that name, since the OpenTelemetry SDK reads its own from there. Only variables that this project or
OpenTelemetry reads: a directory that one happens to stand in must not set anything else.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path
from typing import NamedTuple

from otel_feedback.settings.store import ALL_SETTINGS

__all__ = ["EnvFile", "load"]

_OURS = frozenset(setting.variable for setting in ALL_SETTINGS)


class EnvFile(NamedTuple):
    """What was read: names of variables that now have their value from the file, and what could not be used."""

    path: Path
    used: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def load(path: Path = Path(".env"), environ: MutableMapping[str, str] | None = None) -> EnvFile:
    """Put the file's variables into `environ` (default: the process's own). No file is no problem."""
    environment = os.environ if environ is None else environ
    if not path.is_file():
        return EnvFile(path)
    from dotenv.parser import parse_stream

    used: list[str] = []
    problems: list[str] = []
    try:
        with path.open(encoding="utf-8-sig") as stream:
            bindings = list(parse_stream(stream))
    except (OSError, UnicodeDecodeError) as exc:
        return EnvFile(path, problems=(f"{path} cannot be read: {exc}",))
    # as in a shell, the last of several lines for one variable stands
    for name, value in {binding.key: binding.value for binding in bindings if binding.key}.items():
        if value is not None and (name in _OURS or name.startswith("OTEL_")) and name not in environment:
            environment[name] = value
            used.append(name)
    # the line's number and never its text, which may be half of a password
    problems += [f"{path} line {b.original.line} is not NAME=value" for b in bindings if b.error]
    return EnvFile(path, tuple(used), tuple(problems))
