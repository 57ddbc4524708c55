"""Tell a person on stderr what takes so long.

pytest captures stderr, so its plugin (`fixtures`) hands over a stream that leads past the capture.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TextIO

_REMINDER_S = 15.0

_stream: TextIO | None = None


def write_to(stream: TextIO | None) -> TextIO | None:
    """Send progress lines to `stream`, or to stderr for None, and return what it was before."""
    global _stream
    before, _stream = _stream, stream
    return before


def say(line: str) -> None:
    """Write one line."""
    stream = _stream or sys.stderr
    stream.write(f"[tests.stack] {line}\n")
    stream.flush()


@contextmanager
def step(what: str) -> Generator[None, None, None]:
    """Say that `what` has begun, that it is still going on, and how long it took."""
    started_s = time.monotonic()
    is_over = threading.Event()

    def remind() -> None:
        while not is_over.wait(_REMINDER_S):
            say(f"{what}: {time.monotonic() - started_s:.0f} s so far")

    say(f"{what} ...")
    threading.Thread(target=remind, name="tests-stack-progress", daemon=True).start()
    outcome = "failed"
    try:
        yield
        outcome = "done"
    finally:
        is_over.set()
        say(f"{what}: {outcome} after {time.monotonic() - started_s:.0f} s")
