"""`otel-feedback journal inspect`: what it says of journals, whoever owns them, and that it changes nothing."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from otel_feedback.cli.journal import survey as journal_survey
from otel_feedback.cli.journal.survey import Owner, survey
from otel_feedback.events.record import Origin
from otel_feedback.journal.adopted import Newest
from otel_feedback.journal.folder import LOCK
from otel_feedback.journal.reading import record_of
from otel_feedback.journal.segments import Segment
from tests.journals.command import (
    dead,
    frames_of,
    living,
    lose_state,
    only_journal,
    only_segment,
    run,
    run_json,
    snapshot,
)
from tests.journals.disk import BOTH, KAFKA, OTLP, SMALL, append, crash, deliver_all, segment_bytes, segments


def test_what_a_dead_process_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = dead(tmp_path, *BOTH, events=3, open_actions=2, delivered=[1])
    code, shown = run_json(capsys, "inspect", tmp_path)
    first = record_of(frames_of(only_segment(made))[1], Origin("", ""))
    assert first is not None
    assert code == 0
    assert shown["services"][0]["directory"] == str(tmp_path)
    assert shown["services"][0]["quarantine"] == {"files": 0, "lines": 0, "bytes": 0}
    assert only_journal(shown) == {
        "producer_id": made.producer_id,
        "path": str(made.folder),
        "service_name": "tested",
        "owner": "dead",
        "segments": 1,
        "bytes": segment_bytes(made.folder),
        "first_sequence": 0,
        "last_sequence": 2,
        "oldest_undelivered": first.timestamp.isoformat(),
        "open_actions": 2,
        "cursors": [
            {"exporter": "kafka", "destination": KAFKA[1], "appended": 3, "delivered": 0, "pending": 3, "lost": {}},
            {"exporter": "otlp", "destination": OTLP[1], "appended": 3, "delivered": 3, "pending": 0, "lost": {}},
        ],
        "problem": None,
    }


def test_nothing_is_changed_and_nobody_is_held_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither a living owner's journal nor a dead one's; the owner goes on, and the lock is free again."""
    made = living(tmp_path, KAFKA, events=5)
    gone = dead(tmp_path, OTLP, events=50, limits=SMALL)
    before = snapshot(tmp_path)
    for action in ("inspect", "verify"):
        for more in ([], ["--json"]):
            assert run(capsys, action, tmp_path, *more)[0] == 0
    assert snapshot(tmp_path) == before
    with (gone.folder / LOCK).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert append(made.journal, "later").sequence == 5
    _, shown = run_json(capsys, "inspect", made.folder)
    assert (only_journal(shown)["owner"], only_journal(shown)["last_sequence"]) == ("alive", 5)
    crash(made.journal)


def test_two_who_look_at_once_do_not_take_each_other_for_the_owner(tmp_path: Path) -> None:
    made = dead(tmp_path, KAFKA)
    with (made.folder / LOCK).open() as other:
        fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
        seen = survey(made.folder)
    assert seen is not None
    assert seen.owner is Owner.DEAD


