"""The agent's side of the journal on disk: append, rotate, and what to do when the disk does not take it.

    append ──► tail in memory ──► segment, by a write that keeps the interpreter lock      on the agent's thread
                    │                 │
                    └── lease ◄───────┘ older records are read back                        on the workers' threads

Input: encoded events from any thread. Output: leases to the workers, through cursors. Guarantee: when `append` returns,
the event is in the page cache, or, where the disk does not take it, in memory and said to be so until the disk heals.
One lock, held for an append, a rotation, or a few records. Nothing is logged with it held: a handler may record actions.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from otel_feedback.events.ended import EndedAction
from otel_feedback.events.record import Origin, Record, Recordable
from otel_feedback.journal.checksum import crc32c
from otel_feedback.journal.cursor import CursorState, JournalCursor, Reader
from otel_feedback.journal.files import write_locked
from otel_feedback.journal.folder import Folder
from otel_feedback.journal.frames import (
    FEEDBACK,
    MARK,
    MAX_KEY,
    MAX_PAYLOAD,
    PACKED,
    SAMPLED,
    Kind,
    event_frame,
    frame,
    pack_event_head,
    pack_front,
    pack_head,
)  # fmt: skip
from otel_feedback.journal.held import flags_of
from otel_feedback.journal.interface import CLOSED, LOST_RETENTION, StartedAction
from otel_feedback.journal.limits import MOST_HELD, SHRINK_BY, WRITE_AT_ONCE, DiskLimits
from otel_feedback.journal.memory import FORGET_AT_ONCE
from otel_feedback.journal.quarantine import Quarantine
from otel_feedback.journal.reading import SegmentReader, TailFirst
from otel_feedback.journal.segments import Segment, SegmentWriter, cut_room
from otel_feedback.journal.state import VERSION, JournalState, encode_state
from otel_feedback.journal.tail import Tail

__all__ = ["AppendingJournal"]

_encode = msgspec.msgpack.Encoder().encode
_START, _EVENT = int(Kind.START), int(Kind.EVENT)
MOST_WRITTEN = MAX_PAYLOAD - MAX_KEY - 2
"""Bytes of the longest event that is written; there are limits far below."""


class AppendingJournal:
    """An append-only log in a folder of its own, which the first append makes."""

    def __init__(self, root: Path, service_name: str, durability: str, limits: DiskLimits) -> None:
        self.origin = Origin(secrets.token_hex(16), service_name)
        self._root = root
        self._limits = limits
        self._tail_bytes = min(limits.tail_bytes, limits.memory_bytes)
        self._segment_bytes = max(4_096, min(limits.segment_bytes, limits.max_bytes // 8))
        self._syncs_each = durability == "fsync"
        self._quarantine = Quarantine(root, self.origin.producer_id)
        # re-entrant: a signal handler or a finaliser may record an action in the middle of an append
        self._lock = threading.RLock()
        self._sync_lock = threading.Lock()
        self._tail = Tail(self.origin)  # guarded by self._lock for writing
        self._end = 0  # guarded by self._lock for writing
        self._written = 0  # guarded by self._lock for writing: records below are on disk, or lost
        self._synced = 0  # guarded by self._sync_lock for writing: records below are on the platter
        self._open_actions: dict[str, bytes] = {}  # guarded by self._lock
        self._noted: set[str] = set()  # that were open when the disk took nothing any more; guarded by self._lock
        self._folder: Folder | None = None  # guarded by self._lock for writing
        self._is_beginning = False  # a segment; guarded by self._lock
        self._writer: SegmentWriter | None = None  # guarded by self._lock for writing
        self._segments: tuple[Segment, ...] = ()  # guarded by self._lock for writing; the newest is written to
        self._sealed: dict[int, int] = {}  # guarded by self._lock: the sizes of all but the one that is written to
        self._sealed_bytes = 0  # guarded by self._lock for writing: their sum
        # files to be synced and closed, and their sizes; guarded by self._lock
        self._retired: list[tuple[int, int]] = []
        self._has_new_names = False  # files that were made since folders were synced; guarded by self._lock
        self._cursors: tuple[JournalCursor, ...] = ()
        self._saved = 0  # times that the cursors were written down
        self._is_announced = False
        self._problem: str | None = None  # why the disk does not take events
        self._is_closed = False  # guarded by self._lock

    @property
    def end(self) -> int:
        return self._end

    # -- on the agent's thread -----------------------------------------------------------------------------

    def append(self, key: str, payload: bytes, event: Recordable, sampled: bool) -> int:
        # what nearly all are, and how they are framed and written, stands here: each call in between would cost half a write
        flags = (
            (PACKED | SAMPLED if sampled else PACKED) if isinstance(event, EndedAction) else flags_of(event, sampled)
        )
        held, tail, size = (key, payload, flags), self._tail, len(payload)
        with self._lock:
            if self._is_closed:
                return CLOSED
            # nothing is called in these lines, so nothing interrupts them: afterwards the record has its place
            sequence = self._end
            tail.records[sequence] = held
            self._end = sequence + 1
            tail.bytes += size
            if flags & PACKED or (not flags & FEEDBACK and event.revision):
                self._open_actions.pop(event.event_id, None)  # type: ignore[arg-type]
            writer = self._writer
            if writer is None or sequence != self._written or size >= MOST_WRITTEN:
                if sequence - self._written < WRITE_AT_ONCE:  # else the disk has just healed, and tend() is at it
                    self._write_events()
            else:
                begin = key.encode("utf-8", "replace")[:MAX_KEY]
                length = len(begin)
                checked = pack_event_head(_EVENT, flags, length + 2 + size, sequence, length) + begin + payload
                data = pack_front(MARK, crc32c(checked)) + checked
                length = len(data)
                if write_locked(writer.file, data, length) == length:
                    writer.size += length
                    if self._written == sequence:  # an interruption may have written more
                        self._written = sequence + 1
                    if writer.size >= writer.full_at:
                        self._end_full_segment()
                else:
                    writer.give_up()
                    self._write_events()
            if tail.bytes > self._tail_bytes or sequence - tail.first >= MOST_HELD:
                self._shrink()
        if self._syncs_each:
            self._sync(sequence + 1)
        return sequence

    def note_start(self, action: StartedAction) -> bool:
        try:
            noted = _encode(action)
        except Exception:  # whatever a span's attributes may hold; the action's event will say what can be said
            return False
        checked = pack_head(_START, 0, len(noted), self._end) + noted
        data = pack_front(MARK, crc32c(checked)) + checked
        length = len(data)
        with self._lock:
            if self._is_closed:
                return False
            self._open_actions[action.event_id] = noted
            writer = self._writer
            if writer is not None:
                if write_locked(writer.file, data, length) == length:
                    writer.size += length
                    return True
                writer.give_up()
            return self._write(data)

    def forget_start(self, *event_ids: str) -> None:
        with self._lock:
            known = [event_id for event_id in event_ids if self._open_actions.pop(event_id, None) is not None]
            if known:
                self._write(b"".join([frame(Kind.FORGET, self._end, event_id.encode()) for event_id in known]))
                if not self._is_closed:  # then nothing may be dropped any more, which nobody would count
                    self._end_full_segment()

    def _write_events(self, most: int = WRITE_AT_ONCE) -> None:
        """Write up to `most` records that are in memory only, as far as the disk takes them."""
        for sequence in range(self._written, min(self._end, self._written + most)):
            held = self._tail.get(sequence)
            if held is not None and len(held[1]) < MOST_WRITTEN:
                key, payload, flags = held
                if not self._write(event_frame(key, payload, sequence, flags)):
                    return
            if self._written <= sequence:  # an interruption may have written more
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
        if self._is_beginning:  # an interruption's append: it stays in memory until the next one
            return
        self._is_beginning = True
        try:
            self._begin_segment_at(self._written)
        finally:
            self._is_beginning = False

    def _begin_segment_at(self, first: int) -> None:
        old, self._writer = self._writer, None
        if old is not None:
            self._retire(old)
        starts = b"".join([frame(Kind.START, first, noted) for noted in self._open_actions.values()])
        # before the state is written down, so that it has the losses; the newest stays, however large
        room = len(starts) + self._segment_bytes - self._sealed.get(first, 0)
        while self._sealed_bytes + room > self._limits.max_bytes and len(self._segments) > 1:
            self._drop_segment()
        opening = frame(Kind.HEAD, first, encode_state(self._state())) + starts
        try:
            if self._folder is None:
                self._folder = Folder.create(self._root, self.origin.producer_id)
            writer = SegmentWriter.create(self._folder.path, first, opening)
        except OSError as exc:
            self._stop_writing(exc)
            return
        self._noted.clear()  # this one begins with those that are open
        writer.full_at = writer.size + self._segment_bytes
        self._writer, self._has_new_names = writer, True
        # one that begins at the same sequence holds no event, and was replaced
        self._sealed_bytes -= self._sealed.pop(first, 0)
        self._segments = (*(segment for segment in self._segments if segment.first != first), writer.segment)

    def _retire(self, writer: SegmentWriter) -> None:
        self._retired.append((writer.file, writer.size))  # syncing it is not for the agent's thread
        self._sealed[writer.segment.first] = writer.size
        self._sealed_bytes += writer.size

    def _drop_segment(self) -> None:
        """Remove the oldest segment, with what is still pending in it. Called with the lock held."""
        oldest, following = self._segments[:2]
        for cursor in self._cursors:
            cursor.lose(0, following.first, LOST_RETENTION)
        self._remove_segment(oldest)

    def _remove_segment(self, segment: Segment) -> None:
        self._sealed_bytes -= self._sealed.pop(segment.first, 0)
        self._segments = tuple(known for known in self._segments if known is not segment)
        with contextlib.suppress(OSError):
            segment.path.unlink()

    def _stop_writing(self, exc: OSError) -> None:
        """Keep events in memory until `tend()` finds the disk healed. Called with the lock held."""
        self._problem = f"{exc.filename or self._root}: {exc.strerror or exc}"
        self._noted.update(self._open_actions)
        writer, self._writer = self._writer, None
        if writer is not None:
            self._retire(writer)

    def _shrink(self) -> None:
        """Forget what can be read back, or, where the disk does not take it, the oldest beyond the cap."""
        tail, limits = self._tail, self._limits
        while (tail.bytes > self._tail_bytes or self._end - tail.first > MOST_HELD) and tail.first < self._written:
            tail.forget_below(self._written, SHRINK_BY)
        if tail.bytes > limits.memory_bytes:
            first = tail.first
            while tail.bytes > limits.memory_bytes and tail.first < self._end - 1:
                tail.drop_first()
            for cursor in self._cursors:
                cursor.lose(first, tail.first, LOST_RETENTION)
            self._written = max(self._written, tail.first)

    def _sync(self, end: int) -> None:
        """Make everything below `end` survive a loss of power; one sync serves all who wait for it."""
        with self._sync_lock:
            if self._synced >= end and not self._retired:
                return
            with self._lock:
                retired, self._retired = self._retired, []
                writer, written = self._writer, self._written
                new_in, self._has_new_names = self._folder if self._has_new_names else None, False
            try:
                for file, size in retired:
                    cut_room(file, size)
                    os.fsync(file)
                if writer is not None:
                    os.fsync(writer.file)
                if new_in is not None:
                    new_in.sync_names()
            except OSError as exc:
                with self._lock:
                    self._stop_writing(exc)
                return
            finally:
                for file, _ in retired:
                    os.close(file)
            self._synced = written

    # -- on the workers' threads ---------------------------------------------------------------------------

    def cursor(self, exporter: str, destination: str, *, durable: bool, address: str = "") -> JournalCursor:
        with self._lock:
            state = CursorState(exporter, destination, self._end, self._end, [], 0, {}, address)
            cursor = JournalCursor(self, state, durable=durable)
            self._cursors = (*self._cursors, cursor)
            if durable and self._writer is not None:  # or nobody would know of it, should we die before `tend()`
                self._begin_segment()
        return cursor

    def reader(self) -> Reader:
        return TailFirst(self.read, self.segment_reader())

    def segments(self) -> Sequence[Segment]:
        """Return the segments, the newest last. Safe from any thread."""
        return self._segments

    def read(
        self, reader: SegmentReader, start: int, most: int, packed: bool, most_bytes: int
    ) -> tuple[list[Record], int]:
        """Return records from memory where they are there, else from disk; see `Reader`."""
        tail = self._tail
        taken, after = tail.take(start, most, self._end, packed, most_bytes)
        if taken or start >= self._written:
            return taken, after
        return reader.read(start, most, max(start + 1, min(self._written, tail.first)), packed, most_bytes)

    def segment_reader(self) -> SegmentReader:
        """Make a reader of what is on disk."""
        return SegmentReader(self.segments, self.origin, self._quarantine.note_damage, self._end_of)

    def _end_of(self, segment: Segment) -> int | None:
        writer = self._writer
        return writer.size if writer is not None and writer.segment is segment else self._sealed.get(segment.first)

    def forget_settled(self) -> None:
        more = True
        while more:
            with self._lock:
                lowest = min((cursor.low for cursor in self._cursors), default=self._end)
                more = self._tail.forget_below(lowest, FORGET_AT_ONCE)

    def _state(self) -> JournalState:
        cursors = [cursor.state() for cursor in self._cursors if cursor.durable]
        self._saved += 1
        return JournalState(
            VERSION, self.origin.producer_id, self.origin.service_name, self._end, self._saved, cursors, self._is_announced,
        )  # fmt: skip
