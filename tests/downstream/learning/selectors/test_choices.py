"""How selectors chose over time, held to a plain recomputation: revisions, what is under way, several policies, feedback."""

from __future__ import annotations

import random
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from otel_feedback import Feedback, OutcomeEvent, OutcomeStatus, Reward
from otel_feedback.downstream.learning.selectors.choices import COLUMNS, choices, of_policy
from otel_feedback.downstream.tables.opening import open_log
from otel_feedback.downstream.tables.tables import Tables
from tests.downstream.learning.selectors.decisions import BEGIN, LENGTH, Chosen, decided, latest

END = BEGIN + LENGTH
OBJECTIVE = Reward(cost_weight=3.0, latency_weight=0.02)
STEP_S = 600
POLICIES = {"thompson": ("planner", "writer", "ghost"), "by hand": ("planner", "o'Neill")}
Key = tuple[str, tuple[str, ...]]


def _chosen(lot: random.Random, place: int) -> Chosen:
    """One of two policies, one of which has versions, or nobody, decides."""
    policy = lot.choice([*POLICIES, None])
    if policy is None:
        return Chosen("other")
    candidates = list(POLICIES[policy])
    lot.shuffle(candidates)
    name = lot.choice([one for one in candidates if one != "ghost"])
    version = f"{policy}:{place}+{place % 3}" if place % 2 else f"{policy}:{place}"
    propensity = lot.choice([None, lot.uniform(0.05, 1.0)])
    return Chosen(name, tuple(candidates), version if policy == "thompson" else policy, propensity)


EVENTS = decided(900, 2, _chosen)
RATED = {event.event_id: 0.25 for event in latest(EVENTS)[::7]}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log") / "outcomes.jsonl"
    given = [Feedback(feedback_id=f"f-{of}", target="event", event_id=of, score=score, timestamp=END, name="r", source="human")
             for of, score in RATED.items()]  # fmt: skip
    path.write_text("".join(f"{each.to_json()}\n" for each in [*EVENTS, *given]))
    return path


@pytest.fixture(scope="module")
def tables(path: Path) -> Iterator[Tables]:
    with open_log([path], COLUMNS) as made:
        yield made


def told(tables: Tables) -> dict[str, Any]:
    return choices(tables, OBJECTIVE, lambda _: STEP_S, int(END.timestamp() * 1e3))


def grouped() -> dict[Key, list[OutcomeEvent]]:
    found: defaultdict[Key, list[OutcomeEvent]] = defaultdict(list)
    for event in latest(EVENTS):
        if event.choice_policy is not None:
            found[event.choice_policy.split(":")[0], tuple(sorted(event.choice_candidates))].append(event)
    return found


def mean(values: Sequence[float | None]) -> Any:
    known = [value for value in values if value is not None]
    return pytest.approx(statistics.fmean(known)) if known else None


def test_each_policy_is_one_whatever_its_version(tables: Tables) -> None:
    shown, right = told(tables), grouped()
    assert [(one["policy"], tuple(one["candidates"])) for one in shown["policies"]] == sorted(
        right, key=lambda key: -len(right[key])
    )
    for one in shown["policies"]:
        events = right[one["policy"], tuple(one["candidates"])]
        propensities = [event.choice_propensity for event in events if event.choice_propensity is not None]
        assert one["decisions"] == len(events) > 200
        assert one["pending"] == sum(event.status is OutcomeStatus.PENDING for event in events) > 0
        assert one["version"] == max(events, key=lambda event: event.timestamp).choice_policy
        assert (one["known"], one["explored"]) == (
            len(propensities), pytest.approx(sum(value <= 0.5 for value in propensities) / len(propensities))
        )  # fmt: skip
        assert one["floor_at_most"] == pytest.approx(min(1.0, min(propensities) * len(one["candidates"])))
        assert one["reward"] == mean([OBJECTIVE.of(event, RATED.get(event.event_id)) for event in events])


def test_what_came_of_each_agent(tables: Tables) -> None:
    right = grouped()
    for one in told(tables)["policies"]:
        all_events = right[one["policy"], tuple(one["candidates"])]
        assert [agent["agent"] for agent in one["agents"]] == sorted(one["candidates"])
        for agent in one["agents"]:
            events = [event for event in all_events if event.agent_name == agent["agent"]]
            ended = [event for event in events if event.status is not OutcomeStatus.PENDING]
            quality = [RATED.get(event.event_id, event.quality_score) for event in ended]
            took = [(event.duration_ms or 0.0) if event.latency_ms is None else event.latency_ms for event in ended]
            assert (agent["chosen"], agent["outcomes"]) == (len(events), len(ended))
            assert agent["pending"] == len(events) - len(ended)
            assert agent["share"] == len(events) / len(all_events)
            assert agent["propensity"] == mean([event.choice_propensity for event in events])
            assert agent["successes"] == sum(event.status is OutcomeStatus.SUCCESS for event in ended)
            assert (agent["quality"], agent["rated"]) == (mean(quality), sum(value is not None for value in quality))
            assert agent["feedback"] == sum(event.event_id in RATED for event in ended)
            assert agent["cost"] == mean([event.cost_estimate for event in ended])
            assert agent["priced"] == sum(event.cost_estimate is not None for event in ended)
            assert agent["p50"] == (pytest.approx(statistics.median(took)) if took else None)
            assert agent["reward"] == mean([OBJECTIVE.of(event, RATED.get(event.event_id)) for event in ended])


def test_over_time_each_decision_is_in_its_step(tables: Tables) -> None:
    shown, right = told(tables), grouped()
    assert shown["t"] == list(range(shown["t"][0], int(END.timestamp() * 1e3), STEP_S * 1_000))
    assert shown["step_s"] == STEP_S
    for one in shown["policies"]:
        events = right[one["policy"], tuple(one["candidates"])]
        for agent in one["agents"]:
            assert sum(agent["series"]["chosen"]) == agent["chosen"]
            assert sum(agent["series"]["outcomes"]) == agent["outcomes"]
            for place, at in enumerate(shown["t"]):
                inside = [
                    event for event in events
                    if event.agent_name == agent["agent"] and at <= event.timestamp.timestamp() * 1e3 < at + STEP_S * 1_000
                ]  # fmt: skip
                rewards = [OBJECTIVE.of(event, RATED.get(event.event_id)) for event in inside]
                assert agent["series"]["chosen"][place] == len(inside)
                assert agent["series"]["reward"][place] == mean(rewards)


def test_the_condition_of_a_policy_leaves_its_decisions_alone(tables: Tables) -> None:
    for (policy, candidates), events in grouped().items():
        found = tables.query(f"SELECT event_id FROM outcomes WHERE {of_policy(policy, candidates)}")
        assert {event_id for (event_id,) in found} == {event.event_id for event in events}
    assert tables.query(f"SELECT 1 FROM outcomes WHERE {of_policy('thompson', ['planner'])}") == []


def test_nothing_is_no_policy(path: Path) -> None:
    with open_log([path], COLUMNS) as tables:
        tables.choose("choice_policy IS NULL")
        shown = told(tables)
    assert (shown["policies"], shown["t"]) == ([], [])
