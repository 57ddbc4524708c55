"""Rules on the pipeline itself, and rules while it is behind: nobody is silent whose events are only not there yet."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from otel_feedback.downstream.alerts.advancing import advance, newest
from otel_feedback.downstream.alerts.looking import Source, look
from otel_feedback.downstream.alerts.messages import body_of, line_of
from otel_feedback.downstream.alerts.observing import Observation
from otel_feedback.downstream.alerts.reading import parse, read
from otel_feedback.downstream.alerts.rules import AlertFile
from otel_feedback.downstream.alerts.state import Hand, State
from tests.downstream.alerts.stores import Sequenced, letter, loss, mark, write
from tests.downstream.alerts.test_observing import NOW, event, log, rules

FILE = read(None)


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


def seen(file: AlertFile, source: Source, now: datetime = NOW) -> Observation:
    return look(file, source, now)[-1]


def opened(source: Source, now: datetime = NOW) -> list[str]:
    """Return the rules of the defaults that tell somebody."""
    _, said = advance(FILE, State(), newest(look(FILE, source, now)), Hand(), now)
    return [each.alert.key.rule for each in said]


def test_losses_are_told_by_reason_and_each_once(tmp_path: Path) -> None:
    told = loss(NOW - minutes(8), 12)
    others = [loss(NOW - minutes(7), 3, 40, "shutdown"), loss(NOW - minutes(90), 500, 100)]
    source = write(tmp_path / "store", accounts=[told, told, *others], until=NOW)
    found = seen(rules('kind = "losing"'), source)
    assert (found.value, found.detail) == (15, "12 retention (kafka, support-bot), 3 shutdown (kafka, support-bot)")
    found = seen(rules('kind = "losing"\nreason = "shut*"'), source)
    assert found.value == 3
    assert seen(rules('kind = "losing"\nservice = "billing"'), source).value == 0
    assert opened(source) == ["losing"]


def test_what_is_declared_lost_is_not_missing(tmp_path: Path) -> None:
    at = NOW - minutes(25)
    events = [Sequenced(event(number, at), number) for number in range(30) if not 10 <= number < 20]
    file = rules('kind = "missing"')
    for lost, missing in ((0, 10), (7, 3), (10, 0)):
        accounts = [loss(at, lost, 10)] * 2 if lost else []
        source = write(tmp_path / f"store-{lost}", events, accounts, until=NOW)
        assert seen(file, source).value == missing
    scattered = loss(at, 4, 0, last_sequence=100)
    assert seen(file, write(tmp_path / "scattered", events, [scattered], until=NOW)).value == 6


def test_dead_letters_are_told_by_who_refused_them(tmp_path: Path) -> None:
    letters = [letter(NOW - minutes(8))] * 2 + [letter(NOW - minutes(9), "handler_raised", "views")]
    source = write(tmp_path / "store", letters=letters, until=NOW)
    found = seen(rules('kind = "dead_letters"'), source)
    assert (found.value, found.detail) == (3, "2 invalid_event (billing), 1 handler_raised (views)")
    assert b"somebody" not in b"".join(path.read_bytes() for path in (tmp_path / "store").rglob("*.parquet"))
    assert opened(source) == ["dead-letters"]


def test_nobody_says_that_nothing_is_lost_where_no_account_arrives(tmp_path: Path) -> None:
    file = rules('kind = "losing"')
    assert look(file, write(tmp_path / "none", until=NOW), NOW) == []
    assert seen(file, write(tmp_path / "heard", accounts=[mark(NOW - minutes(20), 5)], until=NOW)).value == 0


def test_a_store_that_is_behind_says_so_and_calls_nobody_silent(tmp_path: Path) -> None:
    daily = [event(day, NOW - timedelta(days=day, minutes=30)) for day in range(1, 8)]
    failed = [event(100 + number, NOW - minutes(3), "failure") for number in range(50)]
    for name, until, told in (
        ("read", NOW, {"silent"}),
        ("just", NOW - timedelta(seconds=40), {"silent"}),
        ("late", NOW - minutes(130), {"behind"}),
        ("begun", None, {"behind"}),
    ):
        assert set(opened(write(tmp_path / name, daily, until=until))) == told, name
    source = write(tmp_path / "partly", [*daily, *failed], until=NOW - minutes(130), behind=4_000)
    assert opened(source) == ["behind"], "what there is of a window may be its worst part"
    (found,) = look(rules('kind = "behind"'), source, NOW)
    assert (found.value, found.detail) == (130 * 60, "the store is 4,000 records behind")
    _, said = advance(FILE, State(), newest([found]), Hand(), NOW)
    assert said == [], "of another rule"


def test_an_alert_is_not_resolved_by_windows_that_are_not_read_yet(tmp_path: Path) -> None:
    bad = [event(number, NOW - minutes(7), "failure") for number in range(50)]
    good = [
        event(100 + number, NOW + minutes(18)) for number in range(50)
    ]  # a part of that window; the bad one is behind
    state, said = advance(FILE, State(), newest(look(FILE, write(tmp_path / "a", bad, until=NOW), NOW)), Hand(), NOW)
    assert [each.alert.key.rule for each in said] == ["errors"]
    now = NOW + minutes(21)
    later = write(tmp_path / "b", [*bad, *good], until=NOW)
    state, said = advance(FILE, state, newest(look(FILE, later, now)), Hand(), now)
    assert [each.alert.key.rule for each in said] == ["behind"]
    errors = next(alert for alert in state.alerts if alert.key.rule == "errors")
    assert errors.phase.value == "firing"


def test_days_at_which_no_rule_looks_are_not_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of the oldest there is only the name; where a rule looks at it that is said."""
    events = [event(day, NOW - timedelta(days=day, minutes=30)) for day in range(6)]
    failed = [event(100 + number, NOW - minutes(8), "failure") for number in range(50)]
    source = write(tmp_path / "store", [*events, *failed], until=NOW)
    (old,) = (tmp_path / "store/events" / f"day={(NOW - timedelta(days=5)).date()}").glob("*.parquet")
    old.write_bytes(b"gone")
    assert seen(rules('kind = "errors"'), source).value == 1
    assert old.name not in caplog.text
    both = parse('[[rule]]\nname = "it"\nkind = "errors"\n[[rule]]\nname = "silent"\nkind = "silent"')
    assert {each.key.rule for each in look(both, source, NOW)} >= {"it"}
    assert old.name in caplog.text


