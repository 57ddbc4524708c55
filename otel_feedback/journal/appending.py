"""The agent's side of the journal on disk: append, rotate, and what to do when the disk does not take it.

    append ──► tail in memory ──► segment, by a write that keeps the interpreter lock      on the agent's thread
                    │                 │
                    └── lease ◄───────┘ older records are read back                        on the workers' threads

Input: encoded events from any thread. Output: leases to the workers, through cursors. Guarantee: when `append` returns,
the event is in the page cache, or, where the disk does not take it, in memory and said to be so until the disk heals.
One lock, held for an append, a rotation, or a few records. Nothing is logged with it held: a handler may record actions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from otel_feedback.events.ended import EndedAction
from otel_feedback.events.record import Record, Recordable
from otel_feedback.journal.checksum import crc32c
from otel_feedback.journal.cursor import CursorState, JournalCursor, Reader
from otel_feedback.journal.files import write_locked
from otel_feedback.journal.frames import (
    FEEDBACK,
    MARK,
    MAX_KEY,
    PACKED,
    SAMPLED,
    Kind,
    event_body,
    frame,
    pack_event_head,
    pack_front,
    pack_head,
)  # fmt: skip
from otel_feedback.journal.held import flags_of
from otel_feedback.journal.interface import CLOSED, LOST_RETENTION, StartedAction
from otel_feedback.journal.limits import MOST_HELD, SHRINK_BY, WRITE_AT_ONCE, DiskLimits
from otel_feedback.journal.memory import FORGET_AT_ONCE
from otel_feedback.journal.reading import SegmentReader, TailFirst
from otel_feedback.journal.segments import Segment
from otel_feedback.journal.writing import MOST_WRITTEN, WritingJournal

__all__ = ["AppendingJournal"]

_encode = msgspec.msgpack.Encoder().encode
_START, _EVENT = int(Kind.START), int(Kind.EVENT)


class AppendingJournal(WritingJournal):
    """An append-only log in a folder of its own, which the first append makes."""

    def __init__(self, root: Path, service_name: str, durability: str, limits: DiskLimits) -> None:
        super().__init__(root, service_name, durability, limits)
        self._tail_bytes = min(limits.tail_bytes, limits.memory_bytes)

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
                # its size goes first: the write is what may be interrupted, by what writes behind this frame, or raises
                stood = writer.size
                writer.size = stood + length
                if write_locked(writer.file, data, length) == length:
                    if self._written == sequence:  # an interruption may have written more
                        self._written = sequence + 1
                    if writer.size >= writer.full_at:
                        self._end_full_segment()
                else:
                    writer.give_up(stood, length)
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
                stood = writer.size
                writer.size = stood + length  # first, as that of an event
                if write_locked(writer.file, data, length) == length:
                    return True
                writer.give_up(stood, length)
            return self._write(data)

    def forget_start(self, *event_ids: str) -> None:
        with self._lock:
            known = [event_id for event_id in event_ids if self._open_actions.pop(event_id, None) is not None]
            if known:
                was_writing = self._writer is not None
                frames = b"".join([frame(Kind.FORGET, self._end, event_id.encode()) for event_id in known])
                if not self._write(frames) and was_writing:
                    self._noted.update(known)
                if not self._is_closed:  # then nothing may be dropped any more, which nobody would count
                    self._end_full_segment()

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
        if len(taken) != after - start:
            self._keep_unread(set(range(start, after)) - {record.sequence for record in taken})
        if taken or start >= self._written:
            return taken, after
        return reader.read(start, most, max(start + 1, min(self._written, tail.first)), packed, most_bytes)

    def _keep_unread(self, sequences: Iterable[int]) -> None:
        for sequence in sequences:
            held = self._tail.get(sequence)
            if held is not None:  # else it was given up meanwhile, and counted
                self._quarantine.keep_unread(sequence, event_body(held[0], held[1]))

    def segment_reader(self) -> SegmentReader:
        """Make a reader of what is on disk."""
        aside = self._quarantine
        return SegmentReader(self.segments, self.origin, aside.note_damage, aside.keep_unread, self._end_of)

    def _end_of(self, segment: Segment) -> int | None:
        with self._lock:  # or it counts a frame that is not written yet
            writer = self._writer
            return writer.size if writer is not None and writer.segment is segment else self._sealed.get(segment.first)

    def forget_settled(self) -> None:
        more = True
        while more:
            with self._lock:
                lowest = min((cursor.low for cursor in self._cursors), default=self._end)
                more = self._tail.forget_below(lowest, FORGET_AT_ONCE)
