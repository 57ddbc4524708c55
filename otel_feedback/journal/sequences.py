"""A set of sequence numbers, kept as runs: what is settled ahead of a cursor's low mark.

Few runs, however many numbers: a retention gap of a million records is one pair. Not thread-safe.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

__all__ = ["SequenceSet"]


class SequenceSet:
    """Whole numbers as sorted, disjoint, non-adjacent runs `[first, end)`."""

    __slots__ = ("_ends", "_firsts")

    def __init__(self, runs: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._ends: list[int] = []
        for first, end in runs:
            self.add(first, end)

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._firsts, number) - 1
        return at >= 0 and number < self._ends[at]

    def __bool__(self) -> bool:
        return bool(self._firsts)

    @property
    def runs(self) -> list[tuple[int, int]]:
        """The runs, lowest first."""
        return list(zip(self._firsts, self._ends, strict=True))

    def count(self, first: int, end: int) -> int:
        """Return how many numbers of `[first, end)` are in the set."""
        at = max(0, bisect_right(self._firsts, first) - 1)
        found = 0
        while at < len(self._firsts) and self._firsts[at] < end:
            found += max(0, min(end, self._ends[at]) - max(first, self._firsts[at]))
            at += 1
        return found

    def add(self, first: int, end: int) -> None:
        """Put `[first, end)` in, together with whatever of it was there."""
        if first >= end:
            return
        firsts, ends = self._firsts, self._ends
        at = bisect_right(firsts, first)
        if at and ends[at - 1] >= first:  # the run before overlaps or touches
            at -= 1
            first = firsts[at]
        beyond = at
        while beyond < len(firsts) and firsts[beyond] <= end:
            end = max(end, ends[beyond])
            beyond += 1
        firsts[at:beyond] = [first]
        ends[at:beyond] = [end]

    def first_missing(self, low: int) -> int:
        """Return the first number from `low` on that is not in the set."""
        at = bisect_right(self._firsts, low) - 1
        return self._ends[at] if at >= 0 and low < self._ends[at] else low

    def pop_from(self, low: int) -> int:
        """Take out everything below the first number that is missing from `low` on; return that number."""
        firsts, ends = self._firsts, self._ends
        gone = 0
        while gone < len(firsts) and firsts[gone] <= low:
            low = max(low, ends[gone])
            gone += 1
        del firsts[:gone], ends[:gone]
        return low
