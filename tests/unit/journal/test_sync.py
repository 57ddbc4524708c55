"""Durability: with "fsync" an append is on the platter when it returns; with "interval" it never waits for one."""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.journals.disk import (
    KAFKA,
    append,
    append_many,
    close_action,
    crash,
    deliver_all,
    folder_of,
    journal_in,
    segment_size,
    segments,
)
from tests.pace import Patience


class Synced:
    """Stands in for `os.fsync`: what was synced how far, and by whom."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: dict[int, int] = {}  # by inode
        self.names: dict[int, set[str]] = {}  # by inode of the folder
        self.threads: set[int] = set()
        self.count = 0
        self.before: Callable[[], object] = lambda: None
        monkeypatch.setattr(os, "fsync", self)

    def __call__(self, file: int) -> None:
        self.before()
        self.count += 1
        self.threads.add(threading.get_ident())
        seen = os.fstat(file)
        self.sizes[seen.st_ino] = seen.st_size
        if stat.S_ISDIR(seen.st_mode):
            self.names[seen.st_ino] = set(os.listdir(file))

    def has_all_of(self, folder: Path) -> bool:
        """Every segment to its last byte, and the names that lead to it."""
        inode, parent = folder.stat().st_ino, folder.parent.stat().st_ino
        return (
            all(self.sizes.get(path.stat().st_ino, 0) >= segment_size(path) for path in segments(folder))
            and {path.name for path in segments(folder)} <= self.names.get(inode, set())
            and folder.name in self.names.get(parent, set())
        )


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> Synced:
    return Synced(monkeypatch)


def test_with_fsync_every_append_is_synced_when_it_returns(tmp_path: Path, synced: Synced) -> None:
    """Also what was written to the segment that the append ended, and the name of the one that it began."""
    journal, _ = journal_in(tmp_path / "journal", durability="fsync")
    journal.cursor(*KAFKA, durable=True)
    for number in range(60):
        append(journal, f"e{number}", size=300)
        assert synced.has_all_of(folder_of(journal)), number
    assert len(segments(folder_of(journal))) > 3
    assert synced.threads == {threading.get_ident()}


def test_with_fsync_one_sync_serves_all_who_wait(tmp_path: Path, synced: Synced) -> None:
    journal, _ = journal_in(tmp_path / "journal", durability="fsync")
    append(journal, "first")
    began, wait = threading.Event(), threading.Event()

    def slow() -> None:
        began.set()
        assert wait.wait(30)

    synced.before, synced.count = slow, 0
    threads = [threading.Thread(target=append, args=(journal, f"e{number}")) for number in range(8)]
    threads[0].start()
    assert began.wait()
    for thread in threads[1:]:
        thread.start()
    patience = Patience(30)
    while journal.end < 9 and not patience.is_over:  # all are appended, and wait
        time.sleep(0.001)
    assert journal.end == 9, "an append that waits for the disk holds up no other's"
    wait.set()
    for thread in threads:
        thread.join()
    assert synced.count == 2
    assert synced.has_all_of(folder_of(journal))


def test_with_interval_the_appending_thread_never_syncs(tmp_path: Path, synced: Synced) -> None:
    journal, clock = journal_in(tmp_path / "journal")
    append_many(journal, 60, size=300)
    assert synced.count == 0
    assert not synced.has_all_of(folder_of(journal))
    thread = threading.Thread(target=journal.tend)
    thread.start()
    thread.join()
    assert synced.has_all_of(folder_of(journal)), "sealed segments and names, too"
    assert threading.get_ident() not in synced.threads
    count = synced.count
    append_many(journal, 1)
    assert journal.tend() is True, "there is something to sync"
    assert synced.count == count, "not before the interval has passed"
    clock.pass_time()
    journal.tend()
    assert synced.count > count
    assert synced.has_all_of(folder_of(journal))
    assert journal.tend() is False


def test_closing_syncs(tmp_path: Path, synced: Synced) -> None:
    journal, _ = journal_in(tmp_path / "journal")
    journal.cursor(*KAFKA, durable=True)
    append_many(journal, 60, size=300)
    assert journal.secure() == 60
    assert synced.has_all_of(folder_of(journal))
    append_many(journal, 1)
    journal.close()
    assert synced.has_all_of(folder_of(journal))


@pytest.mark.parametrize("durability", ["fsync", "interval"])
def test_a_sync_that_fails_is_said_and_heals(tmp_path: Path, synced: Synced, durability: str) -> None:
    journal, clock = journal_in(tmp_path / "journal", durability=durability)
    cursor = journal.cursor(*KAFKA, durable=True)
    append_many(journal, 3)

    def fail() -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    synced.before = fail
    append_many(journal, 3)
    journal.tend()
    assert "Input/output error" in (journal.health().problem or "")
    append_many(journal, 3)
    synced.before = lambda: None
    clock.pass_time()
    journal.tend()
    assert journal.health().problem is None
    assert journal.secure() == 9
    append_many(journal, 1)
    assert deliver_all(cursor) == list(range(10))
    crash(journal)
    (adopted,) = journal_in(tmp_path / "journal")[0].adopt([KAFKA], close_action)
    assert deliver_all(adopted.cursors[KAFKA]) == list(range(10))
