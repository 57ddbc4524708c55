"""What is planted is found, by the slice that explains it, and where nothing is, nothing is told: hundreds of made-up logs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from otel_feedback.downstream.learning.gaps.finding import LEAST_ACTIONS, MOST_VALUES, find
from otel_feedback.downstream.learning.gaps.gap import Gap, Gaps, as_data
from otel_feedback.downstream.tables.tables import Tables
from tests.downstream.learning.gaps.planted import fill, uniform

ALONE = "0.1"
TOGETHER = f"CASE WHEN {uniform('run', 'run')} < 0.1 THEN 0.95 ELSE 0.02 END"
"""Most actions of one run fail, or none: as where one failure is the reason of the next."""
QUALITY = f"1 - pow({uniform('quality')}, 6) - 0.3 * pow({uniform('quality of run', 'run')}, 6)"
"""Skewed, as people's marks are, and alike within a run."""


@pytest.fixture(scope="module")
def tables() -> Iterator[Tables]:
    with Tables() as made:
        made.make_table()
        yield made


def found(tables: Tables, seed: int, number: int, failing: str, quality: str = "NULL") -> Gaps:
    fill(tables, seed, number, failing, quality)
    return find(tables)


def names(gaps: Gaps) -> list[tuple[str, ...]]:
    return [(gap.metric, *map(str, gap.slices)) for gap in gaps.gaps]


@pytest.mark.parametrize("failing", [ALONE, TOGETHER], ids=["alone", "together"])
def test_with_nothing_planted_nothing_is_told(tables: Tables, failing: str) -> None:
    """In 150 logs each, of which one in twenty could have something; without what is done about it, nearly all have."""
    told = [seed for seed in range(150) if found(tables, seed, 1_200, failing, QUALITY).gaps]
    assert len(told) <= 7


@pytest.mark.brief
def test_with_nothing_planted_nothing_is_told_in_a_few(tables: Tables) -> None:
    told = [seed for seed in range(1_000, 1_012) if found(tables, seed, 1_200, TOGETHER, QUALITY).gaps]
    assert len(told) <= 1


PLANTED = {
    "one value": ("CASE WHEN agent_name = 'researcher' THEN 0.2 ELSE 0.08 END", "NULL", ("success", "agent researcher")),
    "metadata": ("CASE WHEN plan = 'free' THEN 0.16 ELSE 0.08 END", "NULL", ("success", "metadata.plan free")),
    "a tag": ("CASE WHEN list_contains(tags, 'beta') THEN 0.18 ELSE 0.08 END", "NULL", ("success", "tag beta")),
    "a pair": (
        "CASE WHEN agent_name = 'researcher' AND model = 'small' THEN 0.35 ELSE 0.08 END", "NULL",
        ("success", "agent researcher", "model small"),
    ),
    "a pair with metadata": (
        "CASE WHEN tenant_id = 'acme' AND retries = 3 THEN 0.35 ELSE 0.08 END", "NULL",
        ("success", "tenant acme", "metadata.retries 3"),
    ),
    "quality": (
        "0.08", f"{QUALITY} - CASE WHEN action_type = 'write' THEN 0.1 ELSE 0 END", ("quality", "action write"),
    ),
    "quality of a pair": (
        "0.08", f"{QUALITY} - CASE WHEN action_type = 'write' AND model = 'old' THEN 0.2 ELSE 0 END",
        ("quality", "action write", "model old"),
    ),
}  # fmt: skip


@pytest.mark.brief
def test_a_slice_whose_actions_are_all_the_same_is_as_sure_as_it_is(tables: Tables) -> None:
    """Its variance is none, and what sums leave of that in their last digits tells nothing of how its actions go together."""
    quality = f"CASE WHEN action_type = 'write' THEN 0.1 ELSE 0.5 + 0.5 * {uniform('quality')} END"
    for seed in range(8):
        [gap] = found(tables, seed, 1_200 + 101 * seed, "0.05", quality).gaps
        assert (gap.metric, str(gap.slices[0])) == ("quality", "action write")
        assert gap.p < 1e-120


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_is_told_and_nothing_else(tables: Tables, name: str) -> None:
    """In nearly all logs what explains it, and that alone, never the twenty slices that it is seen in."""
    failing, quality, planted = PLANTED[name]
    told = [names(found(tables, seed, 4_000, failing, quality)) for seed in range(2_000, 2_030)]
    assert sum(planted in each for each in told) >= 28, told
    assert sum(each == [planted] for each in told) >= 26, told


@pytest.mark.brief
def test_what_is_planted_is_told_and_nothing_else_in_a_few(tables: Tables) -> None:
    told = [
        (names(found(tables, seed, 4_000, failing, quality)), [planted])
        for failing, quality, planted in PLANTED.values()
        for seed in range(2_000, 2_002)
    ]
    assert sum(each == wanted for each, wanted in told) >= len(told) - 1, told


@pytest.mark.brief
def test_several_are_told_by_what_they_cost(tables: Tables) -> None:
    failing = "CASE WHEN agent_name = 'researcher' AND model = 'small' THEN 0.5 WHEN tenant_id = 'acme' THEN 0.2 ELSE 0.08 END"
    told = found(tables, 7, 12_000, failing)
    assert names(told) == [("success", "tenant acme"), ("success", "agent researcher", "model small")]
    first, second = told.gaps
    assert first.lost > second.lost
    assert (first.number, second.number) == (1, 0), "the less likely by chance explains first"
    assert second.here == pytest.approx(0.5, abs=0.05)
    assert second.elsewhere == pytest.approx(0.88, abs=0.02)
    assert second.lost == pytest.approx(second.actions * (second.elsewhere - second.here))
    failed = round(second.actions * (1 - second.here))
    assert second.cost == pytest.approx(0.01 * failed * second.lost / failed)
    assert second.took_ms == pytest.approx(100.0 * second.lost)
    assert 0 < second.p < 1e-10
    ids = [example.event_id for example in second.examples]
    rows = tables.query(
        f"SELECT DISTINCT agent_name, model, status FROM outcomes WHERE event_id IN ('{ids[0]}', '{ids[1]}', '{ids[2]}')"
    )
    assert rows == [("researcher", "small", "failure")]


