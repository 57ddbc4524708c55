"""The segments of a journal: one is written, the others are sealed; all can be read back.

A new segment gets its name when its first frames are in it: the journal's state, and the actions that are open. So each
segment stands alone: older ones may go without taking a start with them, and the newest tells which actions never ended.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from otel_feedback.events.record import Origin, Record
from otel_feedback.journal.files import append, open_private, write_locked
from otel_feedback.journal.frames import Frame, Kind, Scan, key_and_event, scan
from otel_feedback.journal.held import record_from

__all__ = ["Segment", "SegmentReader", "SegmentWriter", "list_segments", "record_of", "scan_segment"]

_NAME = re.compile(r"(\d{20})\.seg")
CHUNK_BYTES = 512 * 1024
_HINDRANCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""Why a file cannot be opened now, though nothing is wrong with it."""
HINDERED_S = 0.05

Damage = Callable[[Path, int, bytes], None]
"""Told of bytes that belong to no whole frame, with the offset at which they begin."""


class Segment(NamedTuple):
    """One file; `first` is the lowest sequence that can be in it."""

    first: int
    path: Path

    @property
    def size(self) -> int:
        """Bytes; 0 where it is not there any more."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    @property
    def modified(self) -> float:
        """When it was last written to, in seconds since 1970; now where it is not there any more."""
        try:
            return self.path.stat().st_mtime
        except OSError:
            return time.time()


def list_segments(folder: Path) -> list[Segment]:
    """Return the segments in a folder, lowest first.

    Raises:
        OSError: It cannot be said; that is not to be taken for none.
    """
    with os.scandir(folder) as entries:
        matches = [match for entry in entries if (match := _NAME.fullmatch(entry.name))]
    return sorted(Segment(int(match[1]), folder / match[0]) for match in matches)


class SegmentWriter:
    """Appends frames to one segment. Not thread-safe: used with the journal's lock held."""

    def __init__(self, segment: Segment, file: int) -> None:
        self.segment = segment
        self.file = file
        self.size = os.fstat(file).st_size
        self.full_at = 2**63
        """The size at which another one is to be begun."""

    @property
    def is_intact(self) -> bool:
        """False when somebody removed the file, or cut it."""
        seen = os.fstat(self.file)
        return seen.st_nlink > 0 and seen.st_size == self.size

    @classmethod
    def create(cls, folder: Path, first: int, opening: bytes) -> SegmentWriter:
        """Make a segment that begins with these frames; one of the same name holds no event, and is replaced.

        Raises:
            OSError: It cannot be made; nothing is left of it.
        """
        path = folder / f"{first:020d}.seg"
        unnamed = path.with_suffix(".new")
        file = open_private(unnamed, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        try:
            append(file, opening)
            unnamed.rename(path)
        except OSError:
            os.close(file)
            with contextlib.suppress(OSError):
                unnamed.unlink()
            raise
        return cls(Segment(first, path), file)

    def took(self, frame: bytes) -> bool:
        """Add a frame in one write; False where the disk does not take it whole, and then nothing of it is there."""
        length = len(frame)
        written = write_locked(self.file, frame, length)
        if written == length:
            self.size += length
            return True
        if written > 0:
            with contextlib.suppress(OSError):
                os.ftruncate(self.file, min(self.size, os.fstat(self.file).st_size))
        return False

    def append(self, frame: bytes) -> None:
        """Add a frame.

        Raises:
            OSError: It is not there; a part of it may be, which readers step over.
        """
        try:
            append(self.file, frame)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self.file, min(self.size, os.fstat(self.file).st_size))
            raise
        self.size += len(frame)


def record_of(frame: Frame, origin: Origin, packed: bool = False) -> Record | None:
    """Return the record that an EVENT frame holds; None when there is no event in it."""
    try:
        key, payload = key_and_event(frame.payload)
    except struct.error:
        return None
    return record_from(origin, frame.sequence, (key, payload, frame.flags), packed)


def scan_segment(segment: Segment, damage: Damage, start: int = 0) -> Iterable[Frame]:
    """Yield the whole frames of a segment that nobody writes to.

    Raises:
        OSError: It cannot be read; that is not to be taken for an empty one.
    """
    offset, chunk = start, CHUNK_BYTES
    file = open_private(segment.path, os.O_RDONLY)
    try:
        while True:
            data = os.pread(file, chunk, offset)
            found = scan(data, base=offset, is_last=len(data) < chunk)
            yield from found.frames
            for first, end in found.damaged:
                damage(segment.path, first, data[first - offset : end - offset])
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

    def __init__(self, segments: Callable[[], Sequence[Segment]], origin: Origin, damage: Damage) -> None:
        self._segments = segments
        self._origin = origin
        self._damage = damage
        self._segment: Segment | None = None
        self._offset = 0
        self._chunk = CHUNK_BYTES
        self._next = -1  # the sequence that comes next here
        self._was_sealed = False  # when it was read last
        self._is_hindered = False  # for a moment, as by too many open files
        self._frames: list[Frame] = []  # read and not given out yet, the next one last

    def read(self, start: int, most: int, end: int, packed: bool = False) -> tuple[list[Record], int]:
        """Return up to `most` events of `[start, end)`, all of which were written, and where to go on.

        Those between that are not returned could not be read.
        """
        if self._next != start or self._is_replaced():
            self._seek(start)
        records: list[Record] = []
        while len(records) < most and self._next < end:
            frame = self._take()
            if frame is None:
                if not self._is_hindered:
                    self._next = end
                break
            if frame.kind != Kind.EVENT or frame.sequence < self._next:
                continue
            if frame.sequence >= end:  # written since we were asked
                self._frames.append(frame)
                self._next = end
                break
            record = record_of(frame, self._origin, packed)
            if record is not None:
                records.append(record)
            self._next = frame.sequence + 1
        return records, self._next

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
        self._frames = []

    def _take(self) -> Frame | None:
        self._is_hindered = False
        while not self._frames:
            if self._segment is None:
                return None
            if not self._read_chunk(self._segment) and (self._is_hindered or not self._go_on(self._segment)):
                return None
        return self._frames.pop()

    def _read_chunk(self, segment: Segment) -> bool:
        """Read on in the segment; False at its end."""
        # asked before it is read: what is written in between is found the next time
        is_sealed = self._was_sealed = tuple(self._segments()[-1:]) != (segment,)
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
            data = os.pread(file, self._chunk, self._offset)
        except OSError:  # the disk cannot give it: what is missing is counted where it is missed
            return False
        finally:
            os.close(file)
        is_rest = len(data) < self._chunk
        found = scan(data, base=self._offset, is_last=is_sealed and is_rest)
        if is_rest and not is_sealed and not found.frames:
            # something is missing that was written: what looks like the beginning of a frame is none
            found = _up_to_last_frame(scan(data, base=self._offset, is_last=True), self._offset)
        for first, end in found.damaged:
            self._damage(segment.path, first, data[first - self._offset : end - self._offset])
        self._frames = found.frames[::-1]
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
