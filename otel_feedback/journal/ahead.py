"""How far a segment is longer than what is in it, so that the pages which are written next are in memory already.

A write into the page cache takes less than a microsecond; one that needs a new page takes some, and more than ten where
the machine is a virtual one that has to ask its host for it. A frame or two in ten begins a page. So the journal's
thread makes the file longer, by a hole that takes no room on the disk, and lets the kernel read that: zeros.
"""

from __future__ import annotations

import contextlib
import os

from otel_feedback.journal.segments import SegmentWriter

__all__ = ["Ahead", "bring_in"]

LEAST_BYTES = 64 * 1024
MOST_BYTES = 2 * 2**20
PAGE = 4_096


class Ahead:
    """Decides how much room there is to be: twice what was written since it was asked last. Used by one thread."""

    def __init__(self) -> None:
        self._writer: SegmentWriter | None = None
        self._size = 0

    def room(self, writer: SegmentWriter) -> tuple[int, int]:
        """Return from where to where room is to be made; an empty stretch where there is enough."""
        size = writer.size
        grown = size - self._size if writer is self._writer else size
        self._writer, self._size = writer, size
        ahead = min(max(LEAST_BYTES, 2 * grown), MOST_BYTES)
        begin = max(size, writer.length)
        if begin >= size + ahead // 2:
            return begin, begin
        return begin, (min(size + ahead, writer.full_at) // PAGE + 1) * PAGE


def bring_in(file: int, begin: int, end: int) -> None:
    """Have this stretch of a file in memory, if the system knows how to."""
    if hasattr(os, "posix_fadvise"):
        with contextlib.suppress(OSError):
            os.posix_fadvise(file, begin, end - begin, os.POSIX_FADV_WILLNEED)