@pytest.mark.brief
def test_slices_of_the_same_actions_are_one_gap(tables: Tables) -> None:
    """A value that comes with another is told with it, in the order of dimensions: here the tool is the agent's alone."""
    fill(tables, 11, 4_000, "CASE WHEN agent_name = 'critic' THEN 0.25 ELSE 0.08 END")
    tables.connection.execute("UPDATE lines SET tool_name = 'compare' WHERE agent_name = 'critic'")
    (gap,) = find(tables).gaps
    assert [str(each) for each in gap.slices] == ["agent critic"]
    assert [[str(each) for each in same] for same in gap.same_as] == [["tool compare"]]


@pytest.mark.brief
def test_values_that_are_many_are_counted_and_left_out(tables: Tables) -> None:
    """Neither an id, nor more values than a dimension may have, nor what nearly all actions have, is a slice."""
    fill(tables, 12, 4_000, ALONE)
    tables.connection.execute("UPDATE lines SET model = 'm-' || (hash(event_id) % 60), tool_name = 'all'")
    told = find(tables)
    left_out = {each.dimension: each for each in told.left_out}
    assert left_out["metadata.request"][1:] == (4_000, 0)
    assert left_out["model"][1] == 60
    assert left_out["model"].looked_at <= MOST_VALUES
    assert not {"tool", "tenant", "agent"} & left_out.keys()
    assert told.tests < 600
    tables.connection.execute("UPDATE lines SET metadata = json_object('key ' || (hash(event_id) % 40), true)")
    told = find(tables)
    keys = {each.dimension: each for each in told.left_out if each.dimension.startswith("metadata.key ")}
    assert 10 <= len(keys) <= 16, "the most frequent of 40 are looked at, beside agents, actions and so on"
    assert {each[1:] for each in keys.values()} == {(1, 0)}


@pytest.mark.brief
def test_too_few_actions_and_none_are_no_gap(tables: Tables) -> None:
    assert found(tables, 1, 0, ALONE) == Gaps([], 0, 0, [])
    few = found(tables, 1, LEAST_ACTIONS, "CASE WHEN agent_name = 'critic' THEN 1 ELSE 0 END")
    assert (few.gaps, few.actions, few.tests) == ([], LEAST_ACTIONS, 0)


@pytest.mark.brief
def test_failures_of_a_few_runs_are_no_gap(tables: Tables) -> None:
    """A tenant of whose runs three went wrong all through has many failures, of which few are news."""
    fill(tables, 13, 2_400, "0.05")
    tables.connection.execute(
        "UPDATE lines SET run_id = 'run-' || (CASE WHEN tenant_id = 'acme' THEN hash(event_id) % 12 ELSE hash(event_id) END)"
    )
    assert find(tables).gaps == []
    tables.connection.execute("UPDATE lines SET status = 'failure' WHERE run_id IN ('run-1', 'run-5', 'run-9')")
    assert find(tables).gaps == []


@pytest.mark.brief
def test_feedback_is_quality_where_there_is_some() -> None:
    """Of an action that has both, what people said of it counts."""
    marked = "CASE WHEN agent_name = 'critic' THEN 0.3 WHEN hash(event_id) % 2 = 0 THEN 0.9 END AS feedback_score"
    with Tables() as joined:
        joined.make_table()
        fill(joined, 15, 4_000, ALONE, "0.8")
        joined.connection.execute("ALTER VIEW outcomes RENAME TO outcomes_before")
        others = "COLUMNS(lambda name: name NOT LIKE 'feedback_%')"
        joined.connection.execute(f"CREATE VIEW outcomes AS SELECT {others}, {marked} FROM outcomes_before")
        assert names(find(joined)) == [("quality", "agent critic")]


def test_what_is_under_way_or_was_called_off_does_not_count(tables: Tables) -> None:
    fill(tables, 14, 2_000, ALONE)
    tables.connection.execute(
        "UPDATE lines SET status = 'cancelled' WHERE agent_name = 'critic' AND status = 'failure'"
    )
    tables.connection.execute("UPDATE lines SET status = 'pending' WHERE agent_name = 'planner'")
    ((ended,),) = tables.query("SELECT count(*) FROM outcomes WHERE status IN ('success', 'failure')")
    assert find(tables).actions == ended


def test_the_data_of_a_page_is_all_of_it(tables: Tables) -> None:
    told = found(tables, 7, 4_000, "CASE WHEN agent_name = 'researcher' THEN 0.3 ELSE 0.08 END")
    data = as_data(told)
    assert {name: data[name] for name in ("actions", "false_share")} == {"actions": 4_000, "false_share": 0.05}
    (gap,) = data["gaps"]
    assert gap.keys() == set(Gap.__struct_fields__)
    assert gap["slices"] == [{"dimension": "agent", "value": "researcher"}]
    assert gap["examples"][0].keys() == {"event_id", "run_id"}
    assert data["left_out"] == [{"dimension": "metadata.request", "values": 4_000, "looked_at": 0}]
