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
    """Appends frames to one segment. Not thread-safe: used with the journal's lock held.

    `size` is where the file stands, also where a write is interrupted on the same thread, by one to the same file: what follows is
    written there, and what is cut off is behind it.
    """

    def __init__(self, segment: Segment, file: int, size: int) -> None:
        self.segment = segment
        self.file = file
        self.size = size
        self.length = size
        """Of the file, if that is more: zeros follow its last frame, in pages that are in memory already."""
        self.full_at = 2**63
        """The size at which another one is to be begun."""
        self._is_finished = False

    @property
    def unnamed(self) -> Path:
        """Where the file is until it has its name."""
        return self.segment.path.with_suffix(".new")

    @property
    def is_intact(self) -> bool:
        """False when somebody removed the file, or cut it."""
        seen = os.fstat(self.file)
        return seen.st_nlink > 0 and seen.st_size == max(self.size, self.length)

    @classmethod
    def prepare(cls, folder: Path, first: int, opening: bytes) -> SegmentWriter:
        """Make a segment that begins with these frames, in a file that is yet to get its name.

        Raises:
            OSError: It cannot be made; nothing is left of it.
        """
        writer = cls(Segment(first, folder / f"{first:020d}.seg"), -1, len(opening))
        writer.file = open_private(writer.unnamed, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        try:
            append(writer.file, opening)
        except BaseException:
            writer.discard()
            raise
        return writer

    @classmethod
    def create(cls, folder: Path, first: int, opening: bytes) -> SegmentWriter:
        """Make a segment that begins with these frames; one of the same name holds no event, and is replaced.

        Raises:
            OSError: It cannot be made; nothing is left of it.
        """
        writer = cls.prepare(folder, first, opening)
        try:
            writer.unnamed.rename(writer.segment.path)
        except BaseException:
            writer.discard()
            raise
        return writer

    @classmethod
    def reopen(cls, segment: Segment) -> SegmentWriter:
        """Go on in a segment that somebody else has left, behind its last frame.

        Raises:
            OSError: It cannot be opened.
        """
        file = open_private(segment.path, os.O_RDWR)
        try:
            size = filled(file)
            os.ftruncate(file, size)
            os.lseek(file, size, os.SEEK_SET)
        except OSError:
            os.close(file)
            raise
        return cls(segment, file, size)

    def lengthen(self, length: int) -> None:
        """Make the file longer than what is in it."""
        if length > max(self.size, self.length) and lengthen_locked(self.file, length):
            self.length = length

    def give_up(self, stood: int, length: int) -> None:
        """Leave nothing of a frame of so many bytes that was to begin at `stood`, and that was not taken whole.

        Where something was written behind a part of it meanwhile, by what has interrupted its writer, that part stays.
        """
        try:
            there = os.fstat(self.file).st_size
            if self.size == stood + length:
                self.size = stood
                os.lseek(self.file, min(there, stood), os.SEEK_SET)  # or where somebody else has cut it
                self.length = 0
                if stood < there:
                    os.ftruncate(self.file, self.size)
                return
        except OSError:
            pass
        self._stand()

    def append(self, frame: bytes) -> None:
        """Add a frame.

        Raises:
            OSError: It is not there; a part of it may be, which readers step over.
        """
        length = len(frame)
        stood = self.size
        self.size = stood + length  # first: what interrupts the write goes on behind it
        try:
            append(self.file, frame)
        except OSError:
            self.give_up(stood, length)
            raise
        except BaseException:  # what a handler of a signal raises: what was written until then stays
            self._stand()
            raise

    def _stand(self) -> None:
        """Be as long as what was written."""
        with contextlib.suppress(OSError):
            while True:
                size = self.size
                written = os.lseek(self.file, 0, os.SEEK_CUR)
                if self.size == size:  # else an interruption has written more
                    self.size = written
                    return

    def sync(self) -> None:
        """Bring what was written to the platter; nothing where it was closed, by what has interrupted this, which did so.

        Raises:
            OSError: That cannot be done.
        """
        if self.file >= 0:
            os.fsync(self.file)

    def finish(self) -> None:
        """Cut off the room of one that is not written to any more, and sync it, once.

        Raises:
            OSError: That cannot be done.
        """
        if self._is_finished:
            return
        try:
            # as `cut_room`; its number is looked up for each call, since what interrupts this may close it
            seen = os.fstat(self.file)
            if seen.st_size > self.size:
                os.ftruncate(self.file, self.size)
                os.utime(self.file, ns=(seen.st_atime_ns, seen.st_mtime_ns))
            self.sync()
        except OSError:
            if self.file >= 0:
                raise
        self._is_finished = True

    def close(self) -> None:
        """Close the file, so that nothing is written to another one by its number, by whoever this has interrupted."""
        file, self.file = self.file, -1
        if file >= 0:
            os.close(file)

    def discard(self) -> None:
        """Leave nothing of one that has no name."""
        with contextlib.suppress(OSError):
            self.close()
        with contextlib.suppress(OSError):
            self.unnamed.unlink()


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
