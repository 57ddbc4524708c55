"""Reading segments back: one by one, or as a worker does, across them, also the one that is being written.

Input: segments, and where the newest ends. Output: frames, or records in their order; what is damaged is stepped over, and told.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from otel_feedback.events.record import Origin, Record
from otel_feedback.journal.files import open_private
from otel_feedback.journal.frames import Frame, Kind, Scan, key_and_event, scan
from otel_feedback.journal.held import record_from
from otel_feedback.journal.interface import LOST_DAMAGED
from otel_feedback.journal.segments import Segment, filled

__all__ = ["SegmentReader", "TailFirst", "record_of", "scan_segment"]

CHUNK_BYTES = 512 * 1024
_HINDRANCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""Why a file cannot be opened now, though nothing is wrong with it."""
HINDERED_S = 0.05
_EVENT = int(Kind.EVENT)

Damage = Callable[[Path, int, bytes], None]
"""Told of bytes that belong to no whole frame, with the offset at which they begin."""
Unread = Callable[[int, bytes], object]
"""Told of a record, by its sequence and the payload of its frame, of which no event can be made."""


def record_of(frame: Frame, origin: Origin, packed: bool = False) -> Record | None:
    """Return the record that an EVENT frame holds; None when there is no event in it."""
    try:
        held = (*key_and_event(frame.payload), frame.flags)
    except struct.error:
        return None
    return record_from(origin, frame.sequence, held, packed)


def scan_segment(segment: Segment, damage: Damage, start: int = 0) -> Iterable[Frame]:
    """Yield the whole frames of a segment that nobody writes to.

    Raises:
        OSError: It cannot be read; that is not to be taken for an empty one.
    """
    offset, chunk = start, CHUNK_BYTES
    file = open_private(segment.path, os.O_RDONLY)
    try:
        end = filled(file)
        while True:
            data = os.pread(file, max(0, min(chunk, end - offset)), offset)
            found = scan(data, base=offset, is_last=len(data) < chunk)
            yield from found.frames
            for first, beyond in found.damaged:
                damage(segment.path, first, data[first - offset : beyond - offset])
            if len(data) < chunk:
                return
            if found.rest == 0:  # a frame that is longer than a chunk
                chunk *= 2
            offset += found.rest
    finally:
        os.close(file)


def _up_to_last_frame(found: Scan, base: int) -> Scan:
    """Leave what follows the last whole frame for later."""
    end = found.frames[-1].end if found.frames else base
    return Scan(found.frames, [(first, beyond) for first, beyond in found.damaged if first < end], end - base)


