"""The journal in memory: the form that needs no disk and dies with the process.

Input: encoded events from any thread. Output: leases to the workers, through cursors. Guarantee: a record stays
until every cursor has settled it or the size cap removes the oldest, which each cursor counts as
`lost[retention]`. Two locks: the journal's own, held for an append or a release; each cursor's own, held for the
settling of a record. Order when both are needed: journal, then cursor.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence

from otel_feedback.events.model import OutcomeEvent
from otel_feedback.events.record import Origin, Record
from otel_feedback.journal.interface import Account

__all__ = ["MemoryCursor", "MemoryJournal"]

LOST_RETENTION = "retention"


class MemoryJournal:
    """An append-only log in memory, of at most `max_bytes` of payload."""

    def __init__(self, max_bytes: int, service_name: str = "unknown_service") -> None:
        self.origin = Origin(secrets.token_hex(16), service_name)
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._records: dict[int, Record] = {}  # guarded by self._lock for writing; a read of one key is atomic
        self._first = 0  # guarded by self._lock: the oldest record that is kept
        self._end = 0  # guarded by self._lock for writing
        self._bytes = 0  # guarded by self._lock
        self._cursors: tuple[MemoryCursor, ...] = ()

    @property
    def end(self) -> int:
        return self._end

    def append(self, key: str, payload: bytes, event: OutcomeEvent, sampled: bool) -> int:
        with self._lock:
            sequence = self._end
            if self._cursors:
                self._records[sequence] = Record.of(event, self.origin, sequence, key, payload, sampled=sampled)
                self._bytes += len(payload)
            else:
                self._first = sequence + 1  # nobody will ever read it
            self._end = sequence + 1
            if self._bytes > self._max_bytes:
                self._drop_oldest()
        return sequence

    def cursor(self, exporter: str, destination: str) -> MemoryCursor:
        with self._lock:
            cursor = MemoryCursor(self, self._end)
            self._cursors = (*self._cursors, cursor)
        return cursor

    def get(self, sequence: int) -> Record | None:
        """Return a record, or None when retention took it."""
        return self._records.get(sequence)

    def forget_settled(self) -> None:
        """Forget the records that every cursor has settled."""
        with self._lock:
            lowest = min(cursor.low for cursor in self._cursors)
            for sequence in range(self._first, lowest):
                record = self._records.pop(sequence, None)
                if record is not None:
                    self._bytes -= len(record.payload)
            self._first = max(self._first, lowest)

    def _drop_oldest(self) -> None:
        """Make room. The newest record always stays, however large. Called with the lock held."""
        while self._bytes > self._max_bytes and self._first < self._end - 1:
            record = self._records.pop(self._first, None)
            if record is not None:
                self._bytes -= len(record.payload)
            self._first += 1
        for cursor in self._cursors:
            cursor.skip_to(self._first)


class MemoryCursor:
    """One destination's place in a `MemoryJournal`."""

    def __init__(self, journal: MemoryJournal, start: int) -> None:
        self._journal = journal
        self._start = start
        self._lock = threading.Lock()
        self._low = start  # guarded by self._lock for writing
        self._next = start  # guarded by self._lock
        self._ahead: set[int] = set()  # settled above low; guarded by self._lock
        self._delivered = 0  # guarded by self._lock
        self._lost: dict[str, int] = {}  # guarded by self._lock

    @property
    def low(self) -> int:
        return self._low

    def available(self) -> int:
        return self._journal.end - self._next

    def lease(self, most: int) -> Sequence[Record]:
        leased: list[Record] = []
        with self._lock:
            sequence = max(self._next, self._low)
            end = self._journal.end
            while sequence < end and len(leased) < most:
                if sequence not in self._ahead:
                    record = self._journal.get(sequence)
                    # retention may be about to skip it, in which case it is accounted for there
                    if record is not None:
                        leased.append(record)
                sequence += 1
            self._next = sequence
        return leased

    def settle(self, sequence: int, lost: str | None = None) -> bool:
        with self._lock:
            if sequence < self._low or sequence in self._ahead:
                return False
            if lost is None:
                self._delivered += 1
            else:
                self._lost[lost] = self._lost.get(lost, 0) + 1
            moved = sequence == self._low
            if moved:
                self._low += 1
                self._catch_up()
            else:
                self._ahead.add(sequence)
        return True

    def _catch_up(self) -> None:
        ahead = self._ahead
        while self._low in ahead:
            ahead.remove(self._low)
            self._low += 1

    def rewind(self) -> None:
        with self._lock:
            self._next = self._low

    def release(self) -> None:
        self._journal.forget_settled()

    def skip_to(self, first: int) -> None:
        """Count what retention took before `first` as lost. Called by the journal, with its lock held."""
        with self._lock:
            for sequence in range(self._low, first):
                if sequence in self._ahead:
                    self._ahead.remove(sequence)
                else:
                    self._lost[LOST_RETENTION] = self._lost.get(LOST_RETENTION, 0) + 1
            if first > self._low:
                self._low = first
                self._catch_up()
                self._next = max(self._next, self._low)

    def give_up(self, reason: str) -> int:
        with self._lock:
            end = self._journal.end
            count = end - self._low - len(self._ahead)
            if count:
                self._lost[reason] = self._lost.get(reason, 0) + count
            self._ahead.clear()
            self._low = self._next = end
        self._journal.forget_settled()
        return count

    def account(self) -> Account:
        with self._lock:
            end = self._journal.end
            pending = end - self._low - len(self._ahead)
            return Account(end - self._start, self._delivered, pending, dict(self._lost))
