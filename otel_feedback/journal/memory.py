"""The journal in memory: the form that needs no disk and dies with the process.

Input: encoded events from any thread. Output: leases to the workers, through cursors. Guarantee: a record stays
until every cursor has settled it or the size cap removes the oldest, which each cursor counts as
`lost[retention]`. One lock, held for an append or for forgetting a few records.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence

from otel_feedback.events.record import Origin, Record, Recordable
from otel_feedback.journal.cursor import CursorState, JournalCursor, Reader
from otel_feedback.journal.held import flags_of
from otel_feedback.journal.interface import (
    LOST_DAMAGED,
    LOST_RETENTION,
    Adopted,
    CloseAction,
    Elsewhere,
    JournalHealth,
    Recognize,
    StartedAction,
)
from otel_feedback.journal.tail import Tail

__all__ = ["FORGET_AT_ONCE", "MemoryJournal"]

FORGET_AT_ONCE = 256
"""Records forgotten in one holding of the lock, for which an append may have to wait."""


class MemoryJournal:
    """An append-only log in memory, of at most `max_bytes` of payload."""

    def __init__(self, max_bytes: int, service_name: str = "unknown_service") -> None:
        self.origin = Origin(secrets.token_hex(16), service_name)
        self._max_bytes = max_bytes
        self._lock = threading.RLock()  # re-entrant: a signal handler or a finaliser may record an action, too
        self._tail = Tail(self.origin)  # guarded by self._lock for writing
        self._end = 0  # guarded by self._lock for writing
        self._cursors: tuple[JournalCursor, ...] = ()

    @property
    def end(self) -> int:
        return self._end

    def append(self, key: str, payload: bytes, event: Recordable, sampled: bool) -> int:
        held = key, payload, flags_of(event, sampled)
        tail, size = self._tail, len(payload)
        with self._lock:
            # nothing is called in these lines, so nothing interrupts them: afterwards the record has its place
            sequence = self._end
            if self._cursors:
                tail.records[sequence] = held
            else:
                tail.first = sequence + 1  # nobody will ever read it
            self._end = sequence + 1
            if self._cursors:
                tail.bytes += size
            if tail.bytes > self._max_bytes:
                self._drop_oldest()
        return sequence

    def _drop_oldest(self) -> None:
        """Make room. The newest record always stays, however large. Called with the lock held."""
        tail = self._tail
        while tail.bytes > self._max_bytes and tail.first < self._end - 1:
            tail.drop_first()
        for cursor in self._cursors:
            cursor.lose(0, tail.first, LOST_RETENTION)

    def note_start(self, action: StartedAction) -> bool:
        return True  # a journal in memory dies with its process

    def forget_start(self, *event_ids: str) -> None:
        """Nothing was noted."""

    def cursor(self, exporter: str, destination: str, *, durable: bool, address: str = "") -> JournalCursor:
        with self._lock:
            state = CursorState(exporter, destination, self._end, self._end, [], 0, {}, address)
            cursor = JournalCursor(self, state, durable=durable)
            self._cursors = (*self._cursors, cursor)
        return cursor

    def reader(self) -> Reader:
        return self

    def read(self, start: int, most: int, packed: bool, most_bytes: int) -> tuple[list[Record], int, str]:
        first = self._tail.first
        if start < first:
            return [], first, LOST_RETENTION
        taken, after = self._tail.take(start, most, self._end, packed, most_bytes)
        return taken, after, LOST_DAMAGED

    def forget_settled(self) -> None:
        more = True
        while more:
            with self._lock:
                lowest = min(cursor.low for cursor in self._cursors)
                more = self._tail.forget_below(lowest, FORGET_AT_ONCE)

    def has_orphans(self) -> bool:
        return False

    def adopt(
        self,
        destinations: Sequence[tuple[str, str]],
        close_action: CloseAction,
        recognize: Recognize | None = None,
    ) -> Sequence[Adopted]:
        return ()

    def elsewhere(self) -> Sequence[Elsewhere]:
        return ()

    def tend(self) -> bool:
        return False

    def secure(self) -> int:
        return 0

    def close(self, *, is_announced: bool = False) -> None:
        """Nothing stays."""

    def leave_to_parent(self) -> None:
        """Memory is the child's own."""

    def quarantine(self, record: Record, exporter: str, reason: str, detail: str) -> bool:
        return False

    def health(self) -> JournalHealth:
        return JournalHealth("memory", None, self._tail.bytes, 0, None, 0, 0)
