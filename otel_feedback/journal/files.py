"""Files and folders that are ours alone, and a write that does not give the interpreter lock away.

Why not `os.write`: it releases the interpreter lock, and beside one busy Python thread it takes 5 ms to get it back,
for each event. Why not a mapped file: a page that the disk cannot give, or a file that somebody truncates, is a SIGBUS
that kills the agent. The C library's `write`, called with the lock held, takes 1 µs into the page cache, and says what
is wrong.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import cast

__all__ = [
    "append", "free_bytes", "lengthen_locked", "make_private", "open_private", "read_private", "require_ours", "write_locked",
]  # fmt: skip

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


_Write = Callable[[int, bytes, int], int]


def _c_writes() -> tuple[_Write, _Write]:
    typed, bare = ctypes.PyDLL(None, use_errno=True)["write"], ctypes.PyDLL(None)["write"]
    typed.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t)
    typed.restype = ctypes.c_ssize_t
    return cast("tuple[_Write, _Write]", (typed, bare))


# without types and `errno` a call takes half as long; lengths are C ints then, which libffi widens
_write, write_locked = _c_writes()
"""`write_locked` writes to a file as `write(2)` does, with the interpreter lock held; what is written may be less than all, or
-1. For less than 2 GiB, as all frames are."""


def lengthen_locked(file: int, length: int) -> bool:
    """Make a file so many bytes long, with the interpreter lock held; False where that cannot be.

    For the journal's thread, while it has the lock that an agent may wait for: it must not wait for the interpreter then.
    """
    done: int = _truncate(file, length)
    return done == 0


_truncate = ctypes.PyDLL(None)["ftruncate"]
_truncate.argtypes = (ctypes.c_int, ctypes.c_long)


def append(file: int, data: bytes) -> None:
    """Write all of `data` where the descriptor stands, or raise OSError; then a part of it may be there."""
    while (written := _write(file, data, len(data))) != len(data):
        if written <= 0:
            number = ctypes.get_errno() if written else errno.ENOSPC
            raise OSError(number, os.strerror(number))
        data = data[written:]  # the disk became full in the middle, or what else it is: the next try says so


def make_private(folder: Path) -> None:
    """Make a folder, and its parents, that only this user can read; or check that it is such a one.

    Raises:
        OSError: It cannot be made, is a symbolic link, or belongs to somebody else.
    """
    missing: list[Path] = []
    parent = folder
    while not parent.exists() and not parent.is_symlink():
        missing.append(parent)
        parent = parent.parent
    for made in reversed(missing):
        try:
            made.mkdir(mode=0o700)
            made.chmod(0o700)  # whatever the umask took
        except FileExistsError:  # another process was as quick
            continue
    require_ours(folder, or_roots=True)


def require_ours(folder: Path, *, or_roots: bool = False) -> None:
    """Check that this is a folder, no symbolic link, and this user's.

    Args:
        or_roots: It may be the superuser's, too, as volumes that Kubernetes mounts are.

    Raises:
        OSError: It is not.
    """
    seen = folder.lstat()
    if stat.S_ISLNK(seen.st_mode):
        raise PermissionError(errno.EPERM, "is a symbolic link, which is refused", str(folder))
    if not stat.S_ISDIR(seen.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, "is not a folder", str(folder))
    if seen.st_uid != os.geteuid() and not (or_roots and seen.st_uid == 0):
        raise PermissionError(
            errno.EPERM, f"belongs to user {seen.st_uid}, not to {os.geteuid()}, which is refused", str(folder)
        )


def open_private(path: Path, flags: int) -> int:
    """Open a file for this user only; return its descriptor.

    Raises:
        OSError: It cannot be opened, is a symbolic link or no file, or belongs to somebody else.
    """
    file = os.open(path, flags | _NO_FOLLOW, 0o600)
    seen = os.fstat(file)
    if not stat.S_ISREG(seen.st_mode) or seen.st_uid != os.geteuid():
        os.close(file)
        raise PermissionError(errno.EPERM, "is not a file of this user, which is refused", str(path))
    if flags & os.O_CREAT and stat.S_IMODE(seen.st_mode) != 0o600:  # whatever the umask took, or was there before
        os.fchmod(file, 0o600)
    return file


def free_bytes(place: Path) -> int | None:
    """Return how much of the disk is free where this is, or would be; None where nobody can tell."""
    while not os.path.exists(place) and place != place.parent:  # noqa: PTH110 - unlike Path's it never raises
        place = place.parent
    try:
        seen = os.statvfs(place)
    except OSError:
        return None
    return seen.f_bavail * seen.f_frsize


def read_private(path: Path) -> bytes:
    """Return what is in a file of this user; as `open_private`."""
    with os.fdopen(open_private(path, os.O_RDONLY), "rb") as file:
        return file.read()
