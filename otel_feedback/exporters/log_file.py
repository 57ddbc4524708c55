"""A file of lines that several processes write to, and that one of them, or logrotate, moves away at any moment.

    lock ──► is it still the file of that name? ──► full: move it away ──► write ──► still? ──► unlock
                 └ no: open the new one                                      └ no: once more, into the new one

The lock is flock's, on the file itself, so it ends with its process however that ends. Only who has it moves or cuts the
file. Who waits for it too long, since its owner is frozen, writes all the same: a line is one write. Not thread-safe.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import time
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows moves no file that somebody has open
    fcntl = None  # type: ignore[assignment]

__all__ = ["LogFile"]

WAIT_S = 1.0
POLL_S = 0.001
MOST_TRIES = 20


class LogFile:
    """Adds whole lines to a file that is rotated by size.

    Args:
        path: The file.
        max_bytes: Size at which it is moved to `path.1`, that one to `path.2`, and so on.
        backups: How many moved files are kept.
    """

    def __init__(self, path: Path, max_bytes: int, backups: int) -> None:
        self._path = path
        # a device is nobody's to move, though a program's output may go to a file there
        self._max_bytes = sys.maxsize if path.is_relative_to("/dev") else max_bytes
        self._backups = backups
        self._file: int | None = None  # a file descriptor

    def write(self, lines: bytes) -> None:
        """Add lines, each ended by a line feed: all of them or none. What somebody moves away meanwhile is written again.

        Raises:
            OSError: The file does not take them.
        """
        is_written = False
        for _ in range(MOST_TRIES):
            file = self._current()
            has_lock = _lock(file)
            try:
                if not self._is_current(file):
                    continue
                size = os.fstat(file).st_size
                if has_lock and size and size + len(lines) > self._max_bytes:
                    self._rotate()
                    continue
                expected = _write_whole(file, lines, has_lock=has_lock)
                is_written = True
                # else it may have been read for the last time before, by whoever compresses it, or copies and cuts it
                if self._is_current(file) and os.fstat(file).st_size >= expected:
                    return
            finally:
                _unlock(file)
        if not is_written:
            raise OSError(errno.EAGAIN, "is moved away again and again", str(self._path))

    def _current(self) -> int:
        """Return the file of our name, opened anew where somebody has moved it away."""
        file = self._file
        if file is not None and self._is_current(file):
            return file
        self.close()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # for its owner only: events carry names of users and tenants
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
        file = self._file = os.open(self._path, flags, 0o600)
        return file

    def _is_current(self, file: int) -> bool:
        try:
            return os.path.samestat(self._path.stat(), os.fstat(file))
        except FileNotFoundError:
            return False

    def _rotate(self) -> None:
        """Move the file to `path.1`. What a crash in the middle of it leaves is a number that is free."""
        moved = [self._path, *(self._path.with_name(f"{self._path.name}.{n}") for n in range(1, self._backups + 1))]
        free = next((number for number, path in enumerate(moved) if number and not path.exists()), self._backups)
        if free == 0:
            self._path.unlink(missing_ok=True)
        for number in range(free, 0, -1):
            moved[number - 1].replace(moved[number])

    def close(self) -> None:
        """Close the file; a later write opens it again."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


def _lock(file: int) -> bool:
    """Wait for the lock; False when its owner does not let go of it."""
    until = time.monotonic() + WAIT_S
    while fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(POLL_S)
        except OSError:  # a file system without locks, or what is no file
            return True
        else:
            return True
    return True


def _unlock(file: int) -> None:
    if fcntl is not None:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_UN)


def _write_whole(file: int, lines: bytes, *, has_lock: bool) -> int:
    """Write to the end of the file; return the size that it has then, at least."""
    # no buffer of Python's: after a full disk it would write its rest once more
    seen = os.fstat(file)
    is_file = stat.S_ISREG(seen.st_mode)
    if is_file and seen.st_size and os.pread(file, 1, seen.st_size - 1) != b"\n":
        lines = b"\n" + lines  # somebody died in the middle of a line
    written = 0
    try:
        while written < len(lines):
            written += os.write(file, lines[written:])
    except OSError:
        if written and is_file and has_lock:
            os.ftruncate(file, seen.st_size)  # half a line would spoil the next one
        raise
    return seen.st_size + written if is_file else 0
