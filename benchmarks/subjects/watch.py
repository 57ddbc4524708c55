"""A stop watch for wall time, the CPU time of this thread, and that of the whole process."""

from __future__ import annotations

import time
from types import TracebackType

from typing_extensions import Self

__all__ = ["Watch"]


class Watch:
    """Runs inside `with`; entered again, it adds up. Figures are in nanoseconds."""

    def __init__(self) -> None:
        self.wall_ns = self.thread_ns = self.process_ns = 0

    def __enter__(self) -> Self:
        self.process_ns -= time.process_time_ns()
        self.thread_ns -= time.thread_time_ns()
        self.wall_ns -= time.perf_counter_ns()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.wall_ns += time.perf_counter_ns()
        self.thread_ns += time.thread_time_ns()
        self.process_ns += time.process_time_ns()

    def events_a_second(self, events: int) -> float:
        """Return the rate at which this many were dealt with."""
        return events / self.wall_ns * 1e9

    def cpu_us(self, events: int) -> float:
        """Return the CPU time of the process, in microseconds, for each of this many."""
        return self.process_ns / events / 1e3
