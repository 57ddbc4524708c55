"""A week of traffic: each incident is found within two windows, and nobody is paged for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from otel_feedback.downstream.alerts.advancing import Said
from otel_feedback.downstream.alerts.looking import Source, backtest
from otel_feedback.downstream.alerts.machine import Told
from otel_feedback.downstream.alerts.reading import read
from tests.downstream.alerts.week import BEGIN, INCIDENTS, Incident, write_store

FILE = read(None)
RULE_OF = {"latency": "slow"}
WINDOW = timedelta(seconds=300)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def said(store: Path) -> list[Said]:
    return list(backtest(FILE, Source((store,)), BEGIN, BEGIN + timedelta(days=7)))


def at(hours: float) -> datetime:
    return BEGIN + timedelta(hours=hours)


def opened(said: list[Said]) -> Iterator[Said]:
    return (each for each in said if each.told is Told.OPENED)


def is_of(each: Said, incident: Incident) -> bool:
    key = each.alert.key
    return (
        key.rule == RULE_OF.get(incident.kind, incident.kind)
        and key.agent in (None, incident.agent)
        and key.tenant in (None, incident.tenant)
    )


@pytest.mark.parametrize("incident", INCIDENTS, ids=lambda each: f"{each.kind}-{each.begin_h}")
def test_each_incident_is_found_within_two_windows(said: list[Said], incident: Incident) -> None:
    """Two windows that are wholly within it; of what is stuck, after it is overdue; of cost, in so many windows as make a multiple."""
    begins = at(incident.begin_h) + (timedelta(hours=1) if incident.kind == "stuck" else timedelta())
    first_whole = begins + WINDOW - (begins - BEGIN) % WINDOW if (begins - BEGIN) % WINDOW else begins
    windows = 5 if incident.kind == "cost" else 2  # the hour has to come to three usual ones
    due = first_whole + windows * WINDOW
    found = [each.alert.since for each in opened(said) if is_of(each, incident) and begins <= each.alert.since <= due]
    assert len(found) == 1, [(each.told.value, each.alert.key, each.alert.since) for each in said]


def test_nobody_is_paged_for_nothing(said: list[Said]) -> None:
    """Whatever opens is of an incident, and none opens twice."""
    for each in opened(said):
        assert any(
            is_of(each, incident) and at(incident.begin_h) <= each.alert.since <= at(incident.end_h + 1.1)
            for incident in INCIDENTS
        ), (each.alert.key, each.alert.since)
    assert len(list(opened(said))) == len(INCIDENTS)


def test_what_is_over_is_said_to_be_resolved_but_what_never_ends_expires(said: list[Said]) -> None:
    over = {each.alert.key.rule: each.told for each in said if each.told in (Told.RESOLVED, Told.EXPIRED)}
    assert over == dict.fromkeys(("errors", "slow", "cost", "quality"), Told.RESOLVED)
    assert sum(each.told is Told.RESOLVED for each in said) == len(INCIDENTS) - 1
