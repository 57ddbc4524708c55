"""What the process costs: CPU time of a thread, resident memory sampled at most once a second.

Reading /proc costs about 10 microseconds, so an action gets the newest sample, not a reading of its own.
Safe on any thread; two threads may both refresh the sample, which is harmless.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["ResidentMemory", "resident_memory"]

SAMPLE_INTERVAL_S = 1.0


def _read_linux() -> float | None:
    pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _read_macos() -> float | None:
    # there is no cheap current value; the peak is the honest upper bound (bytes on macOS)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def _read_nothing() -> float | None:
    return None


def _reader() -> Callable[[], float | None]:
    if sys.platform.startswith("linux"):
        return _read_linux
    if sys.platform == "darwin":
        return _read_macos
    return _read_nothing


class ResidentMemory:
    """The resident set size of this process in megabytes, at most `interval_s` old."""

    __slots__ = ("_interval_ns", "_read", "due_ns", "newest")

    def __init__(self, read: Callable[[], float | None] | None = None, interval_s: float = SAMPLE_INTERVAL_S) -> None:
        self._read = read or _reader()
        self._interval_ns = int(interval_s * 1e9)
        self.due_ns = 0
        """When a new sample is to be taken, by `time.perf_counter_ns()`."""
        self.newest: float | None = None

    def megabytes(self) -> float | None:
        """Return the newest sample; None where the platform offers none."""
        now_ns = time.perf_counter_ns()
        if now_ns >= self.due_ns:
            self.due_ns = now_ns + self._interval_ns
            try:
                self.newest = self._read()
            except OSError:
                self.newest = None
        return self.newest


resident_memory = ResidentMemory()
