"""Which file of a log is which: told by what is in it, not by its name, since rotation moves, copies and compresses files.

    outcomes.jsonl ──rename──► outcomes.jsonl.1 ──gzip──► outcomes.jsonl.2.gz       the same first line, the same bytes
                   └─copy, truncate─► outcomes.jsonl-20260302                       before where we are: the same file

A file is known again by a digest of its first line, which holds the id of an event, and of the last bytes that were read of
it. One that has the first line of a known file and is shorter is a copy that is being made: it waits.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import re
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import msgspec

__all__ = ["WAITS", "FilePlace", "block_after", "candidates", "head_of", "open_log", "which"]

HEAD_BYTES = 4_096
TAIL_BYTES = 1_024
WAITS = "waits"

_UNREADABLE = (EOFError, gzip.BadGzipFile, zlib.error)
"""What a gzip file says that is not complete yet."""


class FilePlace(msgspec.Struct):
    """How far one file was read: digest of its first line, the byte after the last line, the last bytes before that."""

    head: str
    end: int = 0
    tail: str = ""
    tail_bytes: int = 0

    def advance(self, end: int, line: bytes) -> None:
        """Take note of a line that was read."""
        self.end = end
        last = line[-TAIL_BYTES:]
        self.tail, self.tail_bytes = digest(last), len(last)


def digest(data: bytes) -> str:
    """Return a digest, as text."""
    return hashlib.sha256(data).hexdigest()[:20]


def candidates(path: Path) -> list[Path]:
    """Return the files that may hold lines of a log, those that were rotated first, the oldest before the newer ones."""
    stem, suffix = re.escape(path.stem), re.escape(path.suffix)
    number = r"[.-][0-9][0-9.:T_-]*"
    rotated = re.compile(rf"(?:{stem}{suffix}{number}|{stem}{number}{suffix})(?:\.gz)?")
    found: list[tuple[int, Path]] = []
    with contextlib.suppress(OSError):
        for place in path.parent.iterdir():
            if rotated.fullmatch(place.name):
                with contextlib.suppress(OSError):  # moved meanwhile; it is found under its next name
                    found.append((place.stat().st_mtime_ns, place))
    return [*(place for _, place in sorted(found)), path]


def open_log(path: Path) -> BinaryIO:
    """Open a log file to read what was written to it, compressed or not.

    Raises:
        OSError: It cannot be opened.
    """
    # no buffer: what was cut and written anew must not be read as it was
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb", buffering=0)  # type: ignore[return-value]


def head_of(file: BinaryIO) -> str | None:
    """Return the digest of the first line that is not empty; None where there is none yet."""
    start = _read(file, 0, HEAD_BYTES).lstrip(b"\n")
    line, end, _ = start.partition(b"\n")
    is_whole = bool(end) or len(start) >= HEAD_BYTES // 2 or line.endswith(b"}")
    return digest(line[: HEAD_BYTES // 2]) if line and is_whole else None


def which(file: BinaryIO, head: str, places: Iterable[FilePlace]) -> FilePlace | str | None:
    """Return the place that a file is at; `WAITS` for a copy that is not complete; None for a file that is new."""
    is_short = False
    for place in places:
        if place.head == head:
            tail = _read(file, place.end - place.tail_bytes, place.tail_bytes)
            if len(tail) < place.tail_bytes:
                is_short = True
            elif place.end == 0 or digest(tail) == place.tail:
                return place
    return WAITS if is_short else None


def block_after(file: BinaryIO, place: FilePlace, size: int) -> bytes:
    """Return what follows a place, up to so many bytes; nothing where the file ends, or is no longer what it was."""
    if isinstance(file, gzip.GzipFile):  # to go back in it is to begin anew; and nobody cuts it
        return _read(file, place.end, size)
    data = _read(file, place.end - place.tail_bytes, place.tail_bytes + size)
    tail = data[: place.tail_bytes]
    return data[place.tail_bytes :] if not tail or digest(tail) == place.tail else b""


def _read(file: BinaryIO, position: int, size: int) -> bytes:
    parts: list[bytes] = []
    try:
        if file.tell() != position:
            file.seek(position)
        while size > 0 and (part := file.read(size)):
            parts.append(part)
            size -= len(part)
    except _UNREADABLE:
        pass
    return b"".join(parts)
