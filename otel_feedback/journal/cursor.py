"""One destination's place in a journal, the same for every form of journal.

Threads: leased and settled by one worker; the journal counts losses from any thread. One lock, held for the settling
of what was acknowledged together. Who has the journal's lock never waits for this one: a signal handler or a finaliser may
interrupt whoever has it, record an action, and wait for the journal's.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Sequence
from typing import Protocol

import msgspec

from otel_feedback.events.record import Record
from otel_feedback.journal.interface import Account, Loss
from otel_feedback.journal.sequences import SequenceSet

__all__ = ["CursorState", "JournalCursor", "Reader", "Source"]

MAX_LOSSES = 1_000
"""Losses that wait to be told; beyond it neighbours are told as one."""


class CursorState(msgspec.Struct, frozen=True):
    """A cursor as it is written down. `ahead` are the runs `[first, end)` settled above `low`.

    `address` is where the destination was looked for, of one that has another name than its address.
    """

    exporter: str
    destination: str
    start: int
    low: int
    ahead: list[tuple[int, int]]
    delivered: int
    lost: dict[str, int]
    address: str = ""


class Reader(Protocol):
    """Reads records of a journal in order; keeps its place. Used by one thread."""

    def read(self, start: int, most: int, packed: bool, most_bytes: int) -> tuple[list[Record], int, str]:
        """Return up to `most` records from `start` on, where to go on, and why those between are missing.

        The one that makes them `most_bytes` or more, as the journal has them, is the last.
        """
        ...


class Source(Protocol):
    """What a cursor needs of its journal."""

    @property
    def end(self) -> int:
        """The sequence that the next record will get."""
        ...

    def reader(self) -> Reader:
        """Make a reader."""
        ...

    def forget_settled(self) -> None:
        """Forget the records that every cursor has settled."""
        ...


class JournalCursor:
    """A low mark, what is settled above it, and the account."""

    def __init__(self, source: Source, state: CursorState, *, durable: bool = True) -> None:
        self.exporter = state.exporter
        self.destination = state.destination
        self.address = state.address
        self.durable = durable
        self._source = source
        self._reader = source.reader()
        self._lock = threading.RLock()
        self._start = state.start
        self._low = state.low  # guarded by self._lock for writing
        self._next = state.low  # guarded by self._lock
        self._ahead = SequenceSet(state.ahead)  # guarded by self._lock
        self._low = self._ahead.pop_from(self._low)
        self._delivered = state.delivered  # guarded by self._lock
        self._lost = dict(state.lost)  # guarded by self._lock
        self._untold: list[Loss] = []  # guarded by self._lock
        self._gone: deque[tuple[int, int, str]] = deque()  # what the journal forgot, and is not counted yet
        self._seen = state  # as it was written down last

    @property
    def low(self) -> int:
        return self._low

    @property
    def settled(self) -> int:
        """How many records are accounted for; tells whether anything has changed."""
        return self._delivered + sum(self._lost.values())

    def rename(self, destination: str, address: str) -> None:
        with self._lock:
            self.destination, self.address = destination, address

    def available(self) -> int:
        return self._source.end - max(self._next, self._low)

    def lease(self, most: int, *, packed: bool = False, most_bytes: int = sys.maxsize) -> Sequence[Record]:
        leased: list[Record] = []
        while len(leased) < most and self.available() > 0:
            # more than once where some of what was read is settled, or missing, or the rest is elsewhere: that is seldom
            left = most_bytes - sum(len(record.payload) for record in leased)
            if left <= 0:
                break
            before = self._next
            leased += self._lease_next(most - len(leased), packed, left)
            if self._next == before:
                break
        return leased

    def _lease_next(self, most: int, packed: bool, most_bytes: int) -> list[Record]:
        with self._lock:
            self._catch_up()
            start = self._next = self._ahead.first_missing(max(self._next, self._low))
        records, after, reason = self._reader.read(start, most, packed, most_bytes)
        leased: list[Record] = []
        with self._lock:
            self._catch_up()
            if len(records) == after - start and start >= self._low and not self._ahead:  # none is missing or settled
                self._next = after
                return records
            expected = start
            for record in records:
                if record.sequence > expected:
                    self._lose(expected, record.sequence, reason)
                expected = record.sequence + 1
                if record.sequence >= self._low and record.sequence not in self._ahead:
                    leased.append(record)
            if after > expected:
                self._lose(expected, after, reason)
            self._next = max(after, self._low)
        return leased

    def settle(self, sequence: int, lost: str | None = None) -> bool:
        with self._lock:
            self._catch_up()
            if sequence < self._low or (self._ahead and sequence in self._ahead):
                return False
            if lost is None:
                self._delivered += 1
            else:
                self._count_lost(lost, sequence, sequence + 1, 1)
            if sequence == self._low:
                self._low += 1
                if self._ahead:
                    self._low = self._ahead.pop_from(self._low)
            else:
                self._ahead.add(sequence, sequence + 1)
        return True

    def deliver(self, sequences: Sequence[int]) -> None:
        ordered = sorted(sequences)
        first = end = ordered[0] if ordered else 0
        with self._lock:
            self._catch_up()
            for sequence in ordered:
                if sequence != end:
                    self._deliver(first, end)
                    first = sequence
                end = sequence + 1
            self._deliver(first, end)

    def _deliver(self, first: int, end: int) -> None:
        first = max(first, self._low)
        if first >= end:
            return
        self._delivered += end - first - (self._ahead.count(first, end) if self._ahead else 0)
        if first == self._low:
            self._low = self._ahead.pop_from(end) if self._ahead else end
        else:
            self._ahead.add(first, end)

    def lose(self, first: int, end: int, reason: str) -> None:
        """Count what is pending of `[first, end)` as lost. Called by the journal, which forgets those records."""
        self._gone.append((first, end, reason))
        if self._lock.acquire(blocking=False):  # else it is counted before anybody looks, or settles another
            try:
                self._catch_up()
            finally:
                self._lock.release()

    def _catch_up(self) -> None:
        while self._gone:
            self._lose(*self._gone.popleft())

    def _lose(self, first: int, end: int, reason: str) -> None:
        first = max(first, self._low)
        if first >= end:
            return
        count = end - first - self._ahead.count(first, end)
        if count:
            self._count_lost(reason, first, end, count)
        self._ahead.add(first, end)
        self._low = self._ahead.pop_from(self._low)

    def _count_lost(self, reason: str, first: int, end: int, count: int) -> None:
        self._lost[reason] = self._lost.get(reason, 0) + count
        untold = self._untold
        if untold:
            last = untold[-1]
            if last.reason == reason and (last.last + 1 == first or len(untold) >= MAX_LOSSES):
                untold[-1] = Loss(reason, min(last.first, first), max(last.last, end - 1), last.records + count)
                return
        untold.append(Loss(reason, first, end - 1, count))

    def rewind(self) -> None:
        with self._lock:
            self._next = self._low

    def release(self) -> None:
        self._source.forget_settled()

    def give_up(self, reason: str, first: int = 0) -> int:
        with self._lock:
            self._catch_up()
            first, end = max(first, self._low), self._source.end
            count = max(0, end - first) - self._ahead.count(first, end)
            self._lose(first, end, reason)
            self._next = max(self._next, self._low)
        self._source.forget_settled()
        return count

    def account(self) -> Account:
        with self._lock:
            self._catch_up()
            end = self._source.end
            pending = end - self._low - self._ahead.count(self._low, end)
            return Account(end - self._start, self._delivered, pending, dict(self._lost))

    def losses(self) -> Sequence[Loss]:
        with self._lock:
            self._catch_up()
            untold, self._untold = self._untold, []
        return untold

    def state(self) -> CursorState:
        """Return the cursor as it is to be written down; where somebody is at it, as it was the last time."""
        if self._lock.acquire(blocking=False):
            try:
                self._catch_up()
                self._seen = CursorState(
                    self.exporter, self.destination, self._start, self._low, self._ahead.runs, self._delivered,
                    dict(self._lost), self.address,
                )  # fmt: skip
            finally:
                self._lock.release()
        return self._seen
