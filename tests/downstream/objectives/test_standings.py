"""How objectives stand, held to a plain recomputation over made-up traffic; and where nothing can be said."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from otel_feedback import OutcomeEvent, OutcomeStatus
from otel_feedback.downstream.objectives.counting import COLUMNS
from otel_feedback.downstream.objectives.objective import Objective
from otel_feedback.downstream.objectives.reading import parse
from otel_feedback.downstream.objectives.standings import Standing, standings
from otel_feedback.downstream.tables.opening import open_log
from tests.downstream.objectives.recomputed import standing_of
from tests.downstream.tables import made

DAYS = 35
BEGIN = made.BEGIN
OBJECTIVES = parse(
    """
    [[objective]]
    name = "success"
    kind = "success"
    target = 0.82
    by = ["tenant", "agent"]
    [[objective]]
    name = "strict"
    kind = "success"
    partial = "bad"
    target = 0.7
    period = "7d"
    action = ["plan", "wr*"]
    [[objective]]
    name = "fast"
    kind = "latency"
    threshold_ms = 1500
    target = 0.8
    by = []
    [[objective]]
    name = "cheap"
    kind = "cost"
    threshold_usd = 0.02
    target = 0.6
    period = "14d"
    by = "tenant"
    [[objective]]
    name = "spending"
    kind = "cost"
    threshold_usd = 0.9
    window = "12h"
    target = 0.9
    by = "tenant"
    [[objective]]
    name = "good"
    kind = "quality"
    threshold_score = 0.1
    target = 0.9
    period = "1d"
    by = ["agent", "action"]
    [[objective]]
    name = "nobody"
    kind = "success"
    target = 0.9
    agent = "nobody"
    """
)


@pytest.fixture(scope="module")
def records() -> list[OutcomeEvent]:
    return made.events(7_000, seed=5, minutes=DAYS * 1_440)


def write(path: Path, records: Sequence[OutcomeEvent]) -> Path:
    path.write_bytes(b"".join(record.to_json().encode() + b"\n" for record in records))
    return path


def told(log: Path, objectives: Sequence[Objective], now: datetime) -> list[Standing]:
    with open_log([log], COLUMNS) as tables:
        return standings(tables, objectives, now)


@pytest.mark.parametrize("hours", [2, 30, 24 * 9 + 0.51, 24 * 30, 24 * 34.3])
def test_they_equal_a_plain_recomputation(records: list[OutcomeEvent], hours: float, tmp_path: Path) -> None:
    now = BEGIN + timedelta(hours=hours)
    found: dict[str, dict[Any, dict[str, Any]]] = {}
    for each in told(write(tmp_path / "log", records), OBJECTIVES, now):
        numbers = {name: getattr(each, name) for name in Standing.__struct_fields__[7:]}
        used_up_at = numbers.pop("used_up_at")
        numbers["used_up_in_days"] = None if used_up_at is None else (used_up_at - now) / timedelta(days=1)
        numbers.pop("bad_run_id")
        found.setdefault(each.objective, {})[each.tenant_id, each.agent_name, each.action_type] = numbers
    for objective in OBJECTIVES:
        expected = standing_of(records, objective, now)
        assert found[objective.name].keys() == expected.keys(), objective.name
        for key, numbers in expected.items():
            assert found[objective.name][key] == {
                name: pytest.approx(value, rel=1e-6, abs=1e-6) if isinstance(value, float) else value
                for name, value in numbers.items()
            }, (objective.name, key)


def test_the_traffic_has_all_that_can_be_said(records: list[OutcomeEvent], tmp_path: Path) -> None:
    """Or the recomputation would prove little."""
    log = write(tmp_path / "log", records)
    states = {each.state for days in (1.2, 9, 34) for each in told(log, OBJECTIVES, BEGIN + timedelta(days=days))}
    assert states == {"met", "at risk", "missed", "not enough yet"}


# -- boundaries ----------------------------------------------------------------------------------------------------

NOW = BEGIN + timedelta(days=1)
NUMBERS = itertools.count()


def event(status: str = "success", hours_ago: float = 1, **fields: Any) -> OutcomeEvent:
    at = NOW - timedelta(hours=hours_ago)
    return OutcomeEvent(
        event_id=f"event-{next(NUMBERS)}", revision=1, timestamp=at, end_time=None if status == "pending" else at,
        action_type="plan", agent_name="planner", status=OutcomeStatus(status), run_id=f"run-{status}", **fields,
    )  # fmt: skip


def one(tmp_path: Path, objective: str, records: Sequence[OutcomeEvent]) -> Standing:
    (standing,) = told(write(tmp_path / "log", records), parse(f'[[objective]]\nname = "a"\n{objective}'), NOW)
    return standing


SUCCESS = 'kind = "success"\ntarget = 0.95\n'


@pytest.mark.parametrize(
    "records",
    [
        [],
        [event("pending") for _ in range(50)],
        [event("cancelled") for _ in range(50)],
        [event(hours_ago=31 * 24)] * 50,
    ],
    ids=["no traffic", "under way", "cancelled", "too long ago"],
)
def test_without_anything_that_counts_nothing_is_said(records: list[OutcomeEvent], tmp_path: Path) -> None:
    standing = one(tmp_path, SUCCESS, records)
    assert (standing.state, standing.counted, standing.least) == ("not enough yet", 0, 20)
    assert (standing.attained, standing.budget_remaining, standing.burn_24h) == (None, None, None)


def test_so_many_as_may_have_one_that_is_bad_are_enough(tmp_path: Path) -> None:
    few = [event() for _ in range(19)]
    standing = one(tmp_path, SUCCESS, few)
    assert (standing.state, standing.attained, standing.counted) == ("not enough yet", None, 19)
    standing = one(tmp_path, SUCCESS, [*few, event()])
    assert (standing.state, standing.attained, standing.budget_remaining) == ("met", 1.0, 1.0)
    assert one(tmp_path, f"{SUCCESS}min_count = 5\n", few).state == "met"


@pytest.mark.parametrize("target", [0.9, 0.95, 0.71, 0.93, 0.999])
def test_exactly_at_the_target_is_met_and_one_more_is_missed(target: float, tmp_path: Path) -> None:
    bad = round((1 - target) * 1_000)
    log = [event(), *(event("failure") for _ in range(bad)), *(event() for _ in range(1_000 - bad - 1))]
    objective = f'kind = "success"\ntarget = {target}\n'
    standing = one(tmp_path, objective, log)
    assert (standing.budget_remaining, standing.bad) == (0.0, bad)
    assert standing.state == "met", "the pace is that of the target"
    assert standing.attained == pytest.approx(target)
    standing = one(tmp_path, objective, [*log[1:], event("timeout")])
    assert standing.state == "missed"
    assert standing.budget_remaining is not None
    assert standing.budget_remaining < 0
    assert standing.used_up_at is None


def test_partial_is_good_unless_it_is_said_to_be_bad(tmp_path: Path) -> None:
    log = [event("partial") for _ in range(20)]
    assert one(tmp_path, SUCCESS, log).attained == 1.0
    assert one(tmp_path, f'{SUCCESS}partial = "bad"\n', log).attained == 0.0


def test_what_has_no_score_is_no_quality(tmp_path: Path) -> None:
    quality = 'kind = "quality"\nthreshold_score = 0.7\ntarget = 0.9\n'
    standing = one(tmp_path, quality, [event() for _ in range(500)])
    assert (standing.state, standing.attained, standing.coverage) == ("not enough yet", None, 0.0)
    scored = [event(quality_score=0.7) for _ in range(10)]
    standing = one(tmp_path, quality, [*scored, *(event() for _ in range(30))])
    assert (standing.state, standing.attained, standing.coverage) == ("met", 1.0, 0.25)


def test_tokens_without_a_price_are_not_cheap(tmp_path: Path) -> None:
    cost = 'kind = "cost"\nthreshold_usd = 0.01\ntarget = 0.9\n'
    log = [event(own_tokens=900) for _ in range(30)]
    standing = one(tmp_path, cost, log)
    assert (standing.state, standing.counted, standing.coverage) == ("not enough yet", 0, 0.0)
    standing = one(tmp_path, cost, [*log, *(event(own_tokens=9, own_cost=0.01) for _ in range(10)), event()])
    assert (standing.counted, standing.attained, standing.coverage) == (10, 1.0, 0.25), (
        "a tool that uses none is neither"
    )


def test_an_action_costs_what_those_below_it_cost(tmp_path: Path) -> None:
    cost = 'kind = "cost"\nthreshold_usd = 0.01\ntarget = 0.9\n'
    assert one(tmp_path, cost, [event(own_cost=0.001, cost_estimate=0.5) for _ in range(10)]).attained == 0.0


def test_a_window_with_an_unknown_cost_is_not_cheap_but_may_be_dear(tmp_path: Path) -> None:
    spending = 'kind = "cost"\nthreshold_usd = 1\nwindow = "1h"\ntarget = 0.5\n'
    cheap = [event(own_cost=0.5, hours_ago=hours) for hours in (5, 6)]
    unknown = event(own_tokens=9, hours_ago=5)
    standing = one(tmp_path, spending, [*cheap, unknown])
    assert (standing.counted, standing.bad, standing.coverage) == (1, 0, 0.5)
    standing = one(tmp_path, spending, [*cheap, unknown, event(own_cost=0.6, hours_ago=5)])
    assert (standing.counted, standing.bad, standing.coverage) == (2, 1, 1.0)
    under_way = [event(own_cost=0.1, hours_ago=0.0)]
    standing = one(tmp_path, spending, [*cheap, *under_way, event(own_cost=5, hours_ago=0.0)])
    assert (standing.counted, standing.bad) == (2, 0), "it has not ended"


def test_what_fails_at_once_is_not_fast(tmp_path: Path) -> None:
    latency = 'kind = "latency"\nthreshold_ms = 1000\ntarget = 0.9\n'
    quick = [event("failure", latency_ms=3.0) for _ in range(50)]
    assert one(tmp_path, latency, quick).state == "not enough yet"
    standing = one(
        tmp_path, latency, [*quick, *(event(latency_ms=1_000.0) for _ in range(9)), event("timeout", latency_ms=10.0)]
    )
    assert (standing.counted, standing.bad, standing.state) == (10, 1, "met")


def test_what_is_left_lasts_as_long_as_today_says(tmp_path: Path) -> None:
    """10 days without a failure and 100 actions each, then one with 20: of a budget of 5 % that lasts two and two thirds."""
    log = [event(hours_ago=24 * day + hour) for day in range(1, 11) for hour in (1, 5, 9, 12, 20) for _ in range(20)]
    log += [event("failure" if number < 20 else "success", hours_ago=3) for number in range(100)]
    standing = one(tmp_path, SUCCESS, log)
    assert (standing.state, standing.burn_24h, standing.bad_run_id) == ("at risk", pytest.approx(4), "run-failure")
    assert standing.used_up_at is not None
    # 20 + 20 d = 0.05 * (1,100 + 100 d)
    assert (standing.used_up_at - NOW) / timedelta(days=1) == pytest.approx(35 / 15, rel=1e-6)
