"""`otel-feedback journal verify`: which sequences are missed, and which are nobody's any more."""

from __future__ import annotations

from pathlib import Path

import pytest

from otel_feedback.cli.journal.check import check_journal
from otel_feedback.journal.segments import Segment, list_segments
from tests.journals.command import dead, living, run, verified
from tests.journals.disk import BOTH, KAFKA, SMALL, crash, deliver_all, segments


@pytest.mark.parametrize("which", ["first", "middle", "last", "all"])
def test_a_segment_that_somebody_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str], which: str) -> None:
    made = dead(tmp_path, KAFKA, events=100, limits=SMALL)
    paths = segments(made.folder)
    firsts = [int(path.stem) for path in paths]
    at = {"first": 0, "middle": 1, "last": len(paths) - 1, "all": 0}[which]
    beyond = [*firsts, 100][len(paths) if which == "all" else at + 1]
    for path in paths if which == "all" else [paths[at]]:
        path.unlink()
    code, journal = verified(capsys, made)
    assert (code, journal["missing"]) == (
        1,
        [{"first": firsts[at], "last": beyond - 1, "pending": beyond - firsts[at]}],
    )


def test_a_segment_that_every_destination_has_is_not_missed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As when a full disk was healed: what was lost before is accounted for."""
    made = living(tmp_path, *BOTH, events=100, limits=SMALL)
    second, third = [int(path.stem) for path in segments(made.folder)[1:3]]
    for cursor in made.cursors:
        for record in cursor.lease(100):
            if second <= record.sequence < third:
                cursor.settle(record.sequence, "retention")
    made.journal.tend()
    crash(made.journal)
    segments(made.folder)[1].unlink()
    code, journal = verified(capsys, made)
    assert (code, journal["missing"]) == (0, [{"first": second, "last": third - 1, "pending": 0}])
    assert "delivered, or counted as lost" in run(capsys, "verify", tmp_path)[1]


def test_what_a_living_owner_adds_meanwhile_is_not_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory is not listed as of one moment: the segment before the newest may not be in the list."""
    made = living(tmp_path, KAFKA, events=100, limits=SMALL)
    listed = list_segments(made.folder)
    answers = [[*listed[:-3], listed[-2]], listed]
    monkeypatch.setattr("otel_feedback.cli.journal.check.list_segments", lambda _: answers.pop(0))
    checked = check_journal(made.folder)
    assert checked is not None
    assert (checked.is_whole, checked.missing) == (True, [])
    assert [segment.name for segment in checked.segments] == [segment.path.name for segment in listed[:-1]]
    crash(made.journal)


def test_what_a_living_owner_removes_meanwhile_is_not_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cursors were read before, when nobody had anything yet."""
    made = living(tmp_path, KAFKA, events=100, limits=SMALL)
    listed = list_segments(made.folder)

    def deliver_meanwhile(_: Path) -> list[Segment]:
        deliver_all(made.cursors[0])
        made.journal.tend()
        made.journal.tend()
        return listed

    monkeypatch.setattr("otel_feedback.cli.journal.check.list_segments", deliver_meanwhile)
    checked = check_journal(made.folder)
    assert checked is not None
    assert [segment.path.exists() for segment in listed] == [False] * (len(listed) - 1) + [True]
    assert checked.is_whole, checked
    assert checked.missing == []
    crash(made.journal)
