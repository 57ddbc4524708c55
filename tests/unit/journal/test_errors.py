"""The journal where the system refuses: no more open files, and a disk that fails. Nothing is lost, and it heals."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from otel_feedback.journal import appending
from otel_feedback.journal import segments as segments_module
from otel_feedback.journal.files import append as append_to_file
from tests.journals.disk import (
    KAFKA,
    SMALL,
    append_many,
    close_action,
    crash,
    deliver_all,
    folder_of,
    journal_in,
    segment_bytes,
    tend,
)


def open_files() -> set[int]:
    return {int(path.name) for path in Path("/dev/fd").iterdir()}


@contextmanager
def no_more_files() -> Generator[None, None, None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            os.open(os.devnull, os.O_RDONLY)
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_too_many_open_files_lose_nothing(tmp_path: Path) -> None:
    journal, clock = journal_in(tmp_path / "journal", SMALL._replace(memory_bytes=10**6))
    cursor = journal.cursor(*KAFKA, durable=True)
    append_many(journal, 40, size=300)
    with no_more_files():
        append_many(journal, 40, size=300)
        assert cursor.lease(100) == []
        tend(journal, clock)
        assert "Too many open files" in (journal.health().problem or "")
    tend(journal, clock)
    assert journal.health().problem is None
    assert deliver_all(cursor) == list(range(80))
    assert cursor.account().lost == {}


def test_too_many_open_files_do_not_make_an_orphan_look_empty(tmp_path: Path) -> None:
    """Not being able to look into a folder must not be taken for nothing being in it."""
    dead, _ = journal_in(tmp_path / "journal", SMALL)
    dead.cursor(*KAFKA, durable=True)
    append_many(dead, 40, size=300)
    crash(dead)
    journal, _ = journal_in(tmp_path / "journal", SMALL)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(open_files()) + 20, hard))
        with pytest.raises(OSError, match="Too many open files"):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        adopted = journal.adopt([KAFKA], close_action)
        # with every number of descriptors that a step of the adoption may need
        while not adopted and len(taken) > 1:
            os.close(taken.pop())
            adopted = journal.adopt([KAFKA], close_action)
    finally:
        for file in taken:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(adopted) == 1
    cursor = adopted[0].cursors[KAFKA]
    with no_more_files():
        assert cursor.lease(100) == []
    assert deliver_all(cursor) == list(range(40))
    assert cursor.account().lost == {}


def test_a_disk_that_fails_again_and_again_costs_no_descriptors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes the beginning of a segment each time, and fails at the first event."""
    journal, clock = journal_in(tmp_path / "journal", SMALL)
    cursor = journal.cursor(*KAFKA, durable=True)
    append_many(journal, 1)
    tend(journal, clock)

    def fail(file: int, data: bytes) -> None:
        if b'"event_id"' in data:
            append_to_file(file, data[: len(data) // 2])
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        append_to_file(file, data)

    with monkeypatch.context() as patch:
        patch.setattr(segments_module, "append", fail)
        patch.setattr(appending, "write_locked", lambda file, data, length: -1)
        append_many(journal, 1)
        tend(journal, clock)
        before = len(open_files())
        for _ in range(20):
            tend(journal, clock)
            assert "Input/output error" in (journal.health().problem or "")
        assert len(open_files()) <= before
    tend(journal, clock)
    assert journal.health().problem is None
    assert journal.health().bytes == segment_bytes(folder_of(journal))
    crash(journal)
    (adopted,) = journal_in(tmp_path / "journal")[0].adopt([KAFKA], close_action)
    assert deliver_all(adopted.cursors[KAFKA]) == [0, 1]
    assert adopted.kept_aside.damaged_bytes == 0, "half a frame was taken back"
    assert cursor.account().lost == {}
