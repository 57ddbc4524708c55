"""What a process takes of memory, as the kernel counts it. Linux only."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import NamedTuple

from typing_extensions import Self

from benchmarks.children import BenchmarkError

__all__ = ["Memory", "forget_peak"]


class Memory(NamedTuple):
    """Resident memory of this process in megabytes (10^6 bytes): all, the heap's, that of files, and the most so far."""

    rss_mb: float
    anonymous_mb: float
    file_mb: float
    peak_mb: float

    @classmethod
    def now(cls) -> Self:
        """Look.

        Raises:
            BenchmarkError: This platform does not tell.
        """
        try:
            lines = Path("/proc/self/status").read_text().splitlines()
        except OSError as exc:
            raise BenchmarkError(f"resident memory is read from /proc/self/status: {exc}") from exc
        told = dict(line.split(":", 1) for line in lines)
        return cls(*(int(told[name].split()[0]) * 1_024 / 1e6 for name in ("VmRSS", "RssAnon", "RssFile", "VmHWM")))


def forget_peak() -> None:
    """Let the peak begin anew; where the kernel cannot, it stays that of the whole life of the process."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
