"""The folder of a store: its places, the lock of its one writer, and writes that are there as a whole or not at all.

    STORE/lock                                flock of the one writer, with its process id
    STORE/manifest.json                       which files there are, and how far the sources were read: the commit
    STORE/erasures.json                       the kept rules of erasure
    STORE/TABLE/day=YYYY-MM-DD/NAME.parquet   immutable, and there only if the manifest names it; TABLE is one of TABLES
    STORE/unfinished/                         what is being made; empty after a start
    STORE/quarantine/                         data files that cannot be read; nothing removes them

Safe on any thread; the lock is a process's.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Collection, Generator
from pathlib import Path

from otel_feedback.errors import FeedbackError
from otel_feedback.journal.files import make_private, open_private

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["StoreBusyError", "StoreError", "StoreFolder", "free_name", "publish", "replace_file"]

EVENTS, FEEDBACK, ERASED = "events", "feedback", "erased"
TABLES = (EVENTS, FEEDBACK, ERASED, "accounts", "dead_letters")
"""Whose rows are in the files; `erased` are hashes of the ids of what rules have erased, so that what comes of it later is known."""
GRACE_S = 300.0
"""How long a file that the manifest no longer names stays, for readers that have begun with it."""


class StoreError(FeedbackError):
    """The store cannot be used; the message says what is wrong with which file."""


class StoreBusyError(StoreError):
    """The store has a writer already."""


class StoreFolder:
    """The places in a store.

    Args:
        path: The folder; made, for this user only, when something is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest = path / "manifest.json"
        self.erasures = path / "erasures.json"
        self.events = path / "events"
        self.unfinished = path / "unfinished"
        self.quarantine = path / "quarantine"

    def day(self, day: str, table: str = "events") -> Path:
        """Return the folder of a day, such as `2026-03-02`, of a table."""
        return self.path / table / f"day={day}"

    @contextlib.contextmanager
    def writing(self) -> Generator[None, None, None]:
        """Be the one writer.

        Raises:
            StoreBusyError: Another process is.
            OSError: The folder cannot be made, or is somebody else's.
        """
        make_private(self.path)
        with self._locked("lock", f"{self.path} has a writer already"):
            for folder in (self.events, self.unfinished):
                make_private(folder)
            for left in self.unfinished.iterdir():  # by a writer that died
                left.unlink()
            yield

    @contextlib.contextmanager
    def changing_rules(self) -> Generator[None, None, None]:
        """Be the only one that changes the rules of erasure; the others wait.

        Raises:
            OSError: The folder is not there, or somebody else's.
        """
        with self._locked("erasures.lock", None):
            yield

    @contextlib.contextmanager
    def _locked(self, name: str, refusal: str | None) -> Generator[None, None, None]:
        if fcntl is None:
            raise StoreError("a store needs a system with flock, such as Linux or macOS")
        file = open_private(self.path / name, os.O_RDWR | os.O_CREAT)
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if refusal is None else fcntl.LOCK_NB))
            except BlockingIOError:
                owner = os.pread(file, 32, 0).decode("ascii", "replace").strip()
                raise StoreBusyError(f"{refusal}{f' (process {owner})' if owner else ''}") from None
            os.ftruncate(file, 0)
            with contextlib.suppress(OSError):  # a full disk; the lock is what counts
                os.pwrite(file, b"%d\n" % os.getpid(), 0)
            yield
        finally:
            os.close(file)

    def data_files(self) -> set[str]:
        """Return the data files that are there, as the manifest names them."""
        return {str(path.relative_to(self.path)) for table in TABLES for path in self.path.glob(f"{table}/day=*/*")}

    def sweep(self, named: Collection[str], *, all_of: Collection[str] = ()) -> None:
        """Delete the data files that the manifest does not name, a while after they were last touched.

        Args:
            named: By the manifest: paths below the store.
            all_of: Those that go at once.
        """
        before_s = time.time() - GRACE_S
        for name in self.data_files() - {*named}:
            path = self.path / name
            with contextlib.suppress(FileNotFoundError):
                if name in all_of or path.stat().st_mtime < before_s:
                    path.unlink()
        for folder in (each for table in TABLES for each in self.path.glob(f"{table}/day=*")):
            with contextlib.suppress(OSError):  # is not empty
                folder.rmdir()

    def set_aside(self, name: str) -> None:
        """Have a data file in quarantine, too; where it is now it stays until nothing names it.

        Raises:
            OSError: The disk does not take it.
        """
        make_private(self.quarantine)
        kept = self.quarantine / Path(name).name
        kept.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):  # it is gone: that is what is wrong with it
            try:
                kept.hardlink_to(self.path / name)
            except OSError:  # a file system without
                shutil.copyfile(self.path / name, kept)
                kept.chmod(0o600)

    def retire(self, names: Collection[str]) -> None:
        """Note that these files are named no longer from now on: their grace begins."""
        for name in names:
            with contextlib.suppress(OSError):
                os.utime(self.path / name)


def free_name(suffix: str) -> str:
    """Return a name that nothing has had and nothing will have; later ones sort after it."""
    return f"{int(time.time() * 1e3):013d}-{secrets.token_hex(6)}{suffix}"


def publish(made: Path, place: Path) -> None:
    """Move a file that is complete to its place, so that it is there after a loss of power, too."""
    _sync(made)
    made.chmod(0o600)
    if not place.parent.is_dir():
        make_private(place.parent)
        _sync(place.parent.parent)
    made.replace(place)
    _sync(place.parent)


def replace_file(path: Path, content: bytes) -> None:
    """Put content in the place of a file's, as a whole or not at all.

    Raises:
        OSError: It cannot be written; the file is as it was.
    """
    made = path.with_name(f"{path.name}.new")
    try:
        file = open_private(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        with os.fdopen(file, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        made.replace(path)
    except OSError:
        with contextlib.suppress(OSError):  # it may be what the disk is full of
            made.unlink()
        raise
    _sync(path.parent)


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
