"""`otel-feedback journal replay --take`: what was for one destination goes to another, with its account."""

from __future__ import annotations

from pathlib import Path

import pytest

from otel_feedback.cli.journal.survey import survey
from otel_feedback.journal.folder import CURSORS, Folder
from otel_feedback.journal.redirect import redirect
from otel_feedback.journal.state import load_state
from tests.journals.command import Made, dead, living, run, run_json, snapshot
from tests.journals.disk import KAFKA, OTLP, SMALL, crash, started
from tests.logs import lines_in


def test_take_delivers_what_was_for_another_destination(
    directory: Path, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = ("log", str(log.with_name("old.jsonl")))
    dead(directory, old, KAFKA, events=3)
    alive = living(directory, old, events=2)
    before = snapshot(alive.folder)
    code, shown = run_json(capsys, "replay", directory, "--take", old[1])
    assert (code, shown["taken"], shown["delivered"], len(lines_in(log))) == (0, 1, 3, 3)
    assert [row["destination"] for row in shown["producers"]] == [str(log)]
    assert [foreign["exporter"] for foreign in shown["not_touched"]] == ["kafka"]
    assert not Path(old[1]).exists()
    assert snapshot(alive.folder) == before, "a living owner goes on to deliver there"
    crash(alive.journal)


def test_take_of_what_nobody_waits_for(directory: Path, log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dead(directory, KAFKA)
    before = snapshot(directory)
    code, out, _ = run(capsys, "replay", directory, "--take", "nowhere:9092/agent-outcomes")
    assert code == 0
    assert "taken from nowhere:9092/agent-outcomes: 0 journals" in out
    run(capsys, "replay", directory, "--take", KAFKA[1])
    assert snapshot(directory) == before, "kafka is not switched on, so there is nowhere to deliver to"


def redirected(made: Made, old: str, new: str) -> bool:
    folder = Folder.claim(made.folder)
    assert folder is not None
    try:
        return redirect(folder, "kafka", old, new)
    finally:
        folder.release()


@pytest.mark.parametrize("has_file", [True, False], ids=["with a cursors file", "without"])
def test_redirect_keeps_the_account_and_is_believed(directory: Path, has_file: bool) -> None:
    made = living(directory, KAFKA, OTLP, events=100, limits=SMALL)
    kafka, _ = made.cursors
    for record in kafka.lease(40):
        kafka.settle(record.sequence, "policy" if record.sequence == 7 else None)
    made.journal.tend()
    made.journal.note_start(started("open"))
    crash(made.journal)
    if not has_file:
        (made.folder / CURSORS).unlink()
    before = survey(made.folder)
    assert redirected(made, KAFKA[1], "new:9092/agent-outcomes")
    after = survey(made.folder)
    assert before is not None
    assert after is not None
    assert [cursor.destination for cursor in after.cursors or ()] == ["new:9092/agent-outcomes", OTLP[1]]
    assert [cursor.account for cursor in after.cursors or ()] == [cursor.account for cursor in before.cursors or ()]
    assert (after.open_actions, after.oldest) == (before.open_actions, before.oldest)


def test_redirect_changes_nothing_where_it_would_mix_two_accounts(directory: Path) -> None:
    both = dead(directory, KAFKA, ("kafka", "new:9092/agent-outcomes"))
    before = load_state(both.folder)
    assert not redirected(both, KAFKA[1], "new:9092/agent-outcomes")
    assert not redirected(both, "other:9092/agent-outcomes", "third:9092/agent-outcomes")
    assert load_state(both.folder) == before
