"""Where records and notes are written: segments that begin and end, the disk that takes them or does not, and syncs.

`appending.py` has what an agent's thread calls; it writes what nearly all actions are itself, and comes here for the rest. A handler
of a signal, or a finaliser, may interrupt any call made here, on the same thread, and record actions: what belongs together is
changed in lines in which nothing is called. One that raises leaves nothing half done either.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from pathlib import Path

from otel_feedback.events.record import Origin
from otel_feedback.journal.cursor import JournalCursor
from otel_feedback.journal.folder import Folder
from otel_feedback.journal.frames import MAX_KEY, MAX_PAYLOAD, Kind, event_frame, frame
from otel_feedback.journal.held import record_from
from otel_feedback.journal.interface import LOST_RETENTION
from otel_feedback.journal.limits import WRITE_AT_ONCE, DiskLimits
from otel_feedback.journal.quarantine import Quarantine
from otel_feedback.journal.segments import Segment, SegmentWriter
from otel_feedback.journal.state import VERSION, JournalState, encode_state
from otel_feedback.journal.tail import Tail

__all__ = ["MOST_WRITTEN", "WritingJournal"]

TRIES = 3
"""How often a segment is begun while each time something interrupts that and records."""

MOST_WRITTEN = MAX_PAYLOAD - MAX_KEY - 2
"""Bytes of the longest event that is written; there are limits far below."""


class WritingJournal:
    """What is in memory, and how it comes to disk, into a folder of its own, which the first append makes."""

    def __init__(self, root: Path, service_name: str, durability: str, limits: DiskLimits) -> None:
        self.origin = Origin(secrets.token_hex(16), service_name)
        self._root = root
        self._limits = limits
        self._segment_bytes = max(4_096, min(limits.segment_bytes, limits.max_bytes // 8))
        self._syncs_each = durability == "fsync"
        self._quarantine = Quarantine(root, self.origin.producer_id)
        # re-entrant: a signal handler or a finaliser may record an action in the middle of an append, or of a sync. Who has the
        # second one never waits for the first
        self._lock, self._sync_lock = threading.RLock(), threading.RLock()
        self._tail = Tail(self.origin)  # guarded by self._lock for writing
        self._end = 0  # guarded by self._lock for writing
        self._written = 0  # guarded by self._lock for writing: records below are on disk, or lost
        self._synced = 0  # records below are on the platter
        self._rewrites = 0  # times that records below `_written` had to be written once more; guarded by self._lock
        self._open_actions: dict[str, bytes] = {}  # guarded by self._lock
        self._noted: set[str] = set()  # that did not end on disk when that took nothing any more; guarded by self._lock
        self._folder: Folder | None = None  # guarded by self._lock for writing
        self._is_beginning = self._is_interrupted = False  # a segment; guarded by self._lock
        self._writer: SegmentWriter | None = None  # guarded by self._lock for writing
        self._began_at = 0  # where the journal ended when that began; guarded by self._lock
        self._segments: tuple[Segment, ...] = ()  # guarded by self._lock for writing; the newest is written to
        self._sealed: dict[int, int] = {}  # guarded by self._lock: the sizes of all but the one that is written to
        self._sealed_bytes = 0  # guarded by self._lock for writing: their sum
        self._retired: list[SegmentWriter] = []  # to be synced and closed; guarded by self._lock for adding
        self._has_new_names = False  # files that were made since folders were synced; guarded by self._lock
        self._cursors: tuple[JournalCursor, ...] = ()
        self._saved = 0  # times that the cursors were written down
        self._is_announced = False
        self._problem: str | None = None  # why the disk does not take events
        self._is_closed = False  # guarded by self._lock

    def _write_events(self, most: int = WRITE_AT_ONCE) -> None:
        """Write up to `most` records that are in memory only, as far as the disk takes them."""
        beyond = self._written + most
        while self._written < self._end and self._written < beyond:  # an interruption may append, and write, too
            sequence = self._written
            held = self._tail.get(sequence)
            if held is not None and len(held[1]) < MOST_WRITTEN:
                key, payload, flags = held
                if not self._write(event_frame(key, payload, sequence, flags)):
                    return
            if self._written == sequence:
                self._written = sequence + 1
        self._end_full_segment()

    def _end_full_segment(self) -> None:
        # what it began with does not count: else many open actions would begin a segment for each event
        if self._writer is not None and self._writer.size >= self._writer.full_at:
            self._begin_segment()

    def _write(self, data: bytes) -> bool:
        writer = self._writer
        if writer is None:
            if self._problem is None:  # the first append of all
                self._begin_segment()
            writer = self._writer
            if writer is None:
                return False
        try:
            writer.append(data)
        except OSError as exc:
            self._stop_writing(exc)
            return False
        return True

    def _begin_segment(self) -> None:
        """Go on in a new segment, which begins with the state and the open actions. Called with the lock held."""
        if self._is_beginning:
            # by what we have interrupted: what finds no segment stays in memory until this one is there
            self._is_interrupted = True
            return
        self._is_beginning = True
        try:
            for left in reversed(range(TRIES)):
                if self._begin_segment_at(self._written, anyway=not left):
                    break
        finally:
            self._is_beginning = False

    def _begin_segment_at(self, first: int, *, anyway: bool) -> bool:
        """Begin one with what is so now; False where an interruption has recorded something meanwhile, which it would not have.

        Args:
            anyway: Begin it all the same where there is no other, and note in it what is open then.
        """
        old, self._is_interrupted = self._writer, False
        stood = 0 if old is None else old.size
        starts = b"".join([frame(Kind.START, first, noted) for noted in list(self._open_actions.values())])
        # before the state is written down, so that it has the losses; the newest stays, however large
        room = len(starts) + self._segment_bytes - self._sealed.get(first, 0)
        if old is not None and old.segment.first != first:
            room += stood
        while self._sealed_bytes + room > self._limits.max_bytes and len(self._segments) > 1:
            self._drop_segment()
        opening = frame(Kind.HEAD, first, encode_state(self._state())) + starts
        try:
            if self._folder is None:
                if self._is_closed:  # by what has interrupted us
                    return True
                self._folder = Folder.create(self._root, self.origin.producer_id)
            writer = SegmentWriter.prepare(self._folder.path, first, opening)
        except OSError as exc:
            self._stop_writing(exc)
            return True
        writer.full_at = writer.size + self._segment_bytes
        before, unnamed, path = (self._segments, self._noted, self._began_at), writer.unnamed, writer.segment.path
        # one that begins at the same sequence holds no event, and is replaced
        segments = (*(segment for segment in self._segments if segment.first != first), writer.segment)
        noted = set[str]()  # it begins with those that are open
        # until it has its name an interruption writes where the last one ends, so nothing but that is called in these lines
        is_so = self._writer is old and not self._is_interrupted and (old is None or old.size == stood)
        if is_so or (anyway and old is None and self._writer is None):
            self._writer, self._segments, self._noted, self._began_at = writer, segments, noted, self._end
            self._has_new_names = True
            if first in self._sealed:
                self._sealed_bytes -= self._sealed[first]
                del self._sealed[first]
            if old is not None:
                self._retired = [*self._retired, old]
                if old.segment.first != first:
                    self._sealed[old.segment.first] = stood
                    self._sealed_bytes += stood
            try:
                os.rename(unnamed, path)  # noqa: PTH104 - Path's own would be a call before it
            except OSError as exc:
                self._writer = old
                self._segments, self._noted, self._began_at = before
                writer.discard()
                self._stop_writing(exc)
                return True
            if not is_so:
                self._write(b"".join([frame(Kind.START, first, noted) for noted in list(self._open_actions.values())]))
            return True
        writer.discard()
        return self._problem is not None

    def _retire(self, writer: SegmentWriter) -> None:
        """Write no more to a segment. Called with the lock held."""
        if writer not in self._retired:
            self._retired.append(writer)  # syncing it is not for the agent's thread
        if self._writer is writer:
            self._writer = None
        first = writer.segment.first
        self._sealed_bytes += writer.size - self._sealed.get(first, 0)
        self._sealed[first] = writer.size

    def _drop_segment(self) -> None:
        """Remove the oldest segment, with what is still pending in it. Called with the lock held."""
        oldest, following = self._segments[:2]
        for cursor in self._cursors:
            cursor.lose(0, following.first, LOST_RETENTION)
        self._remove_segment(oldest)

    def _remove_segment(self, segment: Segment) -> None:
        size = self._sealed.pop(segment.first, 0)
        self._sealed_bytes -= size
        self._segments = tuple(known for known in self._segments if known is not segment)
        with contextlib.suppress(OSError):
            segment.path.unlink()

    def _stop_writing(self, exc: OSError) -> None:
        """Keep events in memory until `tend()` finds the disk healed. Called with the lock held."""
        self._problem = f"{exc.filename or self._root}: {exc.strerror or exc}"
        writer = self._writer
        if writer is not None:
            self._retire(writer)
            self._noted.update(self._open_actions)
            # and those that have ended since it began, whose events it has not
            for sequence in range(max(self._written, self._began_at), self._end):
                held = self._tail.get(sequence)
                record = None if held is None else record_from(self.origin, sequence, held)
                if record is not None:
                    self._noted.add(record.event_id)

    def _sync(self, end: int, *, closes: bool = False) -> None:
        """Make everything below `end` survive a loss of power; one sync serves all who wait for it.

        Args:
            closes: Also close segments that have ended. An append never does: it may have interrupted another one.
        """
        failed: OSError | None = None
        with self._sync_lock:
            if self._synced >= end and not (closes and self._retired):
                return
            # as it is at one moment: nothing is called in these lines. The journal's lock is not waited for here: who has it may
            # have interrupted its own append, and wait for this one
            retired, writer, written, rewrites = [*self._retired], self._writer, self._written, self._rewrites
            new_in, self._has_new_names = self._folder if self._has_new_names else None, False
            try:
                for ended in retired:
                    ended.finish()
                if writer is not None:
                    writer.sync()
                if new_in is not None:
                    new_in.sync_names()
                if self._rewrites == rewrites and self._synced < written:
                    self._synced = written
            except OSError as exc:
                failed = exc
            finally:
                if closes:
                    for ended in retired:
                        if ended in self._retired:
                            self._retired.remove(ended)
                        ended.close()
        if failed is not None:
            with self._lock:
                self._stop_writing(failed)

    def _state(self) -> JournalState:
        cursors = [cursor.state() for cursor in self._cursors if cursor.durable]
        self._saved += 1
        return JournalState(
            VERSION, self.origin.producer_id, self.origin.service_name, self._end, self._saved, cursors, self._is_announced,
        )  # fmt: skip