class SegmentReader:
    """Reads events in order, across segments, also of the one that is being written. Used by one thread."""

    def __init__(
        self,
        segments: Callable[[], Sequence[Segment]],
        origin: Origin,
        damage: Damage,
        unread: Unread,
        known_end: Callable[[Segment], int | None] = lambda segment: None,
    ) -> None:
        self._segments = segments
        self._known_end = known_end  # of the frames in a segment: behind it one may be half written
        self._origin = origin
        self._damage, self._unread = damage, unread
        self._segment: Segment | None = None
        self._offset = 0
        self._chunk = CHUNK_BYTES
        self._next = -1  # the sequence that comes next here
        self._was_sealed = False  # when it was read last
        self._is_hindered = False  # for a moment, as by too many open files
        self._frames: list[Frame] = []  # of events, that were read
        self._at = 0  # which of these is given out next

    def read(
        self, start: int, most: int, end: int, packed: bool = False, most_bytes: int = sys.maxsize
    ) -> tuple[list[Record], int]:
        """Return up to `most` events of `[start, end)`, all of which were written, and where to go on.

        The one that makes their frames `most_bytes` or more is the last. Those between that are not returned could not be
        read.
        """
        if self._next != start or self._is_replaced():
            self._seek(start)
        records: list[Record] = []
        while len(records) < most and self._next < end and most_bytes > 0:
            if not self._has_frames():
                if not self._is_hindered:
                    self._next = end
                break
            most_bytes -= self._take(records, most, end, packed, most_bytes)
        return records, self._next

    def _take(self, records: list[Record], most: int, end: int, packed: bool, most_bytes: int) -> int:
        """Add to `records` what is in the frames that were read, up to `most` of them that stand before `end`.

        Returns:
            How many bytes these frames are.
        """
        frames, origin, at, following = self._frames, self._origin, self._at, self._next
        begin = frames[at].offset
        behind = len(frames)
        if frames[-1].end - begin > most_bytes:  # they need not be counted one by one
            behind = 1 + bisect_left(frames, begin + most_bytes, at, key=lambda one: one.end)
        while at < behind and len(records) < most and following < end:
            one = frames[at]
            sequence = one.sequence
            if sequence >= end:  # written since we were asked
                following = end
                break
            at += 1
            if sequence >= following:
                following = sequence + 1
                record = record_of(one, origin, packed)
                if record is not None:
                    records.append(record)
                else:
                    self._unread(sequence, one.payload)
        self._at, self._next = at, following
        return (frames[at].offset if at < len(frames) else frames[-1].end) - begin

    def _is_replaced(self) -> bool:
        """Tell whether there is another file by the name of the one that we read."""
        here = self._segment
        return here is not None and any(known.first == here.first and known is not here for known in self._segments())

    def _seek(self, start: int) -> None:
        segments = self._segments()
        self._segment = None
        for segment in segments:
            if segment.first <= start or self._segment is None:
                self._segment = segment
        self._offset, self._chunk, self._next = 0, CHUNK_BYTES, start
        self._frames, self._at = [], 0

    def _has_frames(self) -> bool:
        """Read on, where all that was read was given out; False where there is no more."""
        self._is_hindered = False
        while self._at >= len(self._frames):
            if self._segment is None:
                return False
            if not self._read_chunk(self._segment) and (self._is_hindered or not self._go_on(self._segment)):
                return False
        return True

    def _read_chunk(self, segment: Segment) -> bool:
        """Read on in the segment; False at its end."""
        # asked before it is read: what is written in between is found the next time
        is_sealed = self._was_sealed = tuple(self._segments()[-1:]) != (segment,)
        end = self._known_end(segment)
        try:
            file = open_private(segment.path, os.O_RDONLY)
        except OSError as exc:
            self._was_sealed = True  # removed: nothing more will come of it
            self._is_hindered = exc.errno in _HINDRANCES
            if self._is_hindered:
                time.sleep(HINDERED_S)  # or a worker would do nothing but try again
            return False
        try:
            if os.fstat(file).st_size < self._offset:  # somebody cut it, and what was written since begins before
                self._offset = 0
            if end is None:
                end = filled(file)
            data = os.pread(file, max(0, min(self._chunk, end - self._offset)), self._offset)
        except OSError:  # the disk cannot give it: what is missing is counted where it is missed
            return False
        finally:
            os.close(file)
        is_rest = len(data) < self._chunk
        found = scan(data, base=self._offset, is_last=is_sealed and is_rest)
        if is_rest and not is_sealed and not found.frames:
            # something is missing that was written: what looks like the beginning of a frame is none
            found = _up_to_last_frame(scan(data, base=self._offset, is_last=True), self._offset)
        for first, beyond in found.damaged:
            self._damage(segment.path, first, data[first - self._offset : beyond - self._offset])
        self._frames, self._at = [one for one in found.frames if one.kind == _EVENT], 0
        self._offset += found.rest
        if found.rest == 0 and len(data) == self._chunk:  # a frame that is longer than a chunk
            self._chunk *= 2
            return True
        return found.rest > 0

    def _go_on(self, segment: Segment) -> bool:
        """Step to the next segment; False when this was the last."""
        for later in self._segments():
            if later.first > segment.first:
                if self._was_sealed:  # else frames were added since, before it was sealed
                    self._segment, self._offset, self._chunk = later, 0, CHUNK_BYTES
                return True
        return False


class TailFirst:
    """A cursor's reader of a journal that is being written: memory first, then disk.

    Args:
        read: The journal's, which knows what is in memory.
    """

    def __init__(
        self, read: Callable[[SegmentReader, int, int, bool, int], tuple[list[Record], int]], reader: SegmentReader
    ) -> None:
        self._read, self._reader = read, reader

    def read(self, start: int, most: int, packed: bool, most_bytes: int) -> tuple[list[Record], int, str]:
        records, after = self._read(self._reader, start, most, packed, most_bytes)
        return records, after, LOST_DAMAGED
