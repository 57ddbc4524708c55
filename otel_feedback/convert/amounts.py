"""What a span and those below it used: tokens, cost and model calls, each of them counted once.

A model call may be recorded by a framework and by the client library below it; an agent's span may repeat what its calls
used; a program may say what an instrumented call used. So what a span says counts only as far as nothing below it said it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

import msgspec

__all__ = ["Amounts", "Intervals"]


class Amounts(msgspec.Struct, array_like=True, gc=False):
    """Sums over some spans. `tokens` and `cost` mean something where `token_parts` and `cost_parts` are not 0."""

    tokens: int = 0
    token_parts: int = 0  # how many spans said any
    cost: float = 0.0
    cost_parts: int = 0
    calls: int = 0  # model calls
    counted_calls: int = 0  # of them, and of embeddings, those whose tokens are known
    # of instrumented spans, and not yet claimed by an action that says what they used
    seen_calls: int = 0
    seen_tokens: int = 0
    seen_cost: float = 0.0

    def add(self, other: Amounts) -> None:
        """Add other sums."""
        self.tokens += other.tokens
        self.token_parts += other.token_parts
        self.cost += other.cost
        self.cost_parts += other.cost_parts
        self.calls += other.calls
        self.counted_calls += other.counted_calls
        self.seen_calls += other.seen_calls
        self.seen_tokens += other.seen_tokens
        self.seen_cost += other.seen_cost

    def take(self, other: Amounts) -> None:
        """Take them away."""
        for name in Amounts.__struct_fields__:
            setattr(self, name, getattr(self, name) - getattr(other, name))

    def add_own(self, tokens: int | None, cost: float | None, calls: int, *, is_call: bool) -> None:
        """Add what an instrumented span used itself."""
        if tokens is not None:
            self.tokens += tokens
            self.token_parts += 1
            self.seen_tokens += tokens
            self.counted_calls += is_call
        if cost is not None:
            self.cost += cost
            self.cost_parts += 1
            self.seen_cost += cost
        self.calls += calls
        self.seen_calls += calls

    def add_used(self, calls: int | None, tokens: int | None, cost: float | None) -> None:
        """Add what actions of our own used that are not in the tree."""
        if tokens is not None:
            self.tokens += tokens
            self.token_parts += 1
        if cost is not None:
            self.cost += cost
            self.cost_parts += 1
        self.calls += calls or 0


MOST_INTERVALS = 512
FEW_INTERVALS = 8
"""So many are added one by one."""


class Intervals:
    """Times at which at least one model call was under way, as disjoint intervals in order; in nanoseconds.

    Exact up to 512 of them; beyond that the shortest gaps are taken for calls, so that memory stays bounded.
    """

    __slots__ = ("_ends", "_starts", "length")

    def __init__(self, start: int = 0, end: int = 0) -> None:
        self._starts = [start] if end > start else []
        self._ends = [end] if end > start else []
        self.length = max(0, end - start)

    def add(self, start: int, end: int) -> None:
        """Add one; those that it touches become one with it."""
        if end <= start:
            return
        starts, ends = self._starts, self._ends
        if not starts or start > ends[-1]:  # the next one
            starts.append(start)
            ends.append(end)
        else:
            first = bisect_left(ends, start)
            beyond = bisect_right(starts, end)
            if first < beyond:
                start, end = min(start, starts[first]), max(end, ends[beyond - 1])
                self.length -= sum(ends[at] - starts[at] for at in range(first, beyond))
            starts[first:beyond], ends[first:beyond] = [start], [end]
        self.length += end - start
        if len(starts) > MOST_INTERVALS:
            self._close_gaps()

    @property
    def count(self) -> int:
        """How many they are."""
        return len(self._starts)

    def all(self) -> Iterator[tuple[int, int]]:
        """Return start and end of each, in order."""
        return zip(self._starts, self._ends, strict=True)

    def add_all(self, other: Intervals) -> None:
        """Add all of the others'."""
        if len(other._starts) == 1:
            self.add(other._starts[0], other._ends[0])
            return
        if len(other._starts) <= FEW_INTERVALS:
            for start, end in zip(other._starts, other._ends, strict=True):
                self.add(start, end)
            return
        starts: list[int] = []
        ends: list[int] = []
        both = [*zip(self._starts, self._ends, strict=True), *zip(other._starts, other._ends, strict=True)]
        both.sort()  # two runs that are in order already
        for start, end in both:
            if starts and start <= ends[-1]:
                ends[-1] = max(ends[-1], end)
            else:
                starts.append(start)
                ends.append(end)
        self._starts, self._ends = starts, ends
        self.length = sum(ends) - sum(starts)
        if len(starts) > MOST_INTERVALS:
            self._close_gaps()

    def _close_gaps(self) -> None:
        starts, ends = self._starts, self._ends
        gaps = sorted(range(1, len(starts)), key=lambda at: starts[at] - ends[at - 1])
        closed = frozenset(gaps[: len(gaps) // 2])
        kept = [at for at in range(len(starts)) if at not in closed]
        self._starts = [starts[at] for at in kept]
        self._ends = [ends[(kept[index + 1] if index + 1 < len(kept) else len(ends)) - 1] for index in range(len(kept))]
        self.length = sum(end - start for start, end in zip(self._starts, self._ends, strict=True))