def test_what_waits_at_a_producer_is_as_old_as_its_marks_prove(tmp_path: Path) -> None:
    file = rules('kind = "behind"')
    growing = [mark(NOW - minutes(20 - each), 100 + 10 * each, 50 + 10 * each) for each in range(20)]
    found = seen(file, write(tmp_path / "growing", accounts=growing, until=NOW))
    assert (found.value, found.detail) == (19 * 60, "240 events of support-bot wait for kafka")
    busy = [mark(NOW - minutes(20 - each), 100 + 1_000 * each, 80) for each in range(20)]
    assert seen(file, write(tmp_path / "busy", accounts=busy, until=NOW)).value == 0, "always others"
    rare = [mark(NOW - minutes(120), 100, 80)]
    assert seen(file, write(tmp_path / "rare", accounts=rare, until=NOW)).value == 0, "nobody knows since when"


def test_the_message_says_what_is_lost(tmp_path: Path) -> None:
    source = write(tmp_path / "store", accounts=[loss(NOW - minutes(8), 12)], until=NOW)
    _, said = advance(FILE, State(), newest(look(FILE, source, NOW)), Hand(), NOW)
    rule = next(rule for rule in FILE.rules if rule.kind == "losing")
    assert "12 since 2026-03-09 12:05Z: 12 retention (kafka, support-bot)" in line_of(rule, said[0])
    assert "events that a producer declared lost" in body_of(rule, FILE.settings, said)


@pytest.mark.parametrize("kind", ["losing", "behind", "dead_letters", "missing"])
def test_of_log_files_nothing_is_known_of_the_pipeline(tmp_path: Path, kind: str) -> None:
    source = log(tmp_path, [event(1, NOW - minutes(8))])
    found: Mapping[str, float] = {each.key.rule: each.value for each in look(rules(f'kind = "{kind}"'), source, NOW)}
    assert found in ({}, {"it": 0})
