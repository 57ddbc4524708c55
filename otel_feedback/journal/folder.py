"""The folder of one journal: who owns it is who holds the lock in it, and nothing else.

    <directory of the service>/
      5f1c8a3be07d4d0c9a61f27c0b9e4d58/     the producer id
        lock                                held by the living owner, or by who adopted it
        00000000000000000000.seg            named by the first sequence in it
        00000000000000008121.seg
        cursors                             per exporter and destination: the account; replaced atomically
      quarantine/                           what could not be read, and what a destination refused for good
      turn                                  held by a short-lived child that delivers what others left

No process id is looked at: it may be taken again, and means nothing in another container. `flock` belongs to the open
file, so it ends with the process however that ends; a forked child closes its copy, or it would keep a dead parent's
lock. A folder gets its name when it is locked already, so nobody finds it without its owner.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from pathlib import Path

from otel_feedback.journal.files import make_private, open_private, require_ours
from otel_feedback.sdk.forks import leaves_to_children

try:
    import fcntl
except ImportError:  # Windows has the journal in memory
    fcntl = None  # type: ignore[assignment]

__all__ = ["CURSORS", "LOCK", "QUARANTINE", "Folder", "folders", "is_owned", "is_producer", "is_supported", "lock_file"]

LOCK = "lock"
CURSORS = "cursors"
QUARANTINE = "quarantine"
_PRODUCER = re.compile(r"[0-9a-f]{32}")
_BEING_MADE = ".new"


def is_supported() -> bool:
    """Tell whether this platform has what a journal on disk needs."""
    return fcntl is not None


def is_producer(name: str) -> bool:
    """Tell whether a journal's folder may have this name."""
    return _PRODUCER.fullmatch(name) is not None


def is_owned(path: Path) -> bool:
    """Tell whether a living process has this journal. Tries its lock, shared and for a moment; changes nothing.

    Raises:
        OSError: It cannot be said: the folder or its lock is not there, or belongs to somebody else.
    """
    require_ours(path)
    lock = open_private(path / LOCK, os.O_RDONLY)
    try:
        lock_file(lock, shared=True)  # two who look at the same time must not take each other for the owner
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def folders(root: Path) -> list[Path]:
    """Return the folders of journals, whoever owns them, the oldest first; none where there is no directory."""
    try:
        names = [entry.name for entry in os.scandir(root) if _PRODUCER.fullmatch(entry.name)]
    except OSError:
        return []
    found: list[tuple[float, Path]] = []
    for name in names:
        with contextlib.suppress(OSError):  # removed meanwhile
            found.append(((root / name).lstat().st_mtime, root / name))
    return [path for _, path in sorted(found)]


class Folder:
    """A journal's folder, locked by this process. Made by `create` or `claim`."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock: int | None = lock
        self._inode = path.stat().st_ino
        self._is_left = leaves_to_children()

    @classmethod
    def create(cls, root: Path, producer_id: str) -> Folder:
        """Make and lock the folder of a new journal.

        Raises:
            OSError: It cannot be made, or the directory is refused.
        """
        make_private(root)
        path, unnamed = root / producer_id, root / f".{producer_id}{_BEING_MADE}"
        try:
            return cls._make(path, unnamed)
        except OSError as exc:
            if exc.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
        # an earlier try was interrupted by what raises, as a handler of a signal does: it got no further than the lock
        for left in (unnamed, path):
            _remove_empty(left)
        return cls._make(path, unnamed)

    @classmethod
    def _make(cls, path: Path, unnamed: Path) -> Folder:
        unnamed.mkdir(mode=0o700)
        lock: int | None = None
        try:
            unnamed.chmod(0o700)  # whatever the umask took
            lock = open_private(unnamed / LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            lock_file(lock)
            unnamed.rename(path)
        except BaseException:
            if lock is not None:
                os.close(lock)
            _remove_empty(unnamed)
            raise
        return cls(path, lock)

    @classmethod
    def claim(cls, path: Path) -> Folder | None:
        """Lock the folder of a journal whose owner is dead; None where it is not to be had.

        Raises:
            OSError: It belongs to somebody else, or is a symbolic link.
        """
        require_ours(path)
        try:
            lock = open_private(path / LOCK, os.O_RDWR)
        except FileNotFoundError:
            with contextlib.suppress(OSError):  # all that is left where a removal was interrupted
                path.rmdir()
            return None
        try:
            lock_file(lock)
            # who held it may have removed the folder before letting go
            if os.fstat(lock).st_nlink == 0:
                raise BlockingIOError
            return cls(path, lock)
        except OSError:
            os.close(lock)
            return None

    @property
    def is_there(self) -> bool:
        """False when somebody removed or replaced the folder."""
        try:
            return self.path.lstat().st_ino == self._inode
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:  # it cannot be seen now
            return True

    def keep_lock(self) -> None:
        """Put the lock back where somebody cleared it away: without it nobody could claim the folder after us."""
        with contextlib.suppress(OSError):
            if (self.path / LOCK).exists() or self._lock is None:
                return
            unnamed = self.path / f"{LOCK}{_BEING_MADE}"
            lock = open_private(unnamed, os.O_RDWR | os.O_CREAT)
            try:
                lock_file(lock)
                unnamed.rename(self.path / LOCK)
            except OSError:
                os.close(lock)
                raise
            os.close(self._lock)
            self._lock = lock

    def sync_names(self) -> None:
        """Make the names of the files in it, and its own, survive a loss of power, as far as the file system can."""
        for path in (self.path, self.path.parent):
            with contextlib.suppress(OSError):
                file = os.open(path, os.O_RDONLY)
                try:
                    os.fsync(file)
                finally:
                    os.close(file)

    def release(self) -> None:
        """Let go of the lock; the folder stays."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def leave_to_parent(self) -> None:
        """In a forked child: close the copy of the lock; let go of it where the parent delivers nothing."""
        if self._is_left and self._lock is not None and fcntl is not None:
            with contextlib.suppress(OSError):
                fcntl.flock(self._lock, fcntl.LOCK_UN)
        self.release()

    def remove(self) -> None:
        """Remove the folder with all that is in it, the lock last, and let go of it."""
        with contextlib.suppress(OSError):
            for entry in self.path.iterdir():
                if entry.name != LOCK:
                    entry.unlink()
            (self.path / LOCK).unlink()
            self.path.rmdir()
        self.release()


def _remove_empty(path: Path) -> None:
    """Remove a folder in which there is nothing but a lock, if anything, and nothing of which is needed."""
    with contextlib.suppress(OSError):
        if {entry.name for entry in os.scandir(path)} <= {LOCK}:
            (path / LOCK).unlink(missing_ok=True)
            path.rmdir()


def lock_file(file: int, *, shared: bool = False) -> None:
    """Lock an open file, until it is closed or its process ends.

    Raises:
        BlockingIOError: Somebody else has it.
        OSError: There are no locks here.
    """
    if fcntl is None:
        raise OSError("this platform has no flock")
    fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
