"""What rules see: values recomputed plainly, chance, what was usual, and whom they leave alone."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from otel_feedback import OutcomeEvent, OutcomeStatus
from otel_feedback.downstream.alerts.looking import Source, look
from otel_feedback.downstream.alerts.observing import Key, Observation, QueryError
from otel_feedback.downstream.alerts.reading import parse, read
from otel_feedback.downstream.alerts.rules import AlertFile
from tests.downstream.tables import made

NOW = datetime(2026, 3, 9, 12, 5, 40, tzinfo=timezone.utc)
END = datetime(2026, 3, 9, 12, 5, tzinfo=timezone.utc)
"""Of the newest window."""


def event(number: int, at: datetime, status: str = "success", **fields: Any) -> OutcomeEvent:
    given: dict[str, Any] = {
        "event_id": f"event-{number}", "run_id": f"run-{number}", "revision": 1, "timestamp": at, "action_type": "plan",
        "agent_name": "planner", "tenant_id": "acme", "latency_ms": 100.0, **fields,
    }  # fmt: skip
    if status != "pending":
        given.setdefault("end_time", at)
    return OutcomeEvent(status=OutcomeStatus(status), **given)


def log(folder: Path, events: Iterable[OutcomeEvent]) -> Source:
    path = folder / "outcomes.jsonl"
    path.write_text("".join(each.to_json() + "\n" for each in events))
    return Source((path,))


def rules(text: str) -> AlertFile:
    return parse('[[rule]]\nname = "it"\n' + text)


def seen(file: AlertFile, source: Source, now: datetime = NOW) -> list[Observation]:
    return look(file, source, now)


def window(
    statuses: Sequence[str], at: datetime = END - timedelta(seconds=200), first: int = 0, **fields: Any
) -> list[OutcomeEvent]:
    return [event(first + number, at, status, **fields) for number, status in enumerate(statuses)]


def test_errors_are_those_of_a_plain_recomputation(tmp_path: Path) -> None:
    records = made.events(20_000)
    source = log(tmp_path, records)
    now = made.BEGIN + timedelta(hours=2, seconds=30)
    recent = now - timedelta(seconds=900)
    expected = {
        (start + 300, *key): (found["failures"] + found["timeouts"]) / found["executions"]
        for (start, *key), found in made.windows(records).items()
        if found["executions"] >= 5 and recent.timestamp() < start + 300 <= now.timestamp()
    }
    told = {
        (int(each.at.timestamp()), *each.key[1:]): each.value
        for each in seen(rules('kind = "errors"\nmin_count = 5'), source, now)
    }
    assert len(expected) > 10
    assert told == pytest.approx(expected)


def test_two_of_twenty_may_be_chance_and_ten_are_not(tmp_path: Path) -> None:
    file = rules('kind = "errors"')
    for failures, opens in ((2, False), (3, False), (10, True)):
        (found,) = seen(file, log(tmp_path, window(["failure"] * failures + ["success"] * (20 - failures))))
        assert found.value == failures / 20
        assert file.rules[0].is_breached(found.judged, None) is opens
        assert found.run_id in {f"run-{number}" for number in range(failures)}
    (found,) = seen(
        rules('kind = "errors"\nby_chance = true'), log(tmp_path, window(["failure"] * 3 + ["success"] * 17))
    )
    assert found.judged == found.value


def test_with_too_few_nothing_is_said(tmp_path: Path) -> None:
    assert seen(rules('kind = "errors"'), log(tmp_path, window(["failure"] * 19))) == []


def test_what_is_older_than_recent_is_seen_by_nobody(tmp_path: Path) -> None:
    """What a journal replays of yesterday pages nobody."""
    yesterday = window(["failure"] * 100, NOW - timedelta(days=1))
    before = window(["failure"] * 100, NOW - timedelta(seconds=1_300), 100)
    stuck = [event(200 + number, NOW - timedelta(hours=20), "pending") for number in range(10)]
    file = read(None)
    rule_of = {rule.name: rule for rule in file.rules}
    for found in seen(file, log(tmp_path, [*yesterday, *before, *stuck])):
        assert not rule_of[found.key.rule].is_breached(found.judged, found.before), found


def test_patterns_and_keys(tmp_path: Path) -> None:
    events = [
        *window(["failure"] * 20, agent_name="refund-bot"),
        *window(["failure"] * 20, first=20, agent_name="refund-bot", tenant_id="globex"),
        *window(["failure"] * 20, first=40, agent_name="o'brien$"),
    ]
    source = log(tmp_path, events)
    (found,) = seen(rules('kind = "errors"\nagent = "refund-*"\nby = ["agent"]'), source)
    assert (found.key, found.count) == (Key("it", None, "refund-bot", None), 40)
    (found,) = seen(rules('kind = "errors"\nagent = ["o\'brien$"]'), source)
    assert found.key.agent == "o'brien$"
    assert seen(rules('kind = "errors"\nservice = "billing"'), source) == []


def test_what_was_usual_is_that_of_the_windows_before(tmp_path: Path) -> None:
    usual = [
        each
        for hop in range(100)
        for each in window(
            ["success"] * 20, END - timedelta(seconds=200 + 300 * hop), 1_000 + 20 * hop, latency_ms=100.0
        )
    ]
    slow = window(["success"] * 40, first=0, latency_ms=900.0)
    found = seen(rules('kind = "latency"\nrise = 3'), log(tmp_path, [*usual, *slow]))[-1]
    assert (found.value, found.judged, found.before) == (900.0, 900.0, 100.0)
    found = seen(rules('kind = "latency"\nrise = 3'), log(tmp_path, slow))[-1]
    assert found.before is None, "nobody knows"


def test_cost_is_that_of_the_hour(tmp_path: Path) -> None:
    events = [event(number, END - timedelta(minutes=number, seconds=30), own_cost=1.0) for number in range(120)]
    found = seen(rules('kind = "cost"\nabove = 50'), log(tmp_path, events))[-1]
    assert (found.key, found.value) == (Key("it", "acme", None, None), 60.0)


def test_quality_is_the_mean_of_scores(tmp_path: Path) -> None:
    scores = [0.1 * (number % 10) for number in range(40)]
    events = [
        each for number, score in enumerate(scores) for each in window(["success"], first=number, quality_score=score)
    ]
    found = seen(rules('kind = "quality"\nbelow = 0.5'), log(tmp_path, events))[-1]
    assert found.value == pytest.approx(statistics.mean(scores))
    assert found.judged > found.value


def test_stuck_is_what_began_and_did_not_end(tmp_path: Path) -> None:
    file = rules('kind = "stuck"')
    begun = [event(number, NOW - timedelta(minutes=65), "pending") for number in range(3)]
    found = seen(file, log(tmp_path, begun))[-1]
    assert (found.value, found.judged) == (3, 3)
    ended = [
        event(number, NOW - timedelta(minutes=2), revision=2, start_time=NOW - timedelta(minutes=65))
        for number in range(3)
    ]
    found = seen(file, log(tmp_path, [*begun, *ended]), NOW + timedelta(minutes=5))[-1]
    assert (found.value, found.judged) == (0, 0)
    old = [event(number, NOW - timedelta(hours=30), "pending") for number in range(3)]
    assert seen(file, log(tmp_path, old)) == [], "nobody can tell whether they end"


def test_silent_is_who_is_seen_at_this_hour_each_day(tmp_path: Path) -> None:
    file = rules('kind = "silent"\nagents = ["never-seen"]')
    daily = [event(day, NOW - timedelta(days=day, minutes=30), agent_name="daily") for day in range(1, 8)]
    six = [event(100 + day, NOW - timedelta(days=day, minutes=30), agent_name="six-days") for day in range(1, 7)]
    here = [event(200 + day, NOW - timedelta(days=day, minutes=30), agent_name="here") for day in range(8)]
    found = {each.key.agent: each.value for each in seen(file, log(tmp_path, [*daily, *six, *here]))}
    assert found == {"daily": 0, "here": 1, "never-seen": 0}
    assert file.rules[0].is_breached(0, None)
    assert not file.rules[0].is_breached(1, None)


def test_own_sql_sees_the_views_and_its_time(tmp_path: Path) -> None:
    file = rules(
        'kind = "sql"\nabove = 5\nsql = """\n'
        "SELECT tenant_id, sum(failures) AS value, sum(executions) AS count FROM windows\n"
        "WHERE window_start >= getvariable('since') AND window_start < getvariable('until') GROUP BY tenant_id;\n\"\"\""
    )
    found = seen(file, log(tmp_path, window(["failure"] * 7 + ["success"] * 3)))[-1]
    assert (found.key, found.value, found.count) == (Key("it", "acme"), 7, 10)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT agent FROM outcomes", 'Referenced column "agent" not found'),
        ("SELECT 1 AS valu", "its SQL has no column `value`"),
        ("SELECT 'x' AS value", "value, judged and before are to be numbers"),
    ],
)
def test_own_sql_that_does_not_run_is_named(tmp_path: Path, sql: str, said: str) -> None:
    file = rules(f'kind = "sql"\nabove = 5\nsql = """{sql}"""')
    with pytest.raises(QueryError) as caught:
        seen(file, log(tmp_path, window(["failure"])))
    assert "rule it: " in str(caught.value)
    assert said in str(caught.value)
