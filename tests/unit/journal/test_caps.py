"""The journal's caps: size, age, and what is left free of the disk; what goes is the oldest, and each of it is counted."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from otel_feedback.journal.cursor import JournalCursor
from otel_feedback.journal.disk import DiskJournal
from otel_feedback.journal.limits import DiskLimits
from tests.journals.disk import (
    BOTH,
    KAFKA,
    OTLP,
    SMALL,
    Clock,
    append_many,
    assert_balanced,
    close_action,
    crash,
    deliver,
    deliver_all,
    folder_of,
    journal_in,
    lease_all,
    segment_bytes,
    segments,
    started,
    tend,
)

HOUR_S = 3_600.0


def begin(root: Path, limits: DiskLimits = SMALL) -> tuple[DiskJournal, Clock, JournalCursor]:
    journal, clock = journal_in(root, limits)
    return journal, clock, journal.cursor(*KAFKA, durable=True)


def leave_orphan(root: Path, count: int) -> Path:
    """A process appends and dies; return its folder."""
    dead, _, _ = begin(root)
    append_many(dead, count, size=300)
    crash(dead)
    return folder_of(dead)


def make_old(path: Path, age_s: float) -> None:
    then = time.time() - age_s
    os.utime(path, (then, then))


def assert_lost_the_oldest(cursor: JournalCursor, end: int) -> int:
    """What is left follows without a gap; return how many were lost."""
    assert_balanced(cursor)
    assert set(cursor.account().lost) == {"retention"}
    lost = cursor.account().lost["retention"]
    assert sum(loss.records for loss in cursor.losses()) == lost
    assert [record.sequence for record in lease_all(cursor)] == list(range(lost, end))
    return lost


# -- size ----------------------------------------------------------------------------------------------------


def test_beyond_the_size_the_oldest_segment_goes_and_is_counted(root: Path) -> None:
    journal, _, cursor = begin(root, SMALL._replace(max_bytes=40_000))
    for _ in range(200):
        append_many(journal, 1, size=300)
        assert segment_bytes(folder_of(journal)) <= 40_000
    lost = assert_lost_the_oldest(cursor, 200)
    assert 100 < lost < 150
    crash(journal)  # before anything was tended
    (adopted,) = journal_in(root)[0].adopt([KAFKA], close_action)
    assert deliver_all(adopted.cursors[KAFKA]) == list(range(lost, 200))
    assert adopted.cursors[KAFKA].account().lost == {"retention": lost}


def test_what_everybody_has_does_not_count(root: Path) -> None:
    journal, clock, cursor = begin(root, SMALL._replace(max_bytes=40_000))
    for _ in range(50):
        append_many(journal, 20, size=300)
        deliver(cursor, lease_all(cursor))
        tend(journal, clock)
    assert cursor.account().lost == {}
    assert len(segments(folder_of(journal))) == 1


def test_a_record_larger_than_the_cap_is_still_delivered(root: Path) -> None:
    journal, clock, cursor = begin(root, SMALL._replace(max_bytes=40_000))
    append_many(journal, 1, size=100_000)
    tend(journal, clock)
    assert len(lease_all(cursor)) == 1
    append_many(journal, 20, size=300)
    assert segment_bytes(folder_of(journal)) <= 40_000
    assert cursor.account().lost == {"retention": 1}
    assert [record.sequence for record in lease_all(cursor)] == list(range(1, 21))


def test_what_dead_processes_left_goes_first(root: Path) -> None:
    leave_orphan(root, 100)
    journal, clock, own = begin(root, SMALL._replace(max_bytes=60_000))
    (adopted,) = journal.adopt([KAFKA], close_action)
    theirs = adopted.cursors[KAFKA]
    assert journal.health().bytes > 40_000
    append_many(journal, 60, size=300)
    tend(journal, clock)
    assert journal.health().bytes <= 60_000
    assert own.account().lost == {}
    assert 0 < assert_lost_the_oldest(theirs, 100) < 100
    append_many(journal, 1, size=70_000)
    tend(journal, clock)
    assert theirs.account().lost == {"retention": 100}
    assert adopted.tend() is True
    adopted.close()
    assert not adopted.folder.path.exists()


def test_an_adopted_journal_that_was_let_go_of_is_not_touched_any_more(root: Path) -> None:
    """It may be somebody else's by now."""
    leave_orphan(root, 100)
    journal, clock, _ = begin(root, SMALL._replace(max_bytes=40_000))
    (adopted,) = journal.adopt([KAFKA], close_action)
    adopted.close()
    there = segments(adopted.folder.path)
    append_many(journal, 50, size=300)
    tend(journal, clock)
    assert segments(adopted.folder.path) == there
    assert journal.health().bytes == segment_bytes(folder_of(journal))


def test_actions_without_events_do_not_fill_the_disk(root: Path) -> None:
    journal, _, _ = begin(root)
    journal.note_start(started("open"))
    for number in range(500):
        journal.note_start(started(f"a{number}"))
        journal.forget_start(f"a{number}")
        assert segment_bytes(folder_of(journal)) < 6_000
    crash(journal)
    (adopted,) = journal_in(root)[0].adopt([KAFKA], close_action)
    assert [record.event_id for record in lease_all(adopted.cursors[KAFKA])] == ["open"]


def test_many_open_actions_do_not_begin_a_segment_for_each_event(root: Path) -> None:
    """Each segment begins with them, and they alone are more than a segment."""
    journal, _, cursor = begin(root)
    for number in range(100):
        journal.note_start(started(f"a{number}"))
    append_many(journal, 100, size=300)
    assert len(segments(folder_of(journal))) < 100 * 700 / SMALL.segment_bytes + 2
    assert len(lease_all(cursor)) == 100


