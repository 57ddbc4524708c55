"""Somebody removes, cuts or spoils what a living journal has on disk: it heals, and nothing that is known is lost."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from otel_feedback.events import codec
from otel_feedback.journal.cursor import JournalCursor
from otel_feedback.journal.disk import DiskJournal
from otel_feedback.journal.frames import MARK, Kind, scan
from otel_feedback.journal.memory import MemoryJournal
from tests.journals.disk import (
    KAFKA,
    SMALL,
    Clock,
    append_many,
    assert_balanced,
    close_action,
    crash,
    deliver,
    deliver_all,
    ended,
    folder_of,
    journal_in,
    lease_all,
    outcome,
    segment_bytes,
    segments,
    started,
    tend,
)

ROOMY = SMALL._replace(tail_bytes=1_000_000)
"""What is pending is in memory, too."""

Harm = Callable[[Path], object]


def the_directory(folder: Path) -> None:
    shutil.rmtree(folder.parent)


def the_folder(folder: Path) -> None:
    shutil.rmtree(folder)


def all_files(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def all_segments(folder: Path) -> None:
    for path in segments(folder):
        path.unlink()


def the_newest_segment(folder: Path) -> None:
    segments(folder)[-1].unlink()


def cut_the_newest_segment(folder: Path) -> None:
    os.truncate(segments(folder)[-1], 100)


def empty_the_newest_segment(folder: Path) -> None:
    os.truncate(segments(folder)[-1], 0)


def replace_the_folder(folder: Path) -> None:
    folder.rename(folder.with_name("away"))
    shutil.rmtree(folder.with_name("away"))
    folder.mkdir()


HARMS: list[Harm] = [
    the_directory, the_folder, all_files, all_segments, the_newest_segment, cut_the_newest_segment,
    empty_the_newest_segment, replace_the_folder,
]  # fmt: skip


@pytest.fixture(params=[2, 40], ids=["one segment", "many segments"])
def living(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[DiskJournal, Clock, JournalCursor]:
    """A journal with an open action and some records, of which a few are delivered, and a few leased."""
    journal, clock = journal_in(tmp_path / "journal", ROOMY)
    cursor = journal.cursor(*KAFKA, durable=True)
    journal.note_start(started("open"))
    append_many(journal, 2 + request.param, size=200)
    deliver(cursor, cursor.lease(2))
    tend(journal, clock)
    return journal, clock, cursor


@pytest.mark.parametrize("harm", HARMS)
def test_what_was_removed_or_cut_is_written_again_from_memory(
    living: tuple[DiskJournal, Clock, JournalCursor], harm: Harm
) -> None:
    journal, clock, cursor = living
    folder = folder_of(journal)
    harm(folder)
    append_many(journal, 5)
    tend(journal, clock)
    append_many(journal, 30, size=200)
    health = journal.health()
    assert (health.kind, health.problem) == ("disk", None)
    assert health.open_actions == 1
    assert_balanced(cursor)
    end = journal.end
    crash(journal)
    other, _ = journal_in(folder.parent)
    (adopted,) = other.adopt([KAFKA], close_action)
    theirs = adopted.cursors[KAFKA]
    assert deliver_all(theirs) == [*range(2, end + 1)], "the last one says that the open action was lost"
    assert theirs.account().lost == {}
    assert adopted.tend() is True
    adopted.close()
    assert not folder.exists()


@pytest.mark.parametrize("harm", HARMS)
def test_workers_go_on_over_what_was_removed_or_cut(
    living: tuple[DiskJournal, Clock, JournalCursor], harm: Harm
) -> None:
    journal, clock, cursor = living
    harm(folder_of(journal))
    assert lease_all(cursor) != []
    append_many(journal, 5)
    cursor.rewind()
    tend(journal, clock)
    assert deliver_all(cursor) == list(range(2, journal.end)), "all of it was in memory"
    tend(journal, clock)
    assert journal.health().bytes == segment_bytes(folder_of(journal))
    assert journal.health().segments == len(segments(folder_of(journal)))
    journal.forget_start("open")
    journal.close()
    assert list(folder_of(journal).parent.iterdir()) == []


@pytest.mark.parametrize("keep", [0, 1, 500, 1_000, 3_000])
def test_what_is_cut_off_the_active_segment_and_not_in_memory_is_counted(tmp_path: Path, keep: int) -> None:
    """What comes after is delivered, also before `tend()` has a look, and by a worker that was beyond the cut."""
    limits = SMALL._replace(tail_bytes=0, segment_bytes=8_000_000)
    journal, _ = journal_in(tmp_path / "journal", limits)
    ahead, behind = journal.cursor("ahead", "x", durable=True), journal.cursor("behind", "x", durable=True)
    append_many(journal, 20)
    assert len(ahead.lease(15)) == 15
    append_many(journal, 10)
    (segment,) = segments(folder_of(journal))
    os.truncate(segment, keep)
    kept = sum(frame.kind == Kind.EVENT for frame in scan(segment.read_bytes(), is_last=True).frames)
    append_many(journal, 5)
    assert [record.sequence for record in lease_all(ahead)] == [*range(15, 20), *range(30, 35)]
    assert ahead.account().lost == {"damaged": 10}
    assert [record.sequence for record in lease_all(behind)] == [*range(kept), *range(30, 35)]
    assert behind.account().lost == {"damaged": 30 - kept}
    assert_balanced(behind)


def test_damage_in_the_segment_that_is_written_to_costs_one_record(tmp_path: Path) -> None:
    """Also where the damaged frame says that it goes on beyond the end of the file."""
    limits = SMALL._replace(tail_bytes=0, segment_bytes=8_000_000)
    journal, _ = journal_in(tmp_path / "journal", limits)
    cursor = journal.cursor(*KAFKA, durable=True)
    append_many(journal, 20)
    (segment,) = segments(folder_of(journal))
    data = bytearray(segment.read_bytes())
    at = data.index(MARK, data.index(b'"e9"'))  # the frame of the event 10
    data[at + 10] ^= 0x01  # its length: 64 KB more
    segment.write_bytes(data)
    append_many(journal, 5)
    assert [record.sequence for record in lease_all(cursor)] == [n for n in range(25) if n != 10]
    assert cursor.account().lost == {"damaged": 1}
    assert 0 < journal.health().damaged_bytes < 400


def test_a_segment_that_is_begun_anew_is_read_from_its_beginning(tmp_path: Path) -> None:
    """While it has no event, a segment in which many actions began and ended is replaced by a shorter one."""
    journal, _ = journal_in(tmp_path / "journal", SMALL._replace(tail_bytes=0))
    cursor = journal.cursor(*KAFKA, durable=True)

    def begin_and_end_action() -> int:
        journal.note_start(started("a", text="x" * 150))
        journal.forget_start("a")
        return segments(folder_of(journal))[-1].stat().st_size

    while journal.health().segments < 2:
        append_many(journal, 1, size=300)
    before = journal.end
    full, newest = segments(folder_of(journal))
    full.write_bytes(full.read_bytes()[:-1] + b"!")
    while begin_and_end_action() < 4_000:
        pass
    # the last record before it cannot be read, so a worker looks for it in the segment that has none yet
    assert [record.sequence for record in lease_all(cursor)] == list(range(before - 1))
    while begin_and_end_action() > 2_000:
        pass
    while newest.stat().st_size < 4_200:
        append_many(journal, 1)
    assert [record.sequence for record in lease_all(cursor)] == list(range(before, journal.end))
    assert cursor.account().lost == {"damaged": 1}


def test_health_counts_bytes_that_two_destinations_found_damaged_once(tmp_path: Path) -> None:
    journal, _ = journal_in(tmp_path / "journal", SMALL)
    cursors = [journal.cursor(name, "x", durable=True) for name in ("a", "b", "c")]
    append_many(journal, 40, size=300)
    first, *_ = segments(folder_of(journal))
    os.truncate(first, first.stat().st_size - 10)
    for cursor in cursors:
        assert len(lease_all(cursor)) == 39
        assert cursor.account().lost == {"damaged": 1}
    damaged = journal.health().damaged_bytes
    assert 300 < damaged < 1_000
    kept = (tmp_path / "journal" / "quarantine" / f"{journal.origin.producer_id}.jsonl").read_text().splitlines()
    assert len(kept) == 1


def test_segments_that_somebody_removed_do_not_count_against_the_cap_for_ever(tmp_path: Path) -> None:
    limits = SMALL._replace(max_bytes=40_000)
    journal, clock = journal_in(tmp_path / "journal", limits)
    cursor = journal.cursor(*KAFKA, durable=True)
    for _ in range(10):
        append_many(journal, 20, size=500)
        for path in segments(folder_of(journal))[:-1]:
            path.unlink()
        deliver(cursor, lease_all(cursor))
        tend(journal, clock)
    assert journal.health().bytes == segment_bytes(folder_of(journal))
    before = cursor.account().lost
    append_many(journal, 20, size=500)
    assert len(lease_all(cursor)) == 20
    assert cursor.account().lost == before


@pytest.mark.parametrize("where", ["disk", "memory", "read back"])
def test_one_record_that_cannot_be_made_an_event_holds_up_no_other(root: Path, where: str) -> None:
    journal = MemoryJournal(10**9) if where == "memory" else journal_in(root, ROOMY if where == "disk" else SMALL)[0]
    cursor = journal.cursor(*KAFKA, durable=True)
    for number in range(9):
        event = outcome(f"e{number}", size=400 if where == "read back" else 0)
        if number in (4, 5):
            journal.append("key", msgspec.msgpack.encode(["not what an action leaves"]), ended(f"e{number}"), True)
        else:
            journal.append("key", codec.encode(event), event, True)
    leased = lease_all(cursor)
    assert [record.sequence for record in leased] == [0, 1, 2, 3, 6, 7, 8]
    deliver(cursor, leased)
    assert cursor.low == 9
    assert cursor.account().lost == {"damaged": 2}
