"""Feedback joined to outcomes, windows and runs, held to a plain recomputation: late, repeated, changed, on runs, on nothing."""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from otel_feedback import Feedback, OutcomeEvent
from otel_feedback.downstream.learning.feedback.told import feedback_told, of_agent, of_run
from otel_feedback.downstream.tables.columns import FEEDBACK_COLUMNS
from otel_feedback.downstream.tables.opening import open_log
from otel_feedback.downstream.tables.tables import Tables
from tests.downstream.tables import given as givens
from tests.downstream.tables import made

RECORDS = 6_000
MEASURES = ("feedback_score", "feedback_count", "feedback_coverage")
AT = datetime(2026, 3, 2, 9, tzinfo=timezone.utc)


@pytest.fixture(scope="module")
def records() -> list[OutcomeEvent]:
    return made.events(RECORDS)


@pytest.fixture(scope="module")
def given(records: list[OutcomeEvent]) -> list[Feedback]:
    return givens.feedback(records)


@pytest.fixture(scope="module")
def log(records: list[OutcomeEvent], given: list[Feedback], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log") / "outcomes.jsonl"
    every = len(records) // len(given) + 1
    lines: list[str] = []
    rest = iter(given)  # some comes before what it is about
    for number, record in enumerate(records):
        lines += [next(rest).to_json()] if number % every == 0 else []
        lines.append(record.to_json())
    path.write_text("\n".join([*lines, *(each.to_json() for each in rest)]) + "\n")
    return path


def close_to(values: dict[str, Any]) -> dict[str, Any]:
    return {name: pytest.approx(each, rel=1e-9) if isinstance(each, float) else each for name, each in values.items()}


def grouped(tables: Tables, view: str, keys: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    answer = tables.query(f"SELECT {', '.join(MEASURES)}, {keys} FROM {view}")
    return {row[3:]: dict(zip(MEASURES, row, strict=False)) for row in answer}


def test_the_columns_are_the_fields_of_feedback() -> None:
    assert [*FEEDBACK_COLUMNS][: len(Feedback.__struct_fields__)] == [*Feedback.__struct_fields__]


def test_outcomes_equal_a_plain_recomputation(records: list[OutcomeEvent], given: list[Feedback], log: Path) -> None:
    counts = givens.counted(records, given)
    with open_log([log]) as tables:
        assert tables.unread == 0
        found = {
            row[0]: row[1:] for row in tables.query("SELECT event_id, feedback_score, feedback_count FROM outcomes")
        }
    by_id = {event.event_id: event for event in made.outcomes(records)}
    assert found.keys() == by_id.keys()
    for event_id, one in by_id.items():
        wanted = close_to(givens.measures([one], counts))
        assert found[event_id] == (wanted["feedback_score"], wanted["feedback_count"]), event_id
    # and it is what it is about
    assert sum(map(len, counts.values())) > 700
    assert len(given) - len({each.feedback_id for each in given}) > 100
    assert sum(each.target == "run" for each in given) > 100


@pytest.mark.parametrize("window_s", [300, 3_600])
def test_windows_equal_a_plain_recomputation(
    records: list[OutcomeEvent], given: list[Feedback], log: Path, window_s: int
) -> None:
    counts = givens.counted(records, given)
    groups: dict[tuple[Any, ...], list[OutcomeEvent]] = defaultdict(list)
    for event in made.outcomes(records):
        start = math.floor((event.end_time or event.timestamp).timestamp() / window_s) * window_s
        groups[start, event.tenant_id, event.agent_name, event.action_type].append(event)
    with open_log([log], window_s=window_s) as tables:
        found = grouped(tables, "windows", "epoch(window_start), tenant_id, agent_name, action_type")
    assert found.keys() == groups.keys()
    for key, group in groups.items():
        assert found[key] == close_to(givens.measures(group, counts)), key


def test_runs_equal_a_plain_recomputation(records: list[OutcomeEvent], given: list[Feedback], log: Path) -> None:
    counts = givens.counted(records, given)
    groups: dict[tuple[Any, ...], list[OutcomeEvent]] = defaultdict(list)
    for event in made.outcomes(records):
        groups[(event.run_id,)].append(event)
    with open_log([log]) as tables:
        found = grouped(tables, "runs", "run_id")
    for key, group in groups.items():
        assert found[key] == close_to(givens.measures(group, counts)), key


def test_the_single_ones_are_told_with_their_delay(
    records: list[OutcomeEvent], given: list[Feedback], log: Path
) -> None:
    counts = givens.counted(records, given)
    by_id = {event.event_id: event for event in made.outcomes(records)}
    with open_log([log]) as tables:
        rows = tables.query("SELECT feedback_id, counts_for, delay_s, score FROM feedback WHERE counts_for IS NOT NULL")
        [(all_of_them,)] = tables.query("SELECT count(DISTINCT feedback_id) FROM feedback")
        assert all_of_them == len({each.feedback_id for each in given}), "those about nothing, too"
    wanted = {
        (each.feedback_id, event_id): (
            None if by_id[event_id].status == "pending" else pytest.approx(
                (each.timestamp - (by_id[event_id].end_time or by_id[event_id].timestamp)).total_seconds(), abs=1e-5
            ),
            each.score,
        )
        for event_id, of in counts.items() for each in of
    }  # fmt: skip
    assert {(row[0], row[1]): row[2:] for row in rows} == wanted


# -- single cases --------------------------------------------------------------------------------------------------


def event(event_id: str, at_s: int = 0, **fields: Any) -> OutcomeEvent:
    at = AT + timedelta(seconds=at_s)
    status = made.OutcomeStatus(fields.pop("status", "success"))
    more: dict[str, Any] = {"agent_name": "planner", "run_id": "run-1", **fields}
    return OutcomeEvent(event_id=event_id, action_type="plan", status=status, timestamp=at, end_time=at, **more)


def said(of: str, score: float | None, at_s: int = 60, by: str | None = None, **fields: Any) -> Feedback:
    run = of.startswith("run-")
    target: dict[str, Any] = {"target": "run", "run_id": of} if run else {"target": "event", "event_id": of}
    key = fields.pop("key", f"{of} {by} {fields.get('name')}")
    more: dict[str, Any] = {"name": "user_rating", "source": "human", **fields}
    at = AT + timedelta(seconds=at_s)
    return Feedback(feedback_id=key, timestamp=at, by=by, score=score, **target, **more)


def written(folder: Path, *lines: OutcomeEvent | Feedback) -> Path:
    path = folder / "log.jsonl"
    path.write_text("".join(line.to_json() + "\n" for line in lines))
    return path


def test_late_feedback_changes_the_window_that_its_action_ended_in(tmp_path: Path) -> None:
    question = f"SELECT {', '.join(MEASURES)} FROM windows ORDER BY window_start"
    lines = [event("a"), event("b", 10), event("c", 400)]
    with open_log([written(tmp_path, *lines)]) as tables:
        assert tables.query(question) == [(None, 0, 0.0), (None, 0, 0.0)]
    days_later = said("a", 0.25, at_s=3 * 86_400)
    with open_log([written(tmp_path, *lines, days_later)]) as tables:
        assert tables.query(question) == [(0.25, 1, 0.5), (None, 0, 0.0)]


def test_who_changes_the_mind_counts_once_and_others_add(tmp_path: Path) -> None:
    log = written(
        tmp_path, event("a"), said("a", 1.0, 90, "u-1"), said("a", 0.0, 60, "u-1"), said("a", 0.5, 70, "u-2"),
        said("a", None, 70, "u-3", label="fine"),
    )  # fmt: skip
    with open_log([log]) as tables:
        assert tables.query("SELECT feedback_score, feedback_count FROM outcomes") == [(0.75, 3)]


def test_what_is_said_of_a_run_counts_for_its_outermost_action_that_ended_last(tmp_path: Path) -> None:
    log = written(
        tmp_path, event("first", 0, root_event_id="first"), event("last", 30, root_event_id="last"),
        event("inner", 40, root_event_id="last"), said("run-1", 0.5),
    )  # fmt: skip
    with open_log([log]) as tables:
        asked = "SELECT event_id, feedback_count FROM outcomes ORDER BY event_id"
        assert tables.query(asked) == [("first", 0), ("inner", 0), ("last", 1)]
        assert tables.query(f"SELECT {', '.join(MEASURES)} FROM runs") == [(0.5, 1, pytest.approx(1 / 3))]


def test_no_tenant_speaks_of_anothers_actions_nor_takes_anothers_place(tmp_path: Path) -> None:
    """Whoever knows an id, or a key, may send what has it."""
    log = written(
        tmp_path, event("a", tenant_id="acme"), said("a", 1.0, tenant_id="acme", key="k"),
        said("a", 0.0, 90, tenant_id="globex", key="k"), said("run-1", 0.0, tenant_id="globex"),
    )  # fmt: skip
    with open_log([log]) as tables:
        assert tables.query("SELECT feedback_score, feedback_count FROM outcomes") == [(1.0, 1)]


def test_one_that_said_once_whose_it_is_and_once_not_is_one_rater(tmp_path: Path) -> None:
    log = written(
        tmp_path, event("a", tenant_id="acme"), said("a", 1.0, tenant_id="acme", key="k"), said("a", 0.0, 90, key="k")
    )
    with open_log([log]) as tables:
        assert tables.query("SELECT feedback_score, feedback_count FROM outcomes") == [(0.0, 1)]


def test_without_feedback_nothing_is_joined(tmp_path: Path) -> None:
    with open_log([written(tmp_path, event("a"))]) as tables:
        assert tables.query("SELECT feedback_score, feedback_count FROM outcomes") == [(None, 0)]
        assert tables.query("SELECT count(*) FROM feedback") == [(0,)]
        plan = str(tables.query("EXPLAIN SELECT * FROM windows"))
        assert "JOIN" not in plan


def test_a_line_that_is_neither_is_left_out_and_counted(tmp_path: Path) -> None:
    log = written(tmp_path, event("a"), said("a", 1.0))
    bad = said("a", 1.0).to_json().replace('"score":1.0', '"score":7')
    both = event("b").to_json()[:-1] + ',"feedback_id":"x","target":"event","name":"n","source":"human"}'
    log.write_text(f'{log.read_text()}{bad}\n{both}\n{{"feedback_id": "x"}}\n')
    with open_log([log]) as tables:
        assert tables.unread == 2
        assert tables.query("SELECT count(*), sum(feedback_count) FROM outcomes") == [(2, 1)]


def test_what_there_is_to_draw_of_a_run_and_of_an_agent(tmp_path: Path) -> None:
    log = written(
        tmp_path, event("a"), event("b", 10, agent_name="writer"), event("c", 20, run_id="run-2"),
        event("d", 20, status="pending"), said("a", 1.0, 60, "u-1", label="good"), said("a", 0.5, 120, "u-2"),
        said("b", 0.25, 40, name="toxicity", source="judge", comment="not so bad"), said("c", None, 80, label="good"),
    )  # fmt: skip
    with open_log([log]) as tables:
        run = feedback_told(tables.rows, of_run("run-1"))
        agent = feedback_told(tables.rows, of_agent("planner"), most=1)
        nothing = feedback_told(tables.rows, of_agent("nobody"))
    assert {name: run[name] for name in ("score", "count", "rated", "ended", "coverage")} == {
        "score": 0.5, "count": 3, "rated": 2, "ended": 2, "coverage": 1.0
    }  # fmt: skip
    assert run["names"] == [
        {"name": "user_rating", "source": "human", "count": 2, "scored": 2, "score": 0.75, "delay_s": 90.0, "labels": {"good": 1}},
        {"name": "toxicity", "source": "judge", "count": 1, "scored": 1, "score": 0.25, "delay_s": 30.0, "labels": {}},
    ]  # fmt: skip
    assert [(each["event_id"], each["score"], each["comment"]) for each in run["given"]] == [
        ("a", 0.5, None), ("a", 1.0, None), ("b", 0.25, "not so bad"),
    ]  # fmt: skip
    assert (agent["score"], agent["count"], agent["ended"], agent["coverage"]) == (0.75, 3, 2, 1.0)
    assert [each["score"] for each in agent["given"]] == [0.5]
    assert nothing == {
        "score": None, "count": 0, "rated": 0, "ended": 0, "coverage": None, "names": [], "given": []
    }  # fmt: skip


def test_those_that_are_chosen_keep_what_was_said_of_them(
    records: list[OutcomeEvent], given: list[Feedback], log: Path
) -> None:
    """What is said of a run counts for its outermost action, also where that is not among them."""
    counts = givens.counted(records, given)
    groups: dict[tuple[Any, ...], list[OutcomeEvent]] = defaultdict(list)
    for event in made.outcomes(records):
        if event.agent_name == "planner" and event.tenant_id is not None:
            start = math.floor((event.end_time or event.timestamp).timestamp() / 300) * 300
            groups[start, event.tenant_id, event.agent_name, event.action_type].append(event)
    with open_log([log]) as tables:
        tables.choose("agent_name = 'planner' AND tenant_id IS NOT NULL")
        found = grouped(tables, "windows", "epoch(window_start), tenant_id, agent_name, action_type")
        [(told,)] = tables.query("SELECT count(*) FROM feedback")
        [(counted,)] = tables.query("SELECT sum(feedback_count) FROM outcomes")
    assert found == {key: close_to(givens.measures(group, counts)) for key, group in groups.items()}
    assert told == counted == sum(len(counts[event.event_id]) for group in groups.values() for event in group) > 0
