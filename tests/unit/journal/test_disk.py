"""The journal on disk, one promise at a time: what comes back, what is private, and what is refused."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from otel_feedback.events import codec
from otel_feedback.journal.disk import DiskJournal
from otel_feedback.journal.interface import CLOSED
from tests.journals.disk import (
    BOTH,
    KAFKA,
    OTLP,
    SMALL,
    append,
    append_many,
    assert_balanced,
    assert_same,
    close_action,
    crash,
    deliver,
    deliver_all,
    folder_of,
    journal_in,
    lease_all,
    outcome,
    segments,
    started,
    umask,
)

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "made" / "journal"


def all_of(root: Path) -> list[Path]:
    return [root, *root.rglob("*")]


# -- privacy -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [0, 0o022, 0o277, 0o777])
def test_folders_and_files_are_for_this_user_only_whatever_the_umask(root: Path, mask: int) -> None:
    with umask(mask):
        journal, clock = journal_in(root)
        cursor = journal.cursor(*KAFKA, durable=True)
        append_many(journal, 30, size=300)
        record, *_ = lease_all(cursor)
        deliver(cursor, [record])
        assert journal.quarantine(record, "kafka", "too_large", "by much")
        clock.pass_time()
        journal.tend()
    made = [root.parent, *all_of(root)]
    kinds = {path.name if path.parent == folder_of(journal) else path.suffix for path in made if path.is_file()}
    assert kinds >= {"lock", "cursors", ".jsonl"}, kinds
    assert len(segments(folder_of(journal))) > 1
    for path in made:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_the_directory_that_is_there_keeps_its_mode(root: Path) -> None:
    root.mkdir(parents=True)
    root.chmod(0o755)
    journal, _ = journal_in(root)
    append_many(journal, 1)
    assert stat.S_IMODE(root.stat().st_mode) == 0o755
    assert stat.S_IMODE(folder_of(journal).stat().st_mode) == 0o700


# -- what is refused -----------------------------------------------------------------------------------------


def assert_in_memory_only(journal: DiskJournal, why: str) -> None:
    """Events go on, health says why they are not on disk, and nothing raises."""
    cursor = journal.cursor(*KAFKA, durable=True)
    journal.note_start(started("open"))
    appended = append_many(journal, 40, size=200)
    journal.forget_start("open")
    assert journal.tend() is True, "the disk is to be tried again"
    health = journal.health()
    assert health.kind == "memory"
    assert health.problem is not None
    assert why in health.problem
    for record, its in zip(lease_all(cursor), appended, strict=True):
        assert_same(record, its)
    assert journal.secure() == 0, "nothing stays for another process"
    assert_balanced(cursor)
    journal.close()
    assert journal.append("k", b"{}", outcome("late"), sampled=True) == CLOSED


def test_a_directory_that_is_a_symbolic_link_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    root.parent.mkdir()
    root.symlink_to(tmp_path / "elsewhere")
    assert_in_memory_only(journal_in(root)[0], "symbolic link")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_link_to_nowhere_is_refused(root: Path, tmp_path: Path) -> None:
    root.parent.mkdir()
    root.symlink_to(tmp_path / "nowhere")
    assert_in_memory_only(journal_in(root)[0], "symbolic link")
    assert not (tmp_path / "nowhere").exists()


@only_root
def test_somebody_elses_directory_is_refused(root: Path) -> None:
    root.mkdir(parents=True)
    os.chown(root, 4_242, 4_242)
    assert_in_memory_only(journal_in(root)[0], "belongs to user 4242")
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("in_the_way", ["the directory", "a parent"])
def test_a_file_in_the_way_is_refused(root: Path, in_the_way: str) -> None:
    place = root if in_the_way == "the directory" else root.parent
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(b"")
    assert_in_memory_only(journal_in(root)[0], str(place))


@only_root
def test_what_is_refused_is_tried_again(root: Path) -> None:
    root.mkdir(parents=True)
    os.chown(root, 4_242, 4_242)
    journal, clock = journal_in(root)
    journal.cursor(*KAFKA, durable=True)
    appended = append_many(journal, 300)
    os.chown(root, os.geteuid(), -1)
    clock.pass_time()
    journal.tend()
    assert (journal.health().kind, journal.health().problem) == ("disk", None)
    assert journal.secure() == 300
    crash(journal)
    (adopted,) = journal_in(root)[0].adopt([KAFKA], close_action)
    for record, its in zip(lease_all(adopted.cursors[KAFKA]), appended, strict=True):
        assert_same(record, its)


def test_a_segment_that_is_a_link_is_not_read(root: Path, tmp_path: Path) -> None:
    journal, _ = journal_in(root)
    journal.cursor(*KAFKA, durable=True)
    append_many(journal, 30, size=300)
    first, *_ = segments(folder_of(journal))
    first.rename(tmp_path / "elsewhere")
    first.symlink_to(tmp_path / "elsewhere")
    crash(journal)
    (adopted,) = journal_in(root)[0].adopt([KAFKA], close_action)
    got = deliver_all(adopted.cursors[KAFKA])
    assert got == list(range(got[0], 30))
    assert adopted.cursors[KAFKA].account().lost == {"damaged": got[0]}


# -- memory --------------------------------------------------------------------------------------------------


def test_without_a_disk_memory_is_bounded_and_the_oldest_goes(root: Path) -> None:
    root.parent.mkdir()
    root.write_bytes(b"")
    journal, _ = journal_in(root, SMALL._replace(memory_bytes=5_000))
    cursor = journal.cursor(*KAFKA, durable=True)
    append_many(journal, 50, size=1_000)
    assert_balanced(cursor)
    lost = cursor.account().lost
    assert 44 < lost["retention"] < 50
    assert [record.sequence for record in lease_all(cursor)] == list(range(lost["retention"], 50))
    assert [(loss.first, loss.last) for loss in cursor.losses()] == [(0, lost["retention"] - 1)]
    append(journal, "huge", size=100_000)
    assert [record.event_id for record in lease_all(cursor)] == ["huge"], "the newest stays, however large"


def test_a_disk_that_is_well_needs_no_memory(root: Path) -> None:
    """Little memory for when the disk fails must not cost anything while it does not."""
    journal, _ = journal_in(root, SMALL._replace(memory_bytes=1_000, tail_bytes=4_000))
    cursor = journal.cursor(*KAFKA, durable=True)
    append_many(journal, 50, size=1_000)
    assert deliver_all(cursor) == list(range(50))
    assert cursor.account().lost == {}


# -- cursors -------------------------------------------------------------------------------------------------


def test_a_cursor_that_is_opened_late_is_known_to_whoever_adopts(root: Path) -> None:
    journal, _ = journal_in(root)
    journal.cursor(*KAFKA, durable=True)
    append_many(journal, 3)
    journal.cursor(*OTLP, durable=True)
    append_many(journal, 2)
    crash(journal)  # before anything was tended
    (adopted,) = journal_in(root)[0].adopt(BOTH, close_action)
    assert deliver_all(adopted.cursors[KAFKA]) == [0, 1, 2, 3, 4]
    assert deliver_all(adopted.cursors[OTLP]) == [3, 4]
    assert adopted.cursors[OTLP].account().appended == 2


def test_a_key_that_is_no_text_holds_up_nothing(root: Path) -> None:
    """A half of a character cannot be written; the events after it can."""
    journal, _ = journal_in(root)
    cursor = journal.cursor(*KAFKA, durable=True)
    event = outcome("e")
    for _ in range(100):
        journal.append("\ud83d" + "é" * 50_000, codec.encode(event), event, sampled=True)
    append_many(journal, 2)
    assert journal.secure() == 102
    assert journal.health().problem is None
    assert len(lease_all(cursor)) == 102
    crash(journal)
    (adopted,) = journal_in(root)[0].adopt([KAFKA], close_action)
    records = lease_all(adopted.cursors[KAFKA])
    assert [record.sequence for record in records] == list(range(102))
    assert records[0].key.startswith("?éé")


def test_a_record_between_that_is_settled_does_not_make_a_lease_shorter(root: Path) -> None:
    journal, _ = journal_in(root)
    cursor = journal.cursor(*KAFKA, durable=True)
    append_many(journal, 40, size=100)
    for record in lease_all(cursor)[1:30]:
        cursor.settle(record.sequence)
    cursor.rewind()
    assert [record.sequence for record in cursor.lease(5)] == [0, 30, 31, 32, 33]


def test_a_destination_that_ends_with_the_process_still_gets_what_is_on_disk(root: Path) -> None:
    journal, clock = journal_in(root)
    quick, slow = journal.cursor(*KAFKA, durable=True), journal.cursor("local", "here", durable=False)
    append_many(journal, 60, size=300)
    deliver_all(quick)
    clock.pass_time()
    journal.tend()
    assert deliver_all(slow) == list(range(60))
    clock.pass_time()
    journal.tend()
    assert len(segments(folder_of(journal))) == 1


def test_records_that_are_longer_than_what_is_read_at_once_are_read(root: Path) -> None:
    journal, _ = journal_in(root, SMALL._replace(segment_bytes=8_000_000))
    cursor = journal.cursor(*KAFKA, durable=True)
    appended = [append(journal, f"e{size}", size=size) for size in (10, 700_000, 10, 3_000_000, 10)]
    journal.note_start(started("open"))
    for record, its in zip(lease_all(cursor), appended, strict=True):
        assert_same(record, its)
    crash(journal)
    (adopted,) = journal_in(root)[0].adopt([KAFKA], close_action)
    *records, last = lease_all(adopted.cursors[KAFKA])
    for record, its in zip(records, appended, strict=True):
        assert_same(record, its)
    assert last.event_id == "open"
