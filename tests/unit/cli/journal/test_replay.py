"""`otel-feedback journal replay`: what is delivered, what is not touched, and that what is left stays. No broker."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from otel_feedback.cli.journal import delivery as journal_delivery
from otel_feedback.cli.journal import replay as journal_replay
from otel_feedback.cli.journal.survey import survey
from otel_feedback.journal.folder import LOCK, Folder, folders
from otel_feedback.pipeline import ledger
from tests.journals.command import dead, living, lose_state, run, run_json, snapshot, spoil_event, to
from tests.journals.disk import KAFKA, SMALL, crash, segments
from tests.logs import lines_in
from tests.pace import slowness
from tests.support import environment


@pytest.fixture
def closed_port() -> str:
    """An address where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        return f"127.0.0.1:{unused.getsockname()[1]}"


def test_everything_is_delivered_and_the_journals_are_gone(
    directory: Path, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = [dead(directory, to(log), events=events) for events in (3, 5)]
    code, shown = run_json(capsys, "replay", directory)
    assert code == 0
    assert sorted(event["event_id"] for event in lines_in(log)) == ["e0", "e0", "e1", "e1", "e2", "e2", "e3", "e4"]
    assert folders(directory) == []
    rows = {row["producer_id"]: row for row in shown.pop("producers")}
    assert rows == {
        each.producer_id: {
            "producer_id": each.producer_id, "service_name": "tested", "exporter": "log", "destination": str(log),
            "delivered": events, "lost": {}, "left": 0, "note": None,
        }
        for each, events in zip(made, (3, 5), strict=True)
    }  # fmt: skip
    version = shown.pop("version")
    assert version
    assert shown == {
        "directory": str(directory), "interrupted": False, "delivered": 8, "left": 0,
        "destinations": [{"exporter": "log", "destination": str(log), "last_error": None}],
        "taken": 0, "not_touched": [], "living": 0, "unknown": [], "notes": [], "feedback": None,
    }  # fmt: skip


def test_for_people(
    directory: Path, log: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    made = dead(directory, to(log), KAFKA, events=1_500)
    code, out, err = run(capsys, "replay", directory)
    assert (code, err) == (0, "")
    assert f"  {made.producer_id}  log           1,500  -        -" in out.splitlines()
    assert "1,500 delivered; nothing is left for these destinations" in out
    assert f"for kafka {KAFKA[1]}: 1,500 events in 1 journal, not touched" in out
    assert "kafka is not switched on here" in out


def test_an_action_that_never_ended_gets_its_outcome(
    directory: Path, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dead(directory, to(log), events=1, open_actions=1)
    code, shown = run_json(capsys, "replay", directory)
    assert (code, shown["delivered"]) == (0, 2)
    assert [event.get("error_type") for event in lines_in(log)] == [None, "process_lost"]


def test_what_was_delivered_or_lost_before_is_not_counted_again(
    directory: Path, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = living(directory, to(log), events=5)
    (cursor,) = made.cursors
    for record in cursor.lease(3):
        cursor.settle(record.sequence, "policy" if record.sequence == 1 else None)
    made.journal.tend()
    crash(made.journal)
    _, shown = run_json(capsys, "replay", directory)
    (row,) = shown["producers"]
    assert (row["delivered"], row["lost"], len(lines_in(log))) == (2, {}, 2)


def test_one_journal_only(directory: Path, log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made, other = dead(directory, to(log), events=2), dead(directory, to(log), events=3)
    before = snapshot(other.folder)
    assert run(capsys, "replay", made.folder)[0] == 0
    assert (len(lines_in(log)), folders(directory)) == (2, [other.folder])
    assert snapshot(other.folder) == before


def test_a_living_owners_journal_is_not_touched(directory: Path, log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = living(directory, to(log))
    before = snapshot(directory)
    code, shown = run_json(capsys, "replay", directory)
    assert (code, shown["living"], shown["delivered"], lines_in(log)) == (0, 1, 0, [])
    assert snapshot(directory) == before
    assert run_json(capsys, "replay", made.folder)[1]["living"] == 1
    crash(made.journal)


def test_other_destinations_are_named_and_not_touched(
    directory: Path, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = ("log", str(log.with_name("old place.jsonl")))
    for _ in range(2):
        dead(directory, elsewhere, KAFKA, events=4, open_actions=1, delivered=[1])
    before = snapshot(directory)
    code, shown = run_json(capsys, "replay", directory)
    assert (code, shown["producers"], shown["left"]) == (0, [], 0)
    assert shown["not_touched"] == [
        {"exporter": "log", "destination": elsewhere[1], "journals": 2, "events": 10},
        {"exporter": "kafka", "destination": KAFKA[1], "journals": 2, "events": 2},
    ]
    assert snapshot(directory) == before
    out = run(capsys, "replay", directory)[1]
    assert f"--take '{elsewhere[1]}' delivers them to {log}" in out


def test_a_journal_with_nothing_left_in_it_is_removed(
    directory: Path, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dead(directory, to(log), KAFKA, delivered=[0, 1])
    kept = dead(directory, to(log), KAFKA, delivered=[0])
    assert run(capsys, "replay", directory)[0] == 0
    assert (folders(directory), lines_in(log)) == ([kept.folder], [])


def test_more_journals_than_are_delivered_at_once(
    directory: Path, log: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (journal_delivery, ledger):
        monkeypatch.setattr(module, "FINISHED_KEPT", 2)
    made = [dead(directory, to(log), events=2) for _ in range(5)]
    code, shown = run_json(capsys, "replay", directory)
    assert (code, shown["delivered"], folders(directory)) == (0, 10, [])
    assert {row["producer_id"]: row["delivered"] for row in shown["producers"]} == dict.fromkeys(
        [each.producer_id for each in made], 2
    )


def test_no_cap_drops_what_is_replayed(
    directory: Path, log: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither age nor size nor a full disk, nor that the settings have the journal in memory."""
    made = dead(directory, to(log), events=100, size=1_000, limits=SMALL)
    for path in segments(made.folder):
        os.utime(path, (1e9, 1e9))
    monkeypatch.setenv("OTEL_FEEDBACK_JOURNAL_MAX_AGE", "1")
    monkeypatch.setenv("OTEL_FEEDBACK_JOURNAL_MAX_BYTES", "65536")
    monkeypatch.setenv("OTEL_FEEDBACK_JOURNAL_MIN_FREE_BYTES", str(2**50))
    monkeypatch.setenv("OTEL_FEEDBACK_DURABILITY", "memory")
    code, shown = run_json(capsys, "replay", directory)
    assert (code, shown["delivered"], shown["producers"][0]["lost"]) == (0, 100, {})


# -- what cannot be delivered ------------------------------------------------------------------------------


def test_nothing_listens(
    directory: Path, log: Path, closed_port: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time passes, one destination gets everything, and what is for the other stays as it was."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", closed_port)
    kafka = ("kafka", f"{closed_port}/agent-outcomes")
    made = dead(directory, kafka, to(log), events=4)
    # long enough for the one that can be reached, on this machine and now
    code, out, err = run(capsys, "replay", directory, "--timeout", str(slowness()))
    assert code == 1
    assert "time is up, 4 left in the journals" in out
    assert "Traceback" not in err
    left = survey(made.folder)
    assert left is not None
    assert [cursor.account.pending for cursor in left.cursors or ()] == [4, 0]
    assert len(lines_in(log)) == 4
    code, shown = run_json(capsys, "replay", directory, "--timeout", "0.1")
    assert (code, shown["left"], shown["interrupted"]) == (1, 4, False)


def test_ctrl_c_leaves_what_is_not_delivered(directory: Path, closed_port: str, tmp_path: Path) -> None:
    made = dead(directory, ("kafka", f"{closed_port}/agent-outcomes"), events=4)
    with subprocess.Popen(
        [sys.executable, "-m", "otel_feedback", "journal", "replay", str(directory)],
        cwd=tmp_path, env=environment(KAFKA_BOOTSTRAP_SERVERS=closed_port),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        assert process.stderr.readline().startswith("kafka: "), "it says what holds it up"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "stopped by Ctrl-C, 4 left in the journals" in out
    assert "unavailable" in out
    left = survey(made.folder)
    assert left is not None
    assert (left.owner.value, [cursor.account.pending for cursor in left.cursors or ()]) == ("dead", [4])


def test_damage_is_told_and_counted(directory: Path, log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = dead(directory, to(log), events=5)
    spoil_event(made, 1)
    code, shown = run_json(capsys, "replay", directory)
    (row,) = shown["producers"]
    assert (code, row["delivered"], row["lost"], row["left"]) == (0, 4, {"damaged": 1}, 0)
    (note,) = shown["notes"]
    assert "are damaged" in note


def test_a_journal_that_has_lost_its_state(directory: Path, log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = dead(directory, KAFKA, events=4)
    lose_state(made)
    code, shown = run_json(capsys, "replay", directory)
    assert (code, shown["delivered"], len(lines_in(log))) == (0, 4, 4)


def test_a_journal_that_nobody_can_take(directory: Path, log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = dead(directory, to(log))
    (made.folder / LOCK).unlink()
    code, shown = run_json(capsys, "replay", directory)
    assert (code, shown["delivered"]) == (1, 0)
    assert [seen["producer_id"] for seen in shown["unknown"]] == [made.producer_id]
    assert "its lock is missing" in run(capsys, "replay", directory)[1]


def test_a_living_process_is_quicker(
    directory: Path, log: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that is started at the same time: its journals are in good hands, and nobody waits for them."""
    made = dead(directory, to(log))
    deliver = journal_replay.deliver
    claimed: list[Folder | None] = []

    def too_late(*given: Any) -> Any:
        claimed.append(Folder.claim(made.folder))
        return deliver(*given)

    monkeypatch.setattr(journal_replay, "deliver", too_late)
    monkeypatch.setattr(journal_delivery, "TAKEN_S", 0.2)
    code, shown = run_json(capsys, "replay", directory)  # and not after the 300 s that it may take
    (row,) = shown["producers"]
    assert (code, row["delivered"], row["left"]) == (0, 0, 0)
    assert row["note"] == "a living process has taken it over"
    (folder,) = claimed
    assert folder is not None
    folder.release()


def test_settings_with_which_nothing_can_be_replayed(
    directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("agents", "billing"):
        dead(directory / name, KAFKA)
    before = snapshot(directory)
    code, _, err = run(capsys, "replay", directory)
    assert code == 2
    assert "several services: agents, billing" in err
    for variables, why in (
        ({"OTEL_FEEDBACK_LOG_FILE": ""}, "no destination is switched on"),
        ({"OTEL_FEEDBACK_DISABLED": "true"}, "everything is switched off"),
        ({"KAFKA_COMPRESSION": "zip"}, "KAFKA_COMPRESSION='zip'"),
    ):
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            code, out, err = run(capsys, "replay", directory / "agents")
        assert (code, out) == (2, "")
        assert why in err
    assert snapshot(directory) == before
    with pytest.raises(SystemExit) as exited:
        run(capsys, "replay", directory, "--timeout", "soon")
    assert exited.value.code == 2