def test_losses_are_told_by_reason_and_settled_events_are_not_pending(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = living(tmp_path, KAFKA, events=6)
    (cursor,) = made.cursors
    records = cursor.lease(6)
    cursor.settle(records[0].sequence)
    cursor.settle(records[1].sequence, "policy")
    cursor.settle(records[4].sequence, "too_large")
    made.journal.tend()
    crash(made.journal)
    code, shown = run_json(capsys, "inspect", made.folder)
    (account,) = only_journal(shown)["cursors"]
    assert (code, account["delivered"], account["pending"]) == (0, 1, 3)
    assert account["lost"] == {"policy": 1, "too_large": 1}
    assert account["appended"] == account["delivered"] + account["pending"] + sum(account["lost"].values())
    assert only_journal(shown)["oldest_undelivered"] == records[2].timestamp.isoformat()


def test_the_oldest_undelivered_event_is_found_in_its_segment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = living(tmp_path, *BOTH, events=200, limits=SMALL)
    kafka, otlp = made.cursors
    deliver_all(otlp)
    half = kafka.lease(100)
    for record in half:
        kafka.settle(record.sequence)
    (next_one,) = kafka.lease(1)
    made.journal.tend()
    crash(made.journal)
    _, shown = run_json(capsys, "inspect", tmp_path)
    journal = only_journal(shown)
    assert journal["oldest_undelivered"] == next_one.timestamp.isoformat()
    assert journal["segments"] == len(segments(made.folder)) > 2
    assert 0 < journal["first_sequence"] <= 100, "what everybody has was removed"
    assert journal["last_sequence"] == 199


def test_what_is_in_quarantine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = dead(tmp_path, KAFKA)
    kept = tmp_path / "quarantine"
    kept.mkdir()
    (kept / f"{made.producer_id}.jsonl").write_bytes(b"{}\n{}\n")
    (kept / f"{made.producer_id}-{0:020d}.seg").write_bytes(b"\n" * 10)
    (kept / f"{'f' * 32}.jsonl").write_bytes(b"{}\n")
    _, shown = run_json(capsys, "inspect", tmp_path)
    assert shown["services"][0]["quarantine"] == {"files": 3, "lines": 3, "bytes": 19}
    _, shown = run_json(capsys, "inspect", made.folder)
    assert shown["services"][0]["quarantine"] == {"files": 2, "lines": 2, "bytes": 16}, "its own"
    assert "quarantine: 3 files, 3 lines, 19 B" in run(capsys, "inspect", tmp_path)[1]


# -- where it looks ----------------------------------------------------------------------------------------


def test_a_directory_of_several_services(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = {name: dead(tmp_path / name, KAFKA).producer_id for name in ("billing", "agents")}
    (tmp_path / "notes").mkdir()
    (tmp_path / "readme.txt").write_text("")
    code, shown = run_json(capsys, "inspect", tmp_path)
    found = {
        Path(service["directory"]).name: [journal["producer_id"] for journal in service["journals"]]
        for service in shown["services"]
    }
    assert (code, found) == (0, {"agents": [made["agents"]], "billing": [made["billing"]]})


def test_a_journals_own_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = dead(tmp_path, KAFKA), dead(tmp_path, KAFKA)
    assert only_journal(run_json(capsys, "inspect", made.folder)[1])["producer_id"] == made.producer_id
    monkeypatch.chdir(made.folder)
    assert only_journal(run_json(capsys, "inspect", ".")[1])["producer_id"] == made.producer_id


def test_the_directory_of_the_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = dead(tmp_path / "state" / "otel-feedback" / "agents", KAFKA)
    (tmp_path / ".env").write_text("OTEL_SERVICE_NAME=agents\n")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "")  # so that what .env sets goes away with the test
    monkeypatch.delenv("OTEL_SERVICE_NAME")
    assert only_journal(run_json(capsys, "inspect")[1])["producer_id"] == made.producer_id
    monkeypatch.setenv("OTEL_SERVICE_NAME", "others")
    code, out, err = run(capsys, "inspect")
    assert (code, out) == (2, "")
    assert "otel-feedback/others is not there" in err
    assert "OTEL_SERVICE_NAME" in err
    monkeypatch.setenv("OTEL_FEEDBACK_DURABILITY", "sometimes")
    code, _, err = run(capsys, "inspect")
    assert code == 2
    assert "OTEL_FEEDBACK_DURABILITY='sometimes'" in err
    assert run(capsys, "inspect", made.folder)[0] == 0, "with a PATH no setting matters"


def test_nothing_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, shown = run_json(capsys, "inspect", tmp_path)
    assert (code, shown["services"][0]["journals"]) == (0, [])
    assert "no journal: nothing is waiting" in run(capsys, "inspect", tmp_path)[1]


@pytest.mark.parametrize("action", ["inspect", "verify", "replay"])
def test_a_path_that_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str], action: str) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for path, why in ((file, "is not a directory"), (tmp_path / "gone", "is not there")):
        code, out, err = run(capsys, action, path, "--json")
        assert (code, out) == (2, "")
        assert f"{path} {why}" in err


