"""The room behind the last frame of a segment: it costs no disk, is no damage, and is gone once nobody writes there."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from otel_feedback.journal import appending
from otel_feedback.journal.ahead import LEAST_BYTES, MOST_BYTES
from otel_feedback.journal.files import write_locked
from otel_feedback.journal.frames import Kind, frame
from otel_feedback.journal.limits import DiskLimits
from tests.journals.disk import (
    KAFKA,
    append,
    append_many,
    close_action,
    crash,
    deliver_all,
    folder_of,
    journal_in,
    lease_all,
    segment_bytes,
    segment_size,
    segments,
    started,
    tend,
    write_behind,
)

ROOMY = DiskLimits(min_free_bytes=0, segment_bytes=8 * 2**20, tail_bytes=0)


def room_of(segment: Path) -> int:
    return segment.stat().st_size - segment_size(segment)


def test_room_is_made_for_what_is_written_next(tmp_path: Path) -> None:
    journal, clock = journal_in(tmp_path / "journal", ROOMY)
    append_many(journal, 1)
    (segment,) = segments(folder_of(journal))
    assert room_of(segment) == 0
    tend(journal, clock)
    assert LEAST_BYTES <= room_of(segment) < LEAST_BYTES + 8_192, "a process that writes little needs little"
    assert segment.stat().st_blocks * 512 <= 8_192, "it takes none of the disk"
    assert journal.health().bytes == segment_size(segment)
    while segment_size(segment) < MOST_BYTES:
        append_many(journal, 100, size=2_000)
    length = segment.stat().st_size
    assert segment_size(segment) == length, "it was used up, and what followed goes on behind it"
    tend(journal, clock)
    assert MOST_BYTES <= room_of(segment) < MOST_BYTES + 8_192
    before = segment.stat().st_size
    append_many(journal, 3)
    tend(journal, clock)
    assert segment.stat().st_size == before, "there is enough"
    assert [r.sequence for r in lease_all(journal.cursor(*KAFKA, durable=True))] == []


def test_a_worker_that_is_behind_reads_up_to_the_last_frame(tmp_path: Path) -> None:
    journal, clock = journal_in(tmp_path / "journal", ROOMY)
    cursor = journal.cursor(*KAFKA, durable=True)
    for _ in range(5):
        sequences = [appended.sequence for appended in append_many(journal, 50, size=300)]
        tend(journal, clock)
        assert deliver_all(cursor) == sequences
    # what an agent is writing at this moment is not there yet: half of it must be taken for nothing
    (segment,) = segments(folder_of(journal))
    write_behind(segment, frame(Kind.EVENT, journal.end, b"x" * 100)[:50])
    append(journal, "next")
    assert deliver_all(cursor) == [journal.end - 1]
    assert (cursor.account().lost, journal.health().damaged_bytes) == ({}, 0)


@pytest.mark.parametrize("open_actions", [0, 1])
def test_what_a_dead_process_left_is_whole_and_closed_behind_its_last_frame(tmp_path: Path, open_actions: int) -> None:
    dead, clock = journal_in(tmp_path / "journal", ROOMY)
    dead.cursor(*KAFKA, durable=True)
    append_many(dead, 3)
    for number in range(open_actions):
        assert dead.note_start(started(f"open-{number}"))
    tend(dead, clock)
    (segment,) = segments(folder_of(dead))
    assert room_of(segment) > 0
    crash(dead)
    (adopted,) = journal_in(tmp_path / "journal")[0].adopt([KAFKA], close_action)
    assert (room_of(segment), b"\0" * 20 in segment.read_bytes()) == (0, False)
    assert deliver_all(adopted.cursors[KAFKA]) == list(range(3 + open_actions))
    assert adopted.kept_aside.damaged_bytes == 0


def test_a_segment_that_ended_has_no_room_and_is_as_old_as_it_was(tmp_path: Path) -> None:
    journal, clock = journal_in(tmp_path / "journal", ROOMY._replace(segment_bytes=40_000))
    journal.cursor(*KAFKA, durable=True)
    append_many(journal, 5)
    tend(journal, clock)
    (first,) = segments(folder_of(journal))
    assert room_of(first) > 0
    while len(segments(folder_of(journal))) < 2:
        append_many(journal, 10)
    os.truncate(first, 60_000)  # as if it had ended early
    an_hour_ago = time.time() // 1 - 3_600
    os.utime(first, (an_hour_ago, an_hour_ago))
    tend(journal, clock)
    assert (room_of(first), first.stat().st_mtime) == (0, an_hour_ago)
    assert journal.health().bytes == segment_bytes(folder_of(journal))


def test_a_frame_of_which_the_disk_takes_half_goes_with_the_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, clock = journal_in(tmp_path / "journal", ROOMY)
    cursor = journal.cursor(*KAFKA, durable=True)
    append_many(journal, 2)
    tend(journal, clock)
    with monkeypatch.context() as patch:
        patch.setattr(appending, "write_locked", lambda file, data, length: write_locked(file, data, length // 2))
        append_many(journal, 1)
    append_many(journal, 2)
    (segment,) = segments(folder_of(journal))
    assert room_of(segment) == 0
    assert deliver_all(cursor) == [0, 1, 2, 3, 4]
    crash(journal)
    assert journal.health().damaged_bytes == 0


def test_where_each_append_waits_for_the_disk_there_is_no_room(tmp_path: Path) -> None:
    """Who makes it has the lock that such an append waits for."""
    journal, clock = journal_in(tmp_path / "journal", ROOMY, durability="fsync")
    append_many(journal, 3)
    tend(journal, clock)
    (segment,) = segments(folder_of(journal))
    assert room_of(segment) == 0
