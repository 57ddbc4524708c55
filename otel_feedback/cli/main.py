"""`otel-feedback`: runs the command that the arguments mean. Exit codes: 0, 1 (it failed), 2 (usage), 130 (Ctrl-C)."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

__all__ = ["main"]

INTERRUPTED = 130
PIPE_CLOSED = 141
OF_EXTRAS = {"duckdb": "DuckDB", "starlette": "Starlette", "anyio": "anyio", "uvicorn": "uvicorn", "tomli": "tomli"}
"""What only some commands need, by module."""
EXTRAS = {"ui": "ui", "demo": "ui", "alerts": "alerts", "stream": "flink"}
"""By command what brings it, where that is not `downstream`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: What follows the program's name; default: those of the process.
    """
    try:
        return _run(arguments)
    except KeyboardInterrupt:  # also where the command was not even known yet
        return INTERRUPTED


def _run(arguments: Sequence[str] | None) -> int:
    from otel_feedback.cli.parser import make_parser

    parser = make_parser()
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        options.parser.refuse(unknown)
    if options.command is None:
        parser.print_help()
        return 0
    if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison]  # closed by who started us
        return _cannot_write("it is closed")
    try:
        code = options.run(options)
        sys.stdout.flush()
    except ModuleNotFoundError as exc:
        if exc.name not in OF_EXTRAS:
            raise
        from otel_feedback.cli.console import failed

        extra = EXTRAS.get(options.command, "downstream")
        failed(f"{OF_EXTRAS[exc.name]} is not installed", f"pip install 'otel-feedback[{extra}]'")
        return 1
    except BrokenPipeError:
        _write_no_more()  # the reader, for example `head`, has seen enough
        return PIPE_CLOSED
    except OSError as exc:
        if exc.filename is not None:  # not a stream's
            raise
        _write_no_more()
        return _cannot_write(exc.strerror or str(exc))
    return code


def _cannot_write(why: str) -> int:
    with contextlib.suppress(OSError, AttributeError):  # nor on stderr
        sys.stderr.write(f"error: nothing can be written to standard output: {why}\n")
    return 1


def _write_no_more() -> None:
    """Keep the interpreter's own flush at the end from complaining again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
