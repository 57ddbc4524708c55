"""Filters: what DuckDB finds by the condition is what the test of one event lets through, and they are what they say."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from otel_feedback import OutcomeEvent
from otel_feedback.cli.parser import make_parser
from otel_feedback.cli.reading.selection import selection_of
from otel_feedback.downstream.tables.opening import open_log
from otel_feedback.downstream.tables.selection import Selection
from tests.downstream.tables import made
from tests.support import run_cli


def selection(*arguments: str) -> Selection:
    return selection_of(make_parser().parse_args(["tail", *arguments]))


CASES: list[tuple[list[str], Any]] = [
    ([], lambda e: True),
    (["--agent", "planner"], lambda e: e.agent_name == "planner"),
    (["--agent", "planner", "--agent", "writer"], lambda e: e.agent_name in ("planner", "writer")),
    (["--agent", "-"], lambda e: e.agent_name is None),
    (["--tenant", "-", "--tenant", "acme"], lambda e: e.tenant_id in (None, "acme")),
    (["--status", "failure", "--status", "timeout"], lambda e: e.status in ("failure", "timeout")),
    (["--status", "pending"], lambda e: e.status == "pending"),
    (["--tenant", "acme", "--action", "tool"], lambda e: e.tenant_id == "acme" and e.action_type == "tool"),
    (["--tag", "beta"], lambda e: "beta" in e.tags),
    (["--tag", "beta", "--tag", "eu"], lambda e: {"beta", "eu"} <= set(e.tags)),
    (["--text", "RATELIMIT"], lambda e: e.error_type == "RateLimitError"),
    (["--text", "it's"], lambda e: "o'hara" in e.metadata.get("said", "")),
    (["--text", "it's", "--text", "straße"], lambda e: "o'hara" in e.metadata.get("said", "")),
    (["--user", "u-7"], lambda e: e.user_id == "u-7"),
    (["--run", "run-3"], lambda e: e.run_id == "run-3"),
    (["--model", "gpt-4o"], lambda e: e.model == "gpt-4o"),
    (["--workflow", "refund", "--session", "s-2"], lambda e: (e.workflow_id, e.session_id) == ("refund", "s-2")),
    (["--service", "o'hara"], lambda e: False),
    (["--since", "2026-03-02T10:00Z"], lambda e: at(e) >= made.BEGIN + timedelta(hours=1)),
    (
        ["--since", "2026-03-02T10:00Z", "--until", "2026-03-02T11:00Z"],
        lambda e: made.BEGIN + timedelta(hours=1) <= at(e) < made.BEGIN + timedelta(hours=2),
    ),
]  # fmt: skip


def at(event: OutcomeEvent) -> Any:
    return event.end_time or event.timestamp


@pytest.fixture(scope="module")
def told(records: list[OutcomeEvent], tmp_path_factory: pytest.TempPathFactory) -> tuple[list[OutcomeEvent], Path]:
    import msgspec

    outcomes = made.outcomes(records)
    outcomes[5:9] = [
        msgspec.structs.replace(each, metadata={"said": "It's o'hara in the Straße", "n": [1]})
        for each in outcomes[5:9]
    ]
    path = tmp_path_factory.mktemp("selection") / "log.jsonl"
    path.write_bytes(b"".join(each.to_json().encode() + b"\n" for each in outcomes))
    return outcomes, path


def test_the_condition_and_the_test_agree_and_are_what_is_said(told: tuple[list[OutcomeEvent], Path]) -> None:
    outcomes, path = told
    with open_log([path]) as tables:
        for arguments, expected in CASES:
            chosen = selection(*arguments)
            wanted = {each.event_id for each in outcomes if expected(each)}
            assert {each.event_id for each in outcomes if chosen.matches(each)} == wanted, arguments
            found = tables.query(f"SELECT event_id FROM outcomes WHERE {chosen.condition()}")
            assert {row[0] for row in found} == wanted, arguments
            assert wanted or arguments == ["--service", "o'hara"], f"{arguments} shows nothing"


def test_the_period_before_is_as_long_and_ends_where_this_one_begins() -> None:
    chosen = selection("--since", "2026-03-02T10:00Z", "--until", "2026-03-02T11:30Z", "--agent", "planner")
    before = chosen.before()
    assert before is not None
    assert (str(before.since), str(before.until)) == ("2026-03-02 08:30:00+00:00", "2026-03-02 10:00:00+00:00")
    assert before.values == chosen.values
    assert selection("--until", "2026-03-02").before() is None


def test_a_period_that_ends_before_it_begins_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    from otel_feedback.cli.main import main

    with pytest.raises(SystemExit) as exited:
        main(["stats", "--since", "1h", "--until", "2h"])
    assert exited.value.code == 2
    assert "is not before --until" in capsys.readouterr().err


def test_a_file_that_a_question_cannot_write_is_what_has_to_be_mended(tmp_path: Path) -> None:
    log = tmp_path / "outcomes.jsonl"
    log.touch()
    asked = f"COPY (SELECT event_id FROM outcomes) TO '{tmp_path}/nowhere/events.csv'"
    done = run_cli("sql", asked, "--from", str(log))
    assert done.returncode == 1
    error, *_, todo = done.stderr.splitlines()
    assert f"{tmp_path}/nowhere/events.csv" in error
    assert todo == "  -> see that the file may be used, and that its disk has room"
