"""How slow this machine is now, and limits that grow with that: a hang is found, a busy machine is none."""

from __future__ import annotations

import os
import time

__all__ = ["Patience", "slowness"]

_REFERENCE_S = 0.0075
"""What `_work()` takes on the machine that the limits were made on, while it has nothing else to do."""

_NEW_FOR_S = 5.0


class _Measured:
    at_s = -_NEW_FOR_S
    factor = 1.0


def slowness() -> float:
    """Return how many times as long things take as on a free machine of the usual speed; at least 1."""
    now_s = time.monotonic()
    if now_s - _Measured.at_s >= _NEW_FOR_S:
        # the quickest of some: one that somebody else came between says nothing of the machine, but its load does
        speed = min(_work() for _ in range(3)) / _REFERENCE_S
        _Measured.factor = max(1.0, speed) * max(1.0, os.getloadavg()[0] / _cores())
        _Measured.at_s = now_s
    return _Measured.factor


def _work() -> float:
    began_s = time.perf_counter()
    sum(number * number for number in range(100_000))
    return time.perf_counter() - began_s


def _cores() -> int:
    # those that this process may use; macOS has no such thing
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Patience:
    """Seconds of a free machine that something may take; on a busy one they pass slower.

    Args:
        limit_s: How many.
    """

    def __init__(self, limit_s: float) -> None:
        self._left_s = limit_s
        self._seen_s = time.monotonic()

    @property
    def is_over(self) -> bool:
        """Whether they have passed. To be asked now and then: each answer counts the time since the one before."""
        now_s = time.monotonic()
        elapsed_s, self._seen_s = now_s - self._seen_s, now_s
        self._left_s -= elapsed_s / slowness()
        return self._left_s <= 0

    @property
    def left_s(self) -> float:
        """How long it is, at the least, until they have passed, in seconds; never 0."""
        return max(0.1, self._left_s)
