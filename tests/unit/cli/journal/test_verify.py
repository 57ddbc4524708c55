"""`otel-feedback journal verify`: damage is found where it is, and nothing else is called damage."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import tempfile
import tracemalloc
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_feedback.cli.journal.check import check_journal
from otel_feedback.journal import reading
from otel_feedback.journal.folder import CURSORS
from otel_feedback.journal.frames import HEADER_BYTES, Kind, frame
from tests.journals.command import dead, flip, frames_of, living, only_segment, run, run_json, spoil_event, verified
from tests.journals.disk import KAFKA, SMALL, crash, segment_size, segments, write_behind
from tests.support import environment


def test_a_whole_journal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = dead(tmp_path, KAFKA, events=3, open_actions=2)
    made_path = only_segment(made)
    code, journal = verified(capsys, made)
    assert code == 0
    assert journal == {
        "producer_id": made.producer_id,
        "path": str(made.folder),
        "service_name": "tested",
        "owner": "dead",
        "whole": True,
        "cursors_file": {"state": "whole", "version": 1},
        "segments": [
            {
                "name": made_path.name,
                "bytes": segment_size(made_path),
                "version": 1,
                "frames": {"head": 1, "event": 3, "start": 2, "forget": 0},
                "damaged_bytes": 0,
                "damaged": [],
                "unfinished_bytes": 0,
                "problem": None,
                "whole": True,
            }
        ],
        "missing": [],
        "problem": None,
    }
    assert "1 journal, 1 segment: whole" in run(capsys, "verify", tmp_path)[1]


def test_flipped_bits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = dead(tmp_path, KAFKA, events=5)
    hit = spoil_event(made, 2)
    code, journal = verified(capsys, made)
    (segment,) = journal["segments"]
    assert code == 1
    assert segment["damaged"] == [{"offset": hit.offset, "bytes": hit.end - hit.offset}]
    assert segment["damaged_bytes"] == hit.end - hit.offset
    assert (segment["frames"]["event"], segment["whole"]) == (4, False)
    assert journal["missing"] == [{"first": 2, "last": 2, "pending": 1}]
    out = run(capsys, "verify", tmp_path)[1]
    assert f"{hit.end - hit.offset} bytes: {hit.end - hit.offset} at {hit.offset}" in " ".join(out.split())
    assert "missing sequences: 2 (1 undelivered)" in out
    assert "1 journal damaged" in out


def test_damage_to_what_is_delivered_is_damage_and_no_event_is_missed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = dead(tmp_path, KAFKA, events=5, delivered=[0])
    spoil_event(made, 2)
    code, journal = verified(capsys, made)
    assert (code, journal["missing"]) == (1, [{"first": 2, "last": 2, "pending": 0}])


def test_a_torn_end_is_damage_where_the_owner_is_dead(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = dead(tmp_path, KAFKA, events=3)
    path = only_segment(made)
    *_, last = frames_of(path)
    path.write_bytes(path.read_bytes()[: last.end - 10])
    code, journal = verified(capsys, made)
    (segment,) = journal["segments"]
    assert code == 1
    assert segment["damaged"] == [{"offset": last.offset, "bytes": last.end - 10 - last.offset}]
    assert journal["missing"] == [{"first": 2, "last": 2, "pending": 1}], "the cursors file knows of it"


def test_what_a_living_owner_is_writing_is_no_damage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = living(tmp_path, KAFKA, events=3)
    write_behind(only_segment(made), frame(Kind.EVENT, 3, b"x" * 100)[:50])
    code, journal = verified(capsys, made)
    (segment,) = journal["segments"]
    assert (code, segment["damaged_bytes"], segment["unfinished_bytes"]) == (0, 0, 50)
    assert "50 B being written" in " ".join(run(capsys, "verify", tmp_path)[1].split())
    crash(made.journal)
    assert verified(capsys, made)[0] == 1


def test_damage_before_what_a_living_owner_is_writing_is_damage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = living(tmp_path, KAFKA, events=3)
    path = only_segment(made)
    *_, last = frames_of(path)
    flip(path, last.offset + HEADER_BYTES + 1)
    write_behind(path, frame(Kind.EVENT, 3, b"x" * 100)[:50])
    code, journal = verified(capsys, made)
    (segment,) = journal["segments"]
    assert (code, segment["unfinished_bytes"]) == (1, 50)
    assert segment["damaged"] == [{"offset": last.offset, "bytes": last.end - last.offset}]
    crash(made.journal)


def test_a_frame_with_a_wrong_length_is_not_taken_for_one_that_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = living(tmp_path, KAFKA, events=3)
    hit = frames_of(only_segment(made))[2]
    flip(only_segment(made), hit.offset + 10)  # of its length, which is now beyond the end of the file
    code, journal = verified(capsys, made)
    (segment,) = journal["segments"]
    assert (code, segment["unfinished_bytes"]) == (1, 0)
    assert segment["damaged"] == [{"offset": hit.offset, "bytes": hit.end - hit.offset}]
    crash(made.journal)


def test_only_the_newest_segment_of_a_living_owner_may_be_unfinished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = living(tmp_path, KAFKA, events=100, limits=SMALL)
    older = segments(made.folder)[0]
    older.write_bytes(older.read_bytes()[:-10])
    code, journal = verified(capsys, made)
    assert (code, [segment["whole"] for segment in journal["segments"]][:2]) == (1, [False, True])
    crash(made.journal)


# -- the state ---------------------------------------------------------------------------------------------


def test_without_a_cursors_file_the_newest_segment_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = dead(tmp_path, KAFKA)
    (made.folder / CURSORS).unlink()
    code, journal = verified(capsys, made)
    assert (code, journal["cursors_file"]) == (0, {"state": "missing", "version": None})


def test_a_broken_cursors_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = dead(tmp_path, KAFKA)
    flip(made.folder / CURSORS, 40)
    code, journal = verified(capsys, made)
    assert (code, journal["cursors_file"]["state"]) == (1, "broken")
    (made.folder / CURSORS).write_bytes(b"")
    assert verified(capsys, made)[0] == 1


def test_versions_that_are_not_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = dead(tmp_path, KAFKA)
    later = b'{"version": 9, "more": true}'
    (made.folder / CURSORS).write_bytes(later + b"\ncrc32 %08x\n" % crc32(later))
    code, journal = verified(capsys, made)
    assert (code, journal["cursors_file"]) == (1, {"state": "unknown version", "version": 9})
    (made.folder / CURSORS).unlink()
    path = only_segment(made)
    head, *_ = frames_of(path)
    path.write_bytes(frame(Kind.HEAD, 0, later) + path.read_bytes()[head.end :])
    code, journal = verified(capsys, made)
    assert (code, journal["segments"][0]["version"]) == (1, 9)
    assert (journal["segments"][0]["damaged_bytes"], journal["service_name"]) == (0, None)
    assert "its version, 9, is unknown" in " ".join(run(capsys, "verify", tmp_path)[1].split())


def test_a_segment_without_its_first_frame(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = dead(tmp_path, KAFKA)
    only_segment(made).write_bytes(b"")
    code, journal = verified(capsys, made)
    assert (code, journal["segments"][0]["version"]) == (1, None)
    assert journal["missing"] == [{"first": 0, "last": 2, "pending": 3}]
    assert "its first frame is missing" in " ".join(run(capsys, "verify", tmp_path)[1].split())


# -- all of it ---------------------------------------------------------------------------------------------


@given(hits=st.lists(st.integers(0, 10**6), max_size=8), chunk=st.sampled_from([64, 1_000, 512 * 1024]))
def test_each_byte_is_of_a_frame_or_damaged(hits: list[int], chunk: int) -> None:
    """Whatever is hit, and wherever the pieces end in which a segment is read."""
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        made = dead(Path(directory), KAFKA, events=6)
        path = only_segment(made)
        for hit in hits:
            flip(path, hit % segment_size(path))
        frames = frames_of(path)
        patch.setattr(reading, "CHUNK_BYTES", chunk)
        checked = check_journal(made.folder)
        assert checked is not None
        (segment,) = checked.segments
        assert sum(segment.frames.values()) == len(frames)
        assert segment.damaged_bytes + sum(frame.end - frame.offset for frame in frames) == segment.bytes
        assert segment.damaged_bytes == sum(length for _, length in segment.damaged)
        assert checked.is_whole == (segment_size(path) == sum(frame.end - frame.offset for frame in frames))


def test_a_large_journal_is_not_held_in_memory(tmp_path: Path) -> None:
    made = dead(tmp_path, KAFKA, events=0, open_actions=1)
    write_behind(only_segment(made), b"".join(frame(Kind.EVENT, n, b"x" * (64 * 1024)) for n in range(520)))
    size = segment_size(only_segment(made))
    read: list[int] = []
    tracemalloc.start()
    try:
        checked = check_journal(made.folder, read.append)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert checked is not None
    assert checked.segments[0].frames["event"] == 520
    assert sum(read) == size > 32 * 2**20
    assert len(read) < 100, "a bar that is moved for each frame takes longer than the frames"
    assert peak < 8 * 2**20


def test_progress_is_shown_where_somebody_watches_and_stdout_stays_clean(tmp_path: Path) -> None:
    dead(tmp_path, KAFKA)
    terminal, its_end = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "otel_feedback", "journal", "verify", str(tmp_path), "--json"],
        env=environment(TERM="xterm"), stdout=subprocess.PIPE, stderr=its_end, text=True,
    ) as process:  # fmt: skip
        os.close(its_end)
        out, _ = process.communicate()
    shown = os.read(terminal, 10_000)
    os.close(terminal)
    assert process.returncode == 0
    assert json.loads(out)["whole"] is True
    assert b"reading journals" in shown


def test_several_services(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("agents", "billing"):
        made = dead(tmp_path / name, KAFKA)
    flip(only_segment(made), 100)
    code, shown = run_json(capsys, "verify", tmp_path)
    assert code == 1
    assert [service["journals"][0]["whole"] for service in shown["services"]] == [True, False]
    assert "2 journals, 2 segments: 1 journal damaged" in run(capsys, "verify", tmp_path)[1]
    empty = tmp_path / "empty"
    empty.mkdir()
    assert run(capsys, "verify", empty)[0] == 0


def test_of_many_segments_only_the_damaged_have_lines_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = dead(tmp_path, KAFKA, events=500, limits=SMALL)
    paths = segments(made.folder)
    assert len(paths) > 25
    assert len(run(capsys, "verify", tmp_path)[1].splitlines()) < 12
    flip(paths[3], segment_size(paths[3]) - 10)
    out = run(capsys, "verify", tmp_path)[1]
    assert paths[3].name in out
    assert paths[4].name not in out
    assert f"{len(paths) - 1} others" in out
    assert len(verified(capsys, made)[1]["segments"]) == len(paths)
