"""Lines for who waits, on stderr: the table alone goes to stdout."""

from __future__ import annotations

import sys

__all__ = ["say"]


def say(line: str) -> None:
    """Write one line."""
    sys.stderr.write(f"[benchmarks] {line}\n")
    sys.stderr.flush()
