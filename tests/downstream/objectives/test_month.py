"""A month with three incidents that burn a budget of 0.5 %, each found by the rate that is for it, and one that uses up 5 %."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from otel_feedback.downstream.alerts.advancing import Said
from otel_feedback.downstream.alerts.looking import Source, backtest, look
from otel_feedback.downstream.alerts.machine import Told
from otel_feedback.downstream.alerts.rules import AlertFile, Options
from otel_feedback.downstream.objectives.alerting import rules_of
from otel_feedback.downstream.objectives.reading import parse
from otel_feedback.downstream.objectives.standings import Standing, since_of, standings
from otel_feedback.downstream.tables.stored import open_store
from tests.downstream.objectives.month import BEGIN, DAYS, DECLINE, LEAK, OUTAGE, SURGE, write_store

OBJECTIVES = parse(
    """
    [[objective]]
    name = "answers"
    kind = "success"
    target = 0.995
    agent = "planner"
    [[objective]]
    name = "drafts"
    kind = "success"
    target = 0.95
    agent = "writer"
    """
)
FILE = AlertFile(Options(), (), tuple(rules_of(OBJECTIVES)))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def said(store: Path) -> list[Said]:
    return list(backtest(FILE, Source((store,)), BEGIN, BEGIN + timedelta(days=DAYS)))


def at(day: float) -> datetime:
    return BEGIN + timedelta(days=day)


def told_at(store: Path, day: float) -> dict[str, Standing]:
    with open_store(store, since_of(OBJECTIVES, at(day))) as tables:
        return {each.objective: each for each in standings(tables, OBJECTIVES, at(day))}


def test_each_incident_is_found_when_its_rate_can_find_it_and_nothing_else_is(said: list[Said]) -> None:
    """The rates are of shares 7.2, 3 and 0.5 %; a share p of what fails gets there after long window * rate / p, and a while
    more until it is no chance."""
    opened = [(each.alert.key.rule, each.alert.since) for each in said if each.told is Told.OPENED]
    hour = timedelta(hours=1)
    expected = [
        ("slo.answers.burn-1h", at(OUTAGE.begin_d), timedelta(minutes=4.3), timedelta(minutes=12)),
        ("slo.answers.burn-6h", at(SURGE.begin_d), 2.8 * hour, 5 * hour),
        ("slo.answers.burn-3d", at(LEAK.begin_d), 24 * hour, 40 * hour),
        ("slo.drafts.budget", at(DECLINE.begin_d), 12.9 * 24 * hour, 13.8 * 24 * hour),
    ]
    assert [rule for rule, _ in opened] == [rule for rule, *_ in expected]
    for (rule, since), (_, begins, soonest, latest) in zip(opened, expected, strict=True):
        assert soonest <= since - begins <= latest, (rule, since - begins)


def test_they_are_over_soon_after_what_burns_is(said: list[Said]) -> None:
    """By the short windows: an hour that was bad goes on to be in the long one."""
    over = {each.alert.key.rule: each.alert.seen for each in said if each.told is Told.RESOLVED}
    assert over["slo.answers.burn-1h"] - at(OUTAGE.end_d) <= timedelta(minutes=5 + 10 + 10)
    assert over["slo.answers.burn-6h"] - at(SURGE.end_d) <= timedelta(minutes=30 + 30 + 10)
    assert over["slo.answers.burn-3d"] - at(LEAK.end_d) <= timedelta(hours=6 + 6.2)
    assert "slo.drafts.budget" not in over, "it is used up to the end"


def test_an_alert_leads_to_a_run_that_failed_and_says_how_fast_it_burns(said: list[Said]) -> None:
    outage = next(each.alert for each in said if each.alert.key.rule == "slo.answers.burn-1h")
    assert (outage.key.agent, outage.severity, outage.run_id is not None) == ("planner", "critical", True)
    assert outage.value > 14.4


def test_what_is_ahead_is_what_comes(store: Path, said: list[Said]) -> None:
    """Days before the budget is used up it is said when it will be, as far as a day's chance allows."""
    used_up = next(each.alert.since for each in said if each.alert.key.rule == "slo.drafts.budget")
    for day in (13, 16, 20):
        standing = told_at(store, day)["drafts"]
        assert standing.state == "at risk"
        assert standing.used_up_at is not None
        assert abs(standing.used_up_at - used_up) <= timedelta(days=2)
    assert told_at(store, 9)["drafts"].state == "met"
    assert told_at(store, 24)["drafts"].state == "missed"


def test_a_look_sees_what_a_month_at_once_sees(store: Path, said: list[Said]) -> None:
    """One minute's look, of the files that it needs, gives the values of the whole."""
    outage = next(each.alert for each in said if each.alert.key.rule == "slo.answers.burn-1h")
    seen = [
        each for each in look(FILE, Source((store,)), outage.since + timedelta(minutes=1)) if each.at == outage.since
    ]
    values = {each.key.rule: each.value for each in seen}
    assert values["slo.answers.burn-1h"] > 14.4
    assert values.keys() == {rule.name for rule in FILE.rules} - {"slo.drafts.budget"}, "that one looks once an hour"


@pytest.mark.parametrize("day", [3, 12.5, 16, 20, 29])
def test_rules_and_the_view_have_the_same_numbers(store: Path, day: float) -> None:
    """At a full hour, when the rule of a budget looks: that and the burn of three days, whose windows the view has both."""
    seen = [each for each in look(FILE, Source((store,)), at(day) + timedelta(minutes=1)) if each.at == at(day)]
    values = {each.key.rule: each.value for each in seen}
    standing = told_at(store, day)
    drafts, answers = standing["drafts"], standing["answers"]
    assert drafts.budget_remaining is not None
    assert values["slo.drafts.budget"] == pytest.approx(1 - drafts.budget_remaining)
    assert answers.burn_3d is not None
    assert answers.burn_6h is not None
    assert values["slo.answers.burn-3d"] == pytest.approx(min(answers.burn_3d, answers.burn_6h))
