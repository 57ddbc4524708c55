"""Feedback in `stats`, `trace`, `tail` and `sql`: beside the outcomes, by name, with how much of them it covers."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from otel_feedback import Feedback, OutcomeEvent, OutcomeStatus
from otel_feedback.cli.main import main
from otel_feedback.cli.reading.feeds import LogFeed
from otel_feedback.downstream.tables.selection import Selection
from tests.downstream.tables import made


def event(name: str, run: str = "run-1", agent: str = "planner", at_s: int = 0) -> OutcomeEvent:
    at = made.BEGIN + timedelta(seconds=at_s)
    return OutcomeEvent(
        event_id=name, action_type="plan", status=OutcomeStatus.SUCCESS, agent_name=agent, run_id=run, timestamp=at,
        end_time=at, duration_ms=5.0,
    )  # fmt: skip


def said(number: int, of: str, score: float | None, at_s: int, **fields: Any) -> Feedback:
    target: dict[str, Any] = {"target": "event", "event_id": of}
    if of.startswith("run-"):
        target = {"target": "run", "run_id": of}
    more: dict[str, Any] = {"name": "user_rating", "source": "human", **fields}
    at = made.BEGIN + timedelta(seconds=at_s)
    return Feedback(feedback_id=f"id-{number}", timestamp=at, score=score, **target, **more)


EVENTS = [event("a"), event("b", agent="writer", at_s=1), event("c", "run-2"), event("d", "run-2", at_s=2)]
GIVEN = [
    said(1, "a", 1.0, 60, by="u-1"),
    said(1, "a", 0.0, 30, by="u-1"),
    said(2, "a", 0.5, 600, by="u-2", label="meh", comment="so-so \x1b[31m"),
    said(3, "run-2", None, 7_200, name="solved", source="program", label="no"),
]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "outcomes.jsonl"
    path.write_text("".join(one.to_json() + "\n" for one in (*EVENTS[:2], *GIVEN, *EVENTS[2:])))
    return path


def ran(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main([*arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_stats_has_mean_and_coverage_and_below_the_names(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads(ran(capsys, "stats", "--from", str(log), "--json"))
    groups = {group["agent"]: group for group in told["groups"]}
    assert [
        (agent, group["feedback_score"], group["feedback_count"], group["feedback_coverage"])
        for agent, group in groups.items()
    ] == [("planner", 0.75, 3, pytest.approx(2 / 3)), ("writer", None, 0, 0.0)]
    assert told["feedback"] == [
        {"name": "user_rating", "source": "human", "count": 2, "scored": 2, "score": 0.75, "delay_s": 330.0, "labels": {"meh": 1}},
        {"name": "solved", "source": "program", "count": 1, "scored": 0, "score": None, "delay_s": 7_198.0, "labels": {"no": 1}},
    ]  # fmt: skip
    rows = list(csv.DictReader(io.StringIO(ran(capsys, "stats", "--from", str(log), "--csv"))))
    assert [row["feedback_count"] for row in rows] == ["3", "0"]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_shows_both(
    log: Path, width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    out = ran(capsys, "stats", "--from", str(log), "--sort", "feedback")
    assert all(len(line) <= width for line in out.splitlines())
    below = [line.split() for line in out.splitlines() if line.startswith(("user_rating", "solved"))]
    assert below == [
        ["user_rating", "human", "2", "0.75", "330.00", "s", "meh", "1"], ["solved", "program", "1", "-", "120.0", "min", "no", "1"]
    ]  # fmt: skip
    if width == 120:
        assert "0.75 (66.7 %)" in out


def test_without_feedback_there_is_no_column(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "outcomes.jsonl"
    path.write_text("".join(one.to_json() + "\n" for one in EVENTS))
    assert "Feedback" not in ran(capsys, "stats", "--from", str(path))


def test_stats_of_a_time_has_the_feedback_on_what_ended_then(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    since = (made.BEGIN + timedelta(seconds=2)).isoformat()
    told = json.loads(ran(capsys, "stats", "--from", str(log), "--since", since, "--json"))
    assert [row["name"] for row in told["feedback"]] == ["solved"]
    assert told["total"]["before"]["feedback_count"] == 2


def test_trace_says_what_was_said_of_the_run(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ran(capsys, "trace", "run-1", "--from", str(log))
    lines = out[out.index("What was said of it") :].split("\n")
    assert [line.strip() for line in lines[1:4]] == [
        "user_rating 0.50 meh  human u-2, 10.0 min after its end  planner plan",
        "so-so [31m",
        "user_rating 1.00  human u-1, 60.00 s after its end  planner plan",
    ]
    assert "\x1b" not in out
    assert "solved no  program, 120.0 min after its end  the run" in ran(capsys, "trace", "run-2", "--from", str(log))
    told = json.loads(ran(capsys, "trace", "a", "--from", str(log), "--json"))
    assert [one.get("feedback_id") for one in told] == [None, None, "id-2", "id-1"]
    assert told[3] == GIVEN[0].to_dict()


def test_tail_shows_it_as_it_came(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ran(capsys, "tail", "--from", str(log), "--once")
    assert [line.split()[1] for line in out.splitlines() if ":" in line[:12]] == [
        "planner", "writer", "user_rating", "user_rating", "solved", "planner", "planner"
    ]  # fmt: skip
    lines = ran(capsys, "tail", "--from", str(log), "--once", "--json", "--run", "run-2").splitlines()
    assert [json.loads(line).get("feedback_id") for line in lines] == ["id-3", None, None]
    feed = LogFeed([log])
    with log.open("a") as file:
        file.write(said(4, "a", 0.25, 9_000).to_json() + "\n")
    assert list(feed.newest(2, Selection())) == EVENTS[2:]
    assert [one.score for one in feed.more() if isinstance(one, Feedback)] == [0.25]
    assert feed.unread == 0
    feed.close()


def test_sql_reads_the_columns_that_it_is_joined_by(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = "SELECT sum(feedback_count)::INT AS n FROM windows"
    assert ran(capsys, "sql", asked, "--from", str(log), "--csv").split() == ["n", "3"]
    one = "SELECT name, delay_s FROM feedback"
    assert ran(capsys, "sql", one, "--from", str(log), "--agent", "writer", "--csv").split() == ["name,delay_s"]
    assert len(ran(capsys, "sql", one, "--from", str(log), "--agent", "planner", "--csv").split()) == 4
    # where it is not asked for, it is no line that is left out
    assert ran(capsys, "failures", "--from", str(log)).splitlines()[-1] == "nothing went wrong"
