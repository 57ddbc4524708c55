"""The segments of a journal: one is written, the others are sealed. `reading.py` reads them back.

A new segment gets its name when its first frames are in it: the journal's state, and the actions that are open. So each
segment stands alone: older ones may go without taking a start with them, and the newest tells which actions never ended.
While it is written, zeros follow its last frame (`ahead.py`): room for the next ones.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from otel_feedback.journal.files import append, lengthen_locked, open_private

__all__ = ["Segment", "SegmentWriter", "append_to", "cut_left", "cut_room", "filled", "list_segments"]

_NAME = re.compile(r"(\d{20})\.seg")
BLOCK_BYTES = 64 * 1024  # looked at together for the end of what is filled


class Segment(NamedTuple):
    """One file; `first` is the lowest sequence that can be in it."""

    first: int
    path: Path

    @property
    def size(self) -> int:
        """Bytes that are filled; 0 where it is not there any more."""
        try:
            file = open_private(self.path, os.O_RDONLY)
        except OSError:
            return 0
        try:
            return filled(file)
        except OSError:
            return 0
        finally:
            os.close(file)

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

    def __init__(self, segment: Segment, file: int, size: int) -> None:
        self.segment = segment
        self.file = file
        self.size = size
        self.length = size
        """Of the file, if that is more: zeros follow its last frame, in pages that are in memory already."""
        self.full_at = 2**63
        """The size at which another one is to be begun."""

    @property
    def is_intact(self) -> bool:
        """False when somebody removed the file, or cut it."""
        seen = os.fstat(self.file)
        return seen.st_nlink > 0 and seen.st_size == max(self.size, self.length)

    @classmethod
    def create(cls, folder: Path, first: int, opening: bytes) -> SegmentWriter:
        """Make a segment that begins with these frames; one of the same name holds no event, and is replaced.

        Raises:
            OSError: It cannot be made; nothing is left of it.
        """
        path = folder / f"{first:020d}.seg"
        unnamed = path.with_suffix(".new")
        file = open_private(unnamed, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        try:
            append(file, opening)
            unnamed.rename(path)
        except OSError:
            os.close(file)
            with contextlib.suppress(OSError):
                unnamed.unlink()
            raise
        return cls(Segment(first, path), file, len(opening))

    @classmethod
    def reopen(cls, segment: Segment) -> SegmentWriter:
        """Go on in a segment that somebody else has left, behind its last frame.

        Raises:
            OSError: It cannot be opened.
        """
        file = open_private(segment.path, os.O_RDWR)
        try:
            writer = cls(segment, file, filled(file))
            writer._cut()
        except OSError:
            os.close(file)
            raise
        return writer

    def lengthen(self, length: int) -> None:
        """Make the file longer than what is in it."""
        if length > max(self.size, self.length) and lengthen_locked(self.file, length):
            self.length = length

    def give_up(self) -> None:
        """Leave nothing of a frame that somebody has written to the file, and that was not taken whole."""
        with contextlib.suppress(OSError):
            self._cut()

    def append(self, frame: bytes) -> None:
        """Add a frame.

        Raises:
            OSError: It is not there; a part of it may be, which readers step over.
        """
        try:
            append(self.file, frame)
        except OSError:
            with contextlib.suppress(OSError):
                self._cut()
            raise
        self.size += len(frame)

    def _cut(self) -> None:
        """Leave nothing in the file behind the last frame, and go on there; or where somebody else has cut it."""
        end = min(self.size, os.fstat(self.file).st_size)
        os.ftruncate(self.file, end)
        os.lseek(self.file, end, os.SEEK_SET)
        self.length = 0


def append_to(segment: Segment, frames: bytes) -> None:
    """Add frames to a segment that nobody writes to any more.

    Raises:
        OSError: They are not there.
    """
    writer = SegmentWriter.reopen(segment)
    try:
        writer.append(frames)
    finally:
        os.close(writer.file)


def filled(file: int) -> int:
    """Return how long a segment is without the room behind its last frame: no frame ends with a zero.

    One that is nothing but zeros has lost what was in it, and is as long as it is.
    """
    size = end = os.fstat(file).st_size
    length = 1  # mostly there is no room
    while end > 0:
        begin = max(0, end - length)
        kept = len(os.pread(file, end - begin, begin).rstrip(b"\0"))
        if kept:
            return begin + kept
        end, length = begin, BLOCK_BYTES
    return size


def cut_left(segments: Sequence[Segment]) -> None:
    """Take the room away from segments that a dead process left, where that can be done."""
    for segment in segments:
        with contextlib.suppress(OSError):
            file = open_private(segment.path, os.O_RDWR)
            try:
                cut_room(file, filled(file))
            finally:
                os.close(file)


def cut_room(file: int, size: int) -> None:
    """Take away the zeros behind the last frame of a segment that is not written to any more; its time stays.

    Raises:
        OSError: That cannot be done.
    """
    seen = os.fstat(file)
    if seen.st_size > size:
        os.ftruncate(file, size)
        os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))