# -- age -----------------------------------------------------------------------------------------------------


def test_segments_that_are_too_old_go(root: Path) -> None:
    journal, clock, cursor = begin(root, SMALL._replace(max_age_s=HOUR_S))
    append_many(journal, 40, size=300)
    first, second, *_ = segments(folder_of(journal))
    make_old(first, HOUR_S - 60)
    tend(journal, clock)
    assert cursor.account().lost == {}
    make_old(first, HOUR_S + 60)
    tend(journal, clock)
    assert assert_lost_the_oldest(cursor, 40) == int(second.stem)
    crash(journal)
    (adopted,) = journal_in(root)[0].adopt([KAFKA], close_action)
    assert adopted.cursors[KAFKA].account().lost == {"retention": int(second.stem)}


def test_the_segment_that_is_written_to_grows_old_too(root: Path) -> None:
    """A process that records seldom must not keep events for ever."""
    journal, clock, cursor = begin(root, SMALL._replace(max_age_s=HOUR_S))
    journal.note_start(started("open"))
    append_many(journal, 3)
    (only,) = segments(folder_of(journal))
    make_old(only, HOUR_S + 60)
    tend(journal, clock)
    assert cursor.account().lost == {"retention": 3}
    assert not only.exists()
    append_many(journal, 1)
    assert [record.sequence for record in lease_all(cursor)] == [3]
    crash(journal)
    (adopted,) = journal_in(root)[0].adopt([KAFKA], close_action)
    assert [record.event_id for record in lease_all(adopted.cursors[KAFKA])] == ["e3", "open"]


def test_what_dead_processes_left_grows_old_too(root: Path) -> None:
    folder = leave_orphan(root, 40)
    journal, clock, _ = begin(root, SMALL._replace(max_age_s=HOUR_S))
    append_many(journal, 1)
    (adopted,) = journal.adopt([KAFKA], close_action)
    first, second, *_ = segments(folder)
    make_old(first, HOUR_S + 60)
    tend(journal, clock)
    assert assert_lost_the_oldest(adopted.cursors[KAFKA], 40) == int(second.stem)
    crash(journal)
    again = {adopted.folder.path: adopted for adopted in journal_in(root)[0].adopt([KAFKA], close_action)}
    assert again[folder].cursors[KAFKA].account().lost == {"retention": int(second.stem)}


def test_what_nobody_comes_for_does_not_stay_for_ever(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = leave_orphan(root, 40)
    journal, _ = journal_in(root, SMALL._replace(max_age_s=HOUR_S))
    assert journal.adopt([OTLP], close_action) == []
    assert folder.exists()
    for path in segments(folder):
        make_old(path, HOUR_S + 60)
    assert journal.adopt([OTLP], close_action) == []
    assert not folder.exists()
    told = [record.getMessage() for record in caplog.records if "no process came for" in record.getMessage()]
    assert sum(int(line.split(": ")[1].split()[0]) for line in told) == 40


def test_a_clock_that_is_set_ahead_drops_nothing_that_is_new(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a machine wakes with the clock of long ago, and is told the time some seconds later."""
    folder = leave_orphan(root, 40)
    journal, clock, cursor = begin(root, SMALL._replace(max_age_s=HOUR_S))
    append_many(journal, 40, size=300)
    (adopted,) = journal.adopt([KAFKA], close_action)
    really, monotonic = time.time, time.monotonic
    monkeypatch.setattr(time, "time", lambda: really() + 20 * HOUR_S)
    tend(journal, clock)
    assert cursor.account().lost == adopted.cursors[KAFKA].account().lost == {}
    assert folder.is_dir()
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + HOUR_S + 60)
    monkeypatch.setattr(time, "time", lambda: really() + 21 * HOUR_S + 60)
    tend(journal, clock)
    assert adopted.cursors[KAFKA].account().lost == {"retention": 40}, "an hour later it is as old as it looks"
    assert cursor.account().lost["retention"] >= 30


# -- what is left free ---------------------------------------------------------------------------------------


def test_where_less_is_free_than_wanted_events_stay_in_memory(root: Path) -> None:
    journal, clock, cursor = begin(root, SMALL._replace(min_free_bytes=2**62, memory_bytes=10**6))
    append_many(journal, 44, size=300)
    tend(journal, clock)
    for _ in range(2):
        health = journal.health()
        assert health.kind == "memory"
        assert f"less than {2**62:,} bytes are free" in (health.problem or "")
        append_many(journal, 1)
        tend(journal, clock)
    assert len(segments(folder_of(journal))) <= 1
    lost = assert_lost_the_oldest(cursor, 46)
    assert lost <= 44, "the newest segment stays, and what came later is in memory"


def test_space_that_is_free_again_is_used(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = 10_000
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_bavail=free, f_frsize=1))
    leave_orphan(root, 40)
    journal, clock, cursor = begin(root, SMALL._replace(min_free_bytes=5_000, memory_bytes=10**6))
    (adopted,) = journal.adopt([KAFKA], close_action)
    append_many(journal, 5, size=300)
    tend(journal, clock)
    assert journal.health().problem is None
    free = 4_000
    tend(journal, clock)
    assert adopted.cursors[KAFKA].account().lost == {"retention": 40}, "what is not ours goes first"
    append_many(journal, 30, size=300)
    tend(journal, clock)
    assert journal.health().kind == "memory"
    free = 6_000
    tend(journal, clock)
    assert journal.health().problem is None
    assert journal.secure() == 35
    crash(journal)
    (adopted,) = journal_in(root)[0].adopt(BOTH, close_action)
    assert deliver_all(adopted.cursors[KAFKA]) == list(range(35))
    assert cursor.account().lost == {}
