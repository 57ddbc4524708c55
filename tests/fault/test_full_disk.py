"""A disk that is full, really: events go on in memory, nothing is lost, and what is free again is used."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_feedback.journal.cursor import JournalCursor
from otel_feedback.journal.disk import DiskJournal
from tests.fault.small_disk import FULL, PAGE_BYTES, SmallDisk
from tests.journals.disk import (
    BOTH,
    KAFKA,
    OTLP,
    SMALL,
    Appended,
    Clock,
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
    segments,
    started,
)
from tests.support import ROOT, run_python

LIMITS = SMALL._replace(segment_bytes=64 * 1024, tail_bytes=64 * 1024)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with SmallDisk(tmp_path / "disk") as made:
        yield made


@pytest.fixture
def root(disk: SmallDisk) -> Path:
    return disk.path / "journal"


def begin(root: Path) -> tuple[DiskJournal, Clock, JournalCursor]:
    journal, clock = journal_in(root, LIMITS)
    return journal, clock, journal.cursor(*KAFKA, durable=True)


def tended(journal: DiskJournal, clock: Clock) -> str | None:
    """Look after the journal; return what is wrong with the disk."""
    clock.pass_time()
    assert journal.tend() is (journal.health().problem is not None)
    return journal.health().problem


def append_until_full(journal: DiskJournal) -> list[Appended]:
    appended: list[Appended] = []
    while journal.health().problem is None:
        assert len(appended) < 5_000
        appended.append(append(journal, f"e{journal.end}", size=1_000))
    health = journal.health()
    assert health.kind == "memory"
    assert FULL in (health.problem or "")
    return appended


def assert_has(cursor: JournalCursor, appended: list[Appended]) -> None:
    cursor.rewind()
    for record, its in zip(lease_all(cursor), appended, strict=True):
        assert_same(record, its)
    assert cursor.account().lost == {}
    assert_balanced(cursor)


@pytest.mark.brief
def test_nothing_is_lost_on_a_full_disk_and_space_that_is_free_again_is_used(disk: SmallDisk, root: Path) -> None:
    disk.ballast.write_bytes(b"\0" * 1_000_000)
    journal, clock, cursor = begin(root)
    journal.note_start(started("open"))
    appended = append_until_full(journal)
    assert len(appended) > 300
    appended += append_many(journal, 300, size=1_000)
    journal.note_start(started("later"))
    for _ in range(3):
        assert FULL in (tended(journal, clock) or "")
    assert_has(cursor, appended)
    assert journal.secure() < len(appended)
    disk.free()
    assert tended(journal, clock) is None
    assert journal.secure() == len(appended)
    appended += append_many(journal, 30, size=1_000)
    assert_has(cursor, appended)
    crash(journal)
    (adopted,) = journal_in(root)[0].adopt([KAFKA], close_action)
    records = lease_all(adopted.cursors[KAFKA])
    for record, its in zip(records, appended, strict=False):
        assert_same(record, its)
    assert [record.event_id for record in records[len(appended) :]] == ["open", "later"]
    assert adopted.cursors[KAFKA].account().lost == {}
    assert adopted.kept_aside.damaged_bytes == 0, "what did not fit was taken back"


def test_a_process_that_dies_on_a_full_disk_leaves_all_that_was_written(disk: SmallDisk, root: Path) -> None:
    journal, _, _ = begin(root)
    append_until_full(journal)
    written = journal.secure()
    crash(journal)
    (adopted,) = journal_in(root)[0].adopt([KAFKA], close_action)
    assert deliver_all(adopted.cursors[KAFKA]) == list(range(written))
    assert adopted.tend() is True
    adopted.close()
    assert list(root.iterdir()) == []


def test_what_is_delivered_makes_the_room_that_is_missing(disk: SmallDisk, root: Path) -> None:
    journal, clock, cursor = begin(root)
    append_until_full(journal)
    disk.fill()
    append_many(journal, 100, size=1_000)
    deliver(cursor, lease_all(cursor)[:-50])
    tended(journal, clock)
    assert tended(journal, clock) is None
    assert journal.secure() == journal.end
    crash(journal)
    (adopted,) = journal_in(root)[0].adopt([KAFKA], close_action)
    assert deliver_all(adopted.cursors[KAFKA])[-50:] == list(range(journal.end - 50, journal.end))


def test_a_process_that_begins_on_a_full_disk_heals(disk: SmallDisk, root: Path) -> None:
    disk.fill()
    journal, clock, cursor = begin(root)
    appended = append_many(journal, 200, size=300)
    assert FULL in (tended(journal, clock) or "")
    assert_has(cursor, appended)
    disk.free()
    assert tended(journal, clock) is None
    assert journal.secure() == 200
    assert_has(cursor, appended)


def test_cursors_that_do_not_fit_leave_those_that_were_there(disk: SmallDisk, root: Path) -> None:
    """A file that was written by half must not replace a whole one: what was delivered would come again."""
    journal, clock, cursor = begin(root)
    append_many(journal, 2_000)
    records = lease_all(cursor)
    deliver(cursor, records[:100])
    tended(journal, clock)
    deliver(cursor, records[101::2])  # many gaps, so that it takes two pages
    disk.fill(but=PAGE_BYTES)
    clock.pass_time()
    assert journal.tend() is True, "there is something left to write down"
    crash(journal)
    disk.free()
    (adopted,) = journal_in(root)[0].adopt([KAFKA], close_action)
    assert deliver_all(adopted.cursors[KAFKA]) == list(range(100, 2_000))


def test_an_orphan_on_a_full_disk_is_delivered_and_its_actions_are_closed_later(disk: SmallDisk, root: Path) -> None:
    dead, _ = journal_in(root, LIMITS)
    for name in BOTH:
        dead.cursor(*name, durable=True)
    for number in range(50):  # their events take more than the page that may be free
        dead.note_start(started(f"open{number}"))
    append_many(dead, 50)
    crash(dead)
    disk.fill()
    journal, _, _ = begin(root)
    closed = 0
    for attempt in range(3):
        (adopted,) = journal.adopt(BOTH, close_action)
        got = {name: deliver_all(cursor) for name, cursor in adopted.cursors.items()}
        # repeats, because the cursors could not be written either
        assert got[KAFKA] == got[OTLP] == list(range(adopted.end))
        assert adopted.end - 50 >= closed, "what fitted into the last page stays closed"
        closed = adopted.end - 50
        assert adopted.kept_aside.damaged_bytes == 0
        assert closed < 50 if attempt < 2 else closed == 50
        adopted.tend()
        adopted.close()
        assert folder_of(dead).exists() is (attempt < 2)
        if attempt == 1:
            disk.free()


def test_an_action_that_ended_while_the_disk_took_nothing_is_not_told_as_one_that_never_did(root: Path) -> None:
    """Its event is lost with the process, and counted; what never ended is told as that."""
    limits = LIMITS._replace(min_free_bytes=2**60)
    dead, clock = journal_in(root, limits)
    cursor = dead.cursor(*KAFKA, durable=True)
    for name in ("ends", "goes on"):
        dead.note_start(started(name))
    append_many(dead, 5)
    assert "bytes are free" in (tended(dead, clock) or "")
    append(dead, "ends", size=100)
    kept = dead.secure()
    cursor.give_up("shutdown", kept)
    assert (kept, cursor.account().lost) == (5, {"shutdown": 1})
    dead.close()
    crash(dead)
    (adopted,) = journal_in(root)[0].adopt([KAFKA], close_action)
    got = lease_all(adopted.cursors[KAFKA])
    assert [record.event_id for record in got[5:]] == ["goes on"]
    assert adopted.cursors[KAFKA].account().lost == {"shutdown": 1}
    assert adopted.kept_aside.damaged_bytes == 0


@pytest.mark.parametrize("is_forgotten", [False, True])
def test_nor_is_one_whose_end_was_the_first_that_the_disk_did_not_take(
    disk: SmallDisk, root: Path, *, is_forgotten: bool
) -> None:
    dead, _ = journal_in(root, LIMITS._replace(min_free_bytes=500_000))
    cursor = dead.cursor(*KAFKA, durable=True)
    ends = [f"ends{number}" for number in range(100 if is_forgotten else 1)]
    for name in ("goes on", *ends):
        dead.note_start(started(name))
    append_many(dead, 5)
    disk.fill()
    if is_forgotten:
        dead.forget_start(*ends)
    else:
        append(dead, *ends, size=PAGE_BYTES)
    assert FULL in (dead.health().problem or "")
    disk.fill(but=50_000)
    kept = dead.secure()
    cursor.give_up("shutdown", kept)
    assert (kept, cursor.account().lost) == (5, {} if is_forgotten else {"shutdown": 1})
    dead.close()
    crash(dead)
    (adopted,) = journal_in(root)[0].adopt([KAFKA], close_action)
    got = lease_all(adopted.cursors[KAFKA])
    assert [record.event_id for record in got[5:]] == ["goes on"]


def test_an_action_whose_event_dies_in_memory_with_its_process_is_told_as_one_that_was_lost(
    disk: SmallDisk, root: Path
) -> None:
    """Also right after room was made of what another process left: until its event is on disk, its start is all there is."""
    left, _ = journal_in(root)
    left.cursor(*KAFKA, durable=True)
    append_many(left, 40, size=1_000)
    crash(left)
    dead, clock = journal_in(root, SMALL._replace(max_bytes=20_000))
    dead.cursor(*KAFKA, durable=True)
    (theirs,) = dead.adopt([KAFKA], close_action)
    for name in ("ends", "goes on"):
        dead.note_start(started(name))
    disk.fill()
    append_until_full(dead)
    append(dead, "ends")
    assert FULL in (tended(dead, clock) or "")
    assert theirs.cursors[KAFKA].account().lost["retention"] > 0, "room was made"
    crash(dead)
    disk.free()
    adopted = {each.origin: each for each in journal_in(root)[0].adopt([KAFKA], close_action)}
    got = lease_all(adopted[dead.origin].cursors[KAFKA])
    assert {"ends", "goes on"} <= {record.event_id for record in got}


def test_a_disk_that_is_read_only_leaves_events_in_memory_until_it_is_not(disk: SmallDisk, root: Path) -> None:
    disk.unmount()
    disk.mount("ro")
    journal, clock, cursor = begin(root)
    appended = append_many(journal, 100, size=300)
    assert "Read-only file system" in (tended(journal, clock) or "")
    assert_has(cursor, appended)
    disk.make_writable()
    assert tended(journal, clock) is None
    assert journal.secure() == 100
    assert_has(cursor, appended)


def test_a_disk_that_is_taken_away_is_replaced_by_what_is_there(disk: SmallDisk, root: Path) -> None:
    journal, clock, cursor = begin(root)
    appended = append_many(journal, 50, size=300)
    disk.unmount()
    appended += append_many(journal, 50, size=300)
    assert_has(cursor, appended)
    assert tended(journal, clock) is None
    assert_has(cursor, appended)
    assert segments(folder_of(journal)) != []
    crash(journal)
    (adopted,) = journal_in(root)[0].adopt([KAFKA], close_action)
    assert deliver_all(adopted.cursors[KAFKA]) == list(range(100))


def test_the_space_that_is_to_stay_free_stays_free(disk: SmallDisk, root: Path) -> None:
    floor = 1_000_000
    journal, clock = journal_in(root, LIMITS._replace(min_free_bytes=floor))
    cursor = journal.cursor(*KAFKA, durable=True)
    for _ in range(100):
        append_many(journal, 30, size=1_000)
        assert tended(journal, clock) is None
        seen = os.statvfs(disk.path)
        assert seen.f_bavail * seen.f_frsize >= floor
    assert_balanced(cursor)
    lost = cursor.account().lost["retention"]
    assert 2_000 < lost < 3_000 - 500
    assert [record.sequence for record in lease_all(cursor)] == list(range(lost, 3_000))


def test_a_file_that_may_not_grow_any_more_kills_nobody(tmp_path: Path) -> None:
    """A limit on the size of files is told by a signal, which Python ignores; then by an error, as a full disk is."""
    ended = run_python(
        f"""
        import resource
        from pathlib import Path
        from tests.journals.disk import *

        journal, clock = journal_in(Path({str(tmp_path)!r}), SMALL._replace(segment_bytes=8_000_000))
        cursor = journal.cursor(*KAFKA, durable=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        appended = []
        problems = set()
        for _ in range(100):
            appended += append_many(journal, 10, size=300)
            clock.pass_time()
            problems.add(journal.health().problem)
            journal.tend()
        assert any("File too large" in (problem or "") for problem in problems), problems
        for record, its in zip(lease_all(cursor), appended, strict=True):
            assert_same(record, its)
        assert journal.secure() == 1_000
        assert max(path.stat().st_size for path in segments(folder_of(journal))) <= 20_000
        crash(journal)
        (adopted,) = journal_in(Path({str(tmp_path)!r}))[0].adopt([KAFKA], close_action)
        assert deliver_all(adopted.cursors[KAFKA]) == list(range(1_000))
        assert adopted.kept_aside.damaged_bytes == 0
        """,
        {"PYTHONPATH": str(ROOT)},
    )
    assert ended.returncode == 0, ended.stderr
    assert len(ended.stderr.splitlines()) == 2, "however often it fails and heals, each is said once a minute"
