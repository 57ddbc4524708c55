"""The doctor's check of the journal: whether it can be used, what is wrong, and that nothing stays of the check."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from otel_feedback.cli.doctor import journal as check_journal_module
from otel_feedback.cli.doctor.findings import Finding, State
from otel_feedback.cli.doctor.journal import check_journal
from otel_feedback.cli.doctor.waiting import check_waiting
from otel_feedback.settings.settings import FEEDBACK_JOURNAL, Settings, get_settings
from tests.journals.command import dead, living, snapshot
from tests.journals.disk import KAFKA, OTLP, crash, segment_bytes


def check(directory: Path, **variables: str) -> list[Finding]:
    """Check the journal of a service that logs to a file, unless these variables say otherwise."""
    found = list(check_journal(settings_for(directory, **variables)))
    assert all(finding.todo for finding in found if finding.state is not State.OK)
    return found


def settings_for(directory: Path, **variables: str) -> Settings:
    given = {
        "OTEL_FEEDBACK_JOURNAL_DIR": str(directory),
        "OTEL_FEEDBACK_LOG_FILE": str(directory.parent / "x.log"),
        **variables,
    }
    return get_settings(environ=given)


def waiting(directory: Path, **variables: str) -> list[Finding]:
    """Look at what waits, without asking Kafka which cluster it is."""
    return list(check_waiting(settings_for(directory, **variables), finds_out=False))


@pytest.mark.parametrize("durability", ["interval", "fsync"])
def test_all_is_well_and_nothing_stays_of_the_check(tmp_path: Path, durability: str) -> None:
    directory = tmp_path / "state" / "agents"
    (made,) = check(directory, OTEL_FEEDBACK_DURABILITY=durability)
    assert made.state is State.OK
    assert f"durability {durability}, in {directory}, " in made.found
    assert list(tmp_path.iterdir()) == [], "not even the directory"
    directory.mkdir(parents=True)
    before = snapshot(tmp_path)
    assert [finding.state for finding in check(directory)] == [State.OK]
    assert snapshot(tmp_path).keys() == before.keys()


@pytest.mark.parametrize(
    ("variables", "found", "todo"),
    [
        ({"OTEL_FEEDBACK_DURABILITY": "memory"}, "wait in memory", "OTEL_FEEDBACK_DURABILITY=interval"),
        ({"OTEL_FEEDBACK_LOG_FILE": ""}, "no destination outlives", "KAFKA_BOOTSTRAP_SERVERS"),
        ({"ENABLE_OUTCOME_LOGGING": "false"}, "no destination outlives", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ({"OTEL_FEEDBACK_DISABLED": "true"}, "nothing is recorded", "OTEL_FEEDBACK_DISABLED=false"),
    ],
)
def test_off(tmp_path: Path, variables: dict[str, str], found: str, todo: str) -> None:
    dead(tmp_path / "agents", KAFKA)
    (finding,) = check(tmp_path / "agents", **variables)
    assert finding.state is State.OFF
    assert found in finding.found
    assert todo in (finding.todo or "")


@pytest.mark.parametrize(
    "variables",
    [
        {"KAFKA_BOOTSTRAP_SERVERS": "there:9092"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://there:4318"},
    ],
)
def test_each_destination_that_outlives_its_process_switches_it_on(tmp_path: Path, variables: dict[str, str]) -> None:
    (finding,) = check(tmp_path / "agents", OTEL_FEEDBACK_LOG_FILE="", **variables)
    assert finding.state is State.OK


def test_a_directory_that_is_refused(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    link = tmp_path / "link"
    link.symlink_to(real)
    (finding,) = check(link)
    assert finding.state is State.FAILED
    assert "is a symbolic link" in finding.found
    assert "OTEL_FEEDBACK_JOURNAL_DIR" in (finding.todo or "")
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "nowhere")
    assert check(dangling)[0].state is State.FAILED


def test_a_file_where_the_directory_should_be(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert "not a folder" in check(file)[0].found
    (below,) = check(file / "agents")
    assert below.state is State.FAILED
    assert f"to be made in {file}: Not a directory" in below.found


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give directories away")
def test_a_directory_of_another_user(tmp_path: Path) -> None:
    directory = tmp_path / "agents"
    directory.mkdir()
    os.chown(directory, 12_345, 12_345)
    (finding,) = check(directory)
    assert (finding.state, "belongs to user 12345" in finding.found) == (State.FAILED, True)
    # what is to be made in it will belong to us
    assert [finding.state for finding in check(directory / "new")] == [State.OK]


def test_a_directory_that_may_not_be_written(tmp_path: Path) -> None:
    directory = tmp_path / "agents"
    directory.mkdir(mode=0o500)
    is_root = os.geteuid() == 0
    for path in (directory, directory / "new"):
        os.seteuid(65_534) if is_root else None  # root may write anywhere
        try:
            (finding,) = check(path)
        finally:
            os.seteuid(0) if is_root else None
        assert (finding.state, "Permission denied" in finding.found) == (State.FAILED, True)


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", refuse)
    (finding,) = check(tmp_path)
    assert (finding.state, "Operation not supported" in finding.found) == (State.FAILED, True)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_nearly_full(tmp_path: Path) -> None:
    (finding,) = check(tmp_path, OTEL_FEEDBACK_JOURNAL_MIN_FREE_BYTES=str(2**50))
    assert finding.state is State.FAILED
    assert "less than OTEL_FEEDBACK_JOURNAL_MIN_FREE_BYTES" in finding.found


def test_what_dead_processes_left(tmp_path: Path) -> None:
    made = [dead(tmp_path, KAFKA) for _ in range(2)]
    alive = living(tmp_path, KAFKA)
    (orphans,) = waiting(tmp_path, KAFKA_BOOTSTRAP_SERVERS="there:9092")
    assert orphans.state is State.WARNING
    total = sum(segment_bytes(each.folder) for each in made)
    assert f"2 journals of dead processes, {total / 1024:.1f} KiB" in orphans.found
    assert "otel-feedback journal replay" in (orphans.todo or "")
    crash(alive.journal)


def test_what_waits_for_another_destination_comes_with_the_command_that_sends_it(tmp_path: Path) -> None:
    made = dead(tmp_path, KAFKA, OTLP, events=3)
    kafka, otlp = waiting(tmp_path, KAFKA_BOOTSTRAP_SERVERS="new:9092")
    assert [finding.check for finding in (kafka, otlp)] == ["journal elsewhere"] * 2
    assert f"3 events in 1 journal of dead processes for kafka {KAFKA[1]}" in kafka.found
    assert kafka.todo == f"to send them to new:9092/agent-outcomes: otel-feedback journal replay --take {KAFKA[1]}"
    assert "otlp is not switched on here" in (otlp.todo or "")
    assert made.folder.is_dir()


def test_a_platform_without_journals_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_journal_module, "is_supported", lambda: False)
    (finding,) = check(tmp_path)
    assert finding.state is State.WARNING


def test_what_waits_of_feedback_is_told_apart(tmp_path: Path) -> None:
    directory = tmp_path / "j"
    dead(directory, ("log", str(tmp_path / "x.log")), events=1)
    of_feedback = directory / FEEDBACK_JOURNAL
    dead(of_feedback, ("log", str(tmp_path / "x.log")), KAFKA, events=2)
    (of_feedback / "quarantine").mkdir(mode=0o700)
    (of_feedback / "quarantine" / "x.jsonl").write_text("{}\n")
    found = {finding.check: finding.found for finding in waiting(directory)}
    assert list(found) == [
        "journal orphans",
        "feedback journal orphans",
        "feedback journal elsewhere",
        "feedback quarantine",
    ]
    assert found["feedback journal elsewhere"].startswith("2 events in 1 journal of dead processes for kafka")
