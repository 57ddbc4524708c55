"""What is learned from events, held to a plain recomputation, and to a selector that learned while they came."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from otel_feedback import AgentSelector, OutcomeEvent, OutcomeStatus, Reward
from otel_feedback.downstream.learning.selectors.learning import COLUMNS, learned, since_of
from otel_feedback.downstream.tables.opening import open_log
from otel_feedback.downstream.tables.selection import Selection
from otel_feedback.downstream.tables.tables import Tables
from otel_feedback.learning.selector.beliefs import Beliefs
from tests.downstream.learning.selectors.decisions import BEGIN, LENGTH, Chosen, decided, latest

NOW = BEGIN + LENGTH
OBJECTIVE = Reward(cost_weight=3.0, latency_weight=0.02)
HALF_LIFE_S = 1_800.0


def _chosen(lot: random.Random, place: int) -> Chosen:
    """Two agents are chosen, one could have been, and of one nobody decides."""
    name = lot.choice(["planner", "planner", "writer", "other"])
    return Chosen(name) if name == "other" else Chosen(name, ("ghost", "planner", "writer"), "thompson:3", 0.5)


@pytest.fixture(scope="module")
def events() -> list[OutcomeEvent]:
    return decided(600, 1, _chosen)


@pytest.fixture(scope="module")
def log(events: list[OutcomeEvent], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log") / "outcomes.jsonl"
    path.write_text("".join(f"{event.to_json()}\n" for event in events))
    return path


@pytest.fixture(scope="module")
def tables(log: Path) -> Iterator[Tables]:
    with open_log([log], COLUMNS) as made:
        yield made


@pytest.mark.parametrize("half_life_s", [HALF_LIFE_S, None])
def test_it_is_what_outcomes_teach_one_by_one(
    tables: Tables, events: list[OutcomeEvent], half_life_s: float | None
) -> None:
    expected = Beliefs(half_life_s)
    for event in latest(events):
        reward = OBJECTIVE.of(event)
        if event.choice_policy and reward is not None:
            expected.teach(event.agent_name or "", event.timestamp.timestamp(), reward)
    expected.forget_until(NOW.timestamp())
    found = learned(tables, OBJECTIVE, half_life_s, NOW)
    assert found.of.keys() == {*expected.of, "ghost"}
    for name, belief in expected.of.items():
        assert found.of[name].successes == pytest.approx(belief.successes, rel=1e-9)
        assert found.of[name].failures == pytest.approx(belief.failures, rel=1e-9)
        assert found.of[name].outcomes == belief.outcomes > 100
    assert (found.of["ghost"].successes, found.of["ghost"].outcomes) == (0.0, 0)


def test_it_is_what_a_selector_knows_that_learned_while_they_came(tables: Tables, events: list[OutcomeEvent]) -> None:
    selector = AgentSelector(
        ["planner", "writer"], OBJECTIVE, half_life_s=HALF_LIFE_S, refresh_s=None, clock=NOW.timestamp
    )
    selector.warm_up(event for event in events if event.choice_policy)
    known, found = selector.state().agents, learned(tables, OBJECTIVE, HALF_LIFE_S, NOW)
    for name in ("planner", "writer"):
        assert known[name].mean == pytest.approx(found.of[name].mean, rel=1e-6)
        assert known[name].outcomes == found.of[name].outcomes


def test_where_agents_are_named_those_count_that_nobody_chose(tables: Tables, events: list[OutcomeEvent]) -> None:
    selection = Selection(values={"agent_name": ["other", "writer"]})
    found = learned(tables, OBJECTIVE, HALF_LIFE_S, NOW, selection)
    ended = [each for each in latest(events) if each.agent_name == "other" and each.status is not OutcomeStatus.PENDING]
    assert found.of["other"].outcomes == len(ended) > 50
    assert found.of.get("planner", None) is None or found.of["planner"].outcomes == 0


def test_only_what_ended_by_then_and_since_counts(tables: Tables) -> None:
    assert since_of(HALF_LIFE_S, NOW) == NOW - timedelta(hours=6)
    assert since_of(None, NOW) is None
    early = learned(tables, OBJECTIVE, None, BEGIN + timedelta(hours=1))
    late = learned(tables, OBJECTIVE, None, NOW, Selection(since=BEGIN + timedelta(hours=1, microseconds=1)))
    both = learned(tables, OBJECTIVE, None, NOW)
    for name in ("planner", "writer"):
        assert early.of[name].outcomes + late.of[name].outcomes == both.of[name].outcomes