# -- journals that are not as they should be ---------------------------------------------------------------


def test_a_journal_that_has_lost_its_state(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = dead(tmp_path, KAFKA, events=4)
    lose_state(made)
    _, shown = run_json(capsys, "inspect", tmp_path)
    journal = only_journal(shown)
    assert (journal["cursors"], journal["service_name"]) == (None, None)
    assert (journal["first_sequence"], journal["last_sequence"]) == (0, 3)
    assert journal["oldest_undelivered"] is not None
    assert "its account is lost: who delivers begins at the first event" in run(capsys, "inspect", tmp_path)[1]


def test_a_journal_without_its_lock(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = dead(tmp_path, KAFKA)
    (made.folder / LOCK).unlink()
    code, shown = run_json(capsys, "inspect", tmp_path)
    assert (code, only_journal(shown)["owner"]) == (0, "unknown")
    assert "lock is missing" in only_journal(shown)["problem"]
    assert only_journal(shown)["last_sequence"] == 2, "what can be known is told"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_journal_of_another_user(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = dead(tmp_path, KAFKA)
    for path in (made.folder, *made.folder.iterdir()):
        os.chown(path, 12_345, 12_345)
    code, shown = run_json(capsys, "inspect", tmp_path)
    assert (code, only_journal(shown)["owner"]) == (0, "unknown")
    assert "cannot be read" in only_journal(shown)["problem"]
    assert run(capsys, "verify", tmp_path)[0] == 1, "nobody can say that it is whole"


def test_a_segment_that_goes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its living owner removes what is delivered: looked at once more."""
    made = living(tmp_path, KAFKA)
    read, tries = Newest.read, [1, 2]

    def vanish(segment: Segment) -> Newest:
        if tries:
            tries.pop()
            raise FileNotFoundError(segment.path)
        return read(segment)

    monkeypatch.setattr(journal_survey.Newest, "read", vanish)
    seen = survey(made.folder)
    assert seen is not None
    assert (seen.owner, seen.problem, seen.last) == (Owner.ALIVE, None, 2)
    crash(made.journal)


def test_a_journal_that_goes_while_it_is_read(tmp_path: Path) -> None:
    made = living(tmp_path, KAFKA)
    deliver_all(made.cursors[0])
    made.journal.close()
    assert survey(made.folder) is None


# -- for people --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [80, 120])
def test_the_text_fits_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    far = ("kafka", "kafka-0.example.com:9092,kafka-1.example.com:9092,kafka-2.example.com:9092/agent-outcomes")
    made = dead(tmp_path / "x", far, OTLP, events=1_200, open_actions=1, delivered=[1])
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, "inspect", "x")
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert max(map(len, lines[1:])) <= columns
    assert not any(line.endswith(" ") for line in lines)
    assert f"  {made.producer_id}  dead  tested" in lines
    assert "1 action never ended" in out
    assert "1,200" in out
    assert "otel-feedback journal replay" in out


def test_where_nothing_waits_other_services_that_have_journals_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever named the service in code, and not in the environment, looks at the wrong one."""
    (tmp_path / "empty").mkdir()
    dead(tmp_path / "support-bot", KAFKA)
    beside = f"{tmp_path} has journals of support-bot: set OTEL_SERVICE_NAME, or give a PATH"
    monkeypatch.setenv("COLUMNS", "1000")
    monkeypatch.setenv("OTEL_FEEDBACK_LOG_FILE", str(tmp_path / "log"))
    for action in ("inspect", "verify", "replay"):
        code, shown, complaint = run(capsys, action, tmp_path / "empty")
        assert (code, beside in shown, complaint) == (0, True, ""), shown
    monkeypatch.setenv("OTEL_FEEDBACK_JOURNAL_DIR", str(tmp_path / "not-there"))
    for action in ("inspect", "verify", "replay"):
        code, shown, complaint = run(capsys, action)
        assert (code, beside in complaint, shown) == (2, True, ""), complaint
