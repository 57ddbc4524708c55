"""The time of day by which files grow old, without its jumps: a clock that is set right must not drop what is new.

wall clock     ──────┐ jumps 20 days ahead, as where a machine wakes with a wrong clock and is told the time
                     └───────────────────────────
steady time    ─────────────── goes on ──────────┘ follows when nothing from before the jump can be young any more
"""

from __future__ import annotations

import time

__all__ = ["SteadyTime"]

JUMP_S = 60.0
"""What clocks may differ by; more is a jump, or a machine that slept."""


class SteadyTime:
    """Seconds since 1970, for the ages of files up to `most_age_s`. Used by one thread."""

    def __init__(self, most_age_s: float) -> None:
        self._most_age_s = most_age_s
        self._wall_s = time.time()
        self._since_s = time.monotonic()
        self._jumped_s: float | None = None  # monotonic: when the wall clock was seen to be ahead

    def now(self) -> float:
        """Return the time by which what was written before a jump is as old as it is."""
        wall_s, now_s = time.time(), time.monotonic()
        steady_s = self._wall_s + now_s - self._since_s
        if wall_s > steady_s + JUMP_S:
            if self._jumped_s is None:
                self._jumped_s = now_s
            if now_s - self._jumped_s <= self._most_age_s:
                return steady_s
        self._wall_s, self._since_s, self._jumped_s = wall_s, now_s, None
        return wall_s
