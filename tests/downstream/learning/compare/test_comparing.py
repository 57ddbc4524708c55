"""What two ways came to: numbers that a plain recomputation has, too; who counts, and what speaks against comparing."""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from otel_feedback import OutcomeEvent, OutcomeStatus
from otel_feedback.downstream.learning.compare.comparing import Comparison, MetricOf, OfAction, compare
from otel_feedback.downstream.learning.compare.picture import picture
from otel_feedback.downstream.learning.compare.question import Question
from otel_feedback.downstream.learning.compare.sequences import Sample, difference, mean
from otel_feedback.downstream.tables.opening import open_log
from otel_feedback.downstream.tables.selection import Selection
from tests.downstream.learning.compare.trials import BEGIN, Variant, trial, write

QUESTION = Question(experiment="prompt-7")
ALL = Selection()
TWO = {"a": Variant(0.9), "b": Variant(0.7, quality=0.6, cost_usd=0.02, latency_ms=1_200)}
changed = msgspec.structs.replace


def compared(
    path: Path, events: Iterable[OutcomeEvent], question: Question = QUESTION, selection: Selection = ALL, level: float = 0.95
) -> Comparison:  # fmt: skip
    with open_log([write(path / "log.jsonl", [*events])]) as tables:
        return compare(tables, question, selection, level)


def of_action(found: Comparison, action: str = "answer") -> OfAction:
    (one,) = (each for each in found.actions if each.action_type == action)
    return one


def metric(found: Comparison, name: str, action: str = "answer") -> MetricOf:
    (one,) = (each for each in of_action(found, action).metrics if each.metric == name)
    return one


# -- numbers -------------------------------------------------------------------------------------------------------


def mixed(seed: int = 3) -> list[OutcomeEvent]:
    """Users with several actions of two types, of which not all have a quality or a cost; in no order."""
    rng = random.Random(seed)
    events: list[OutcomeEvent] = []
    for event in trial(TWO, 700, (1, 2, 7), seed):
        more: dict[str, Any] = {"action_type": rng.choice(["answer", "answer", "rank"])}
        if rng.random() < 0.4:
            more["quality_score"] = None
        if rng.random() < 0.2:
            more["own_cost"] = None
        if rng.random() < 0.1:
            more["status"] = rng.choice([OutcomeStatus.PENDING, OutcomeStatus.CANCELLED, OutcomeStatus.PARTIAL])
        events.append(changed(event, **more))
    rng.shuffle(events)
    return events


VALUES: Mapping[str, Any] = {
    "success": lambda event: float(event.status == "success"),
    "quality": lambda event: event.quality_score,
    "cost": lambda event: event.own_cost,
    "latency": lambda event: event.latency_ms,
}


def recomputed(events: Sequence[OutcomeEvent], action: str, variant: str, name: str) -> tuple[Sample, int]:
    """Return what the units of a variant came to, and how many actions that is."""
    values: dict[Any, list[float]] = {}
    for event in events:
        is_it = event.action_type == action and event.variant == variant and event.status != "pending"
        if is_it and (value := VALUES[name](event)) is not None:
            values.setdefault(event.user_id, []).append(value)
    of_units = [statistics.fmean(each) for each in values.values()]
    return Sample(len(of_units), statistics.fmean(of_units), statistics.variance(of_units)), sum(
        map(len, values.values())
    )


@pytest.mark.parametrize("action", ["answer", "rank"])
@pytest.mark.parametrize("name", VALUES)
def test_numbers_are_what_a_recomputation_says(action: str, name: str, tmp_path: Path) -> None:
    events = mixed()
    found = metric(compared(tmp_path, events, level=0.9), name, action)
    samples: dict[str, Sample] = {}
    for one in found.variants:
        samples[one.variant], actions = recomputed(events, action, one.variant, name)
        expected = mean(samples[one.variant], 0.1, is_share=found.unit in ("share", "score"))
        _, of_all = recomputed(events, action, one.variant, "success")
        assert (one.units, one.actions) == (samples[one.variant].units, actions)
        assert one.coverage == pytest.approx(actions / of_all)
        assert (one.mean, one.low, one.high) == pytest.approx(expected)
    (told,) = found.differences
    expected = difference(samples["b"], samples["a"], 0.1, is_share=found.unit in ("share", "score"))
    assert (told.estimate, told.low, told.high) == pytest.approx(expected)
    assert told.verdict == ("worse" if expected.low > 0 or expected.high < 0 else "not enough yet")
    assert (told.more_units is None) == (told.verdict == "worse")


def test_what_people_said_is_compared_where_it_is_joined(tmp_path: Path) -> None:
    events = [*trial(TWO, 600)]
    with open_log([write(tmp_path / "log.jsonl", events)]) as tables:
        names = [name for name, *_ in tables.query("DESCRIBE outcomes") if name != "feedback_score"]
        known = ", ".join(f'"{name}"' for name in names)
        score = "CASE WHEN user_id LIKE '%7' THEN CASE variant WHEN 'a' THEN 0.25 ELSE 1 END END AS feedback_score"
        tables.connection.execute("ALTER VIEW outcomes RENAME TO without")
        tables.connection.execute(f"CREATE VIEW outcomes AS SELECT {known}, {score} FROM without")
        found = metric(compare(tables, QUESTION, ALL), "feedback")
    assert {one.variant: (round(one.mean, 9), round(one.coverage, 1)) for one in found.variants} == {
        "a": (0.25, 0.1),
        "b": (1.0, 0.1),
    }
    assert "feedback" not in [one.metric for one in of_action(compared(tmp_path, events)).metrics]


def test_large_numbers_keep_their_digits(tmp_path: Path) -> None:
    """A hundred million milliseconds, of which the last few differ."""
    rng = random.Random(4)
    events = [
        changed(event, latency_ms=1e8 + rng.gauss(0, 1), user_id=f"u-{number % 200}-{event.variant}")
        for number, event in enumerate(trial(TWO, 1_000))
    ]
    for one in metric(compared(tmp_path, events), "latency").variants:
        of, _ = recomputed(events, "answer", one.variant, "latency")
        assert of.variance == pytest.approx(0.4, rel=0.5)
        assert (one.mean, one.low) == pytest.approx(mean(of, 0.05, is_share=False)[:2], abs=1e-4)


def test_a_user_counts_once_however_often_they_come(tmp_path: Path) -> None:
    """The same users twenty times over say nothing new."""
    events = [*trial(TWO, 600)]
    often = [changed(event, event_id=f"{event.event_id}-{time}") for event in events for time in range(20)]
    once, twenty = compared(tmp_path, events), compared(tmp_path, often)
    assert of_action(twenty).actions == {name: 20 * number for name, number in of_action(once).actions.items()}
    for name in VALUES:
        one, other = metric(once, name), metric(twenty, name)
        assert [each.units for each in one.variants] == [each.units for each in other.variants]
        assert (one.differences[0].low, one.differences[0].high) == pytest.approx(
            (other.differences[0].low, other.differences[0].high)
        )


def test_of_several_variants_all_intervals_hold_together(tmp_path: Path) -> None:
    three = {"a": Variant(0.9, weight=0.4), "b": Variant(0.6, weight=0.4), "c": Variant(0.9, weight=0.2)}
    found = compared(tmp_path, events := [*trial(three, 1_500)])
    told = {each.variant: each for each in metric(found, "success").differences}
    samples = {name: recomputed(events, "answer", name, "success")[0] for name in three}
    assert told["b"].high == pytest.approx(difference(samples["b"], samples["a"], 0.025, is_share=True).high)
    assert {name: each.verdict for name, each in told.items()} == {"b": "worse", "c": "not enough yet"}
    against_c = compared(tmp_path, events, Question(experiment="prompt-7", baseline="c"))
    assert {each.variant for each in metric(against_c, "success").differences} == {"a", "b"}


def test_too_few_units_have_no_interval_and_it_is_said_how_many_there_are_to_be(tmp_path: Path) -> None:
    found = compared(tmp_path, trial(TWO, 150))
    units = of_action(found).units
    (told,) = metric(found, "success").differences
    missing = sum(100 - number for number in units.values() if number < 100)
    assert (told.low, told.high, told.verdict, told.more_units) == (None, None, "not enough yet", missing)


# -- who counts ----------------------------------------------------------------------------------------------------


def test_a_unit_is_a_user_else_a_session_else_a_run_and_of_one_tenant(tmp_path: Path) -> None:
    (one,) = trial({"a": Variant(1.0, weight=1.0)}, 1)
    of_units: list[dict[str, Any]] = [
        {"user_id": "u", "session_id": "s-1", "run_id": "r-1"}, {"user_id": "u", "session_id": "s-2", "run_id": "r-2"},
        {"user_id": None, "session_id": "s-1", "run_id": "r-1"}, {"user_id": None, "session_id": "s-1", "run_id": "r-2"},
        {"user_id": None, "session_id": None, "run_id": "r-1"}, {"user_id": None, "session_id": None, "run_id": None},
        {"user_id": "u", "tenant_id": "acme"},
    ]  # fmt: skip
    found = compared(tmp_path, [changed(one, event_id=f"e-{place}", **each) for place, each in enumerate(of_units)])
    assert (found.units, of_action(found).actions) == ({"a": 5}, {"a": 7})


def test_only_actions_that_asked_and_have_ended_count_once_each(tmp_path: Path) -> None:
    one, other = trial({"a": Variant(1.0, weight=1.0)}, 2)
    events = [
        changed(one, revision=0, status=OutcomeStatus.PENDING, end_time=None), one, one,
        changed(one, revision=2, status=OutcomeStatus.FAILURE),
        changed(other, status=OutcomeStatus.PENDING),
        changed(one, event_id="inside", metadata={}), changed(one, event_id="theirs", experiment="other"),
    ]  # fmt: skip
    found = compared(tmp_path, events)
    assert (found.units, of_action(found).actions) == ({"a": 1}, {"a": 1})
    assert metric(found, "success").variants[0].mean == 0
    nothing = compared(tmp_path, [changed(one, metadata={})])
    assert (nothing.units, nothing.events, nothing.actions) == ({}, 1, [])


def test_what_it_cost_elsewhere_is_added_and_what_it_cost_here_is_not_added_twice(tmp_path: Path) -> None:
    (one,) = trial({"a": Variant(1.0, weight=1.0)}, 1)
    asked = changed(
        one, event_id="asked", root_event_id="top", trace_id="t", own_cost=1.0, cost_estimate=3.0, service_name="first"
    )  # fmt: skip
    inside = changed(asked, event_id="inside", own_cost=2.0, cost_estimate=None, metadata={})
    there = changed(inside, event_id="there", root_event_id="there", own_cost=10.0, service_name="second")
    other_trace = changed(there, event_id="another", root_event_id="another", trace_id="u", own_cost=50.0)
    free = changed(there, event_id="free", root_event_id="free", own_cost=None)
    events = [asked, inside, there, other_trace, free]
    assert metric(compared(tmp_path, events), "cost").variants[0].mean == 13.0
    only_first = Selection(values={"service_name": ["first"]})
    assert metric(compared(tmp_path, events, selection=only_first), "cost").variants[0].mean == 13.0
    twice = [*events, changed(asked, event_id="again", cost_estimate=4.0)]
    assert metric(compared(tmp_path, twice), "cost").variants[0].mean == (3 + 10 + 4) / 2
    other = Selection(values={"action_type": ["rank"]})
    ranked = [*events, changed(there, event_id="rank", root_event_id="rank", action_type="rank", metadata=one.metadata)]
    found = compared(tmp_path, ranked, selection=other)
    assert metric(found, "cost", "rank").variants[0].mean == 10.0, (
        "what is of the first is so, also where that is not looked at"
    )
    unpriced = [changed(asked, own_cost=None, cost_estimate=None), there]
    assert metric(compared(tmp_path, unpriced), "cost").variants[0].mean == 10.0


def test_filters_choose_among_what_is_compared(tmp_path: Path) -> None:
    events = [
        changed(event, tenant_id="acme" if number % 3 else "other") for number, event in enumerate(trial(TWO, 300))
    ]
    found = compared(tmp_path, events, selection=Selection(values={"tenant_id": ["acme"]}))
    assert sum(found.units.values()) == 200
    late = compared(tmp_path, events, selection=Selection(since=BEGIN + timedelta(seconds=250)))
    assert sum(late.units.values()) == 50


BY: list[tuple[Question, Any]] = [
    (Question(by="agent", values=("writer", "editor")), lambda first: {"agent_name": "writer" if first else "editor"}),
    (Question(by="model", values=("gpt-4o", "o'mini")), lambda first: {"model": "gpt-4o" if first else "o'mini"}),
    (Question(by="tag", values=("v1", "v2")), lambda first: {"tags": ("v1", "x") if first else ("x", "v2")}),
    (
        Question(by="metadata.app.version", values=("1.4", "2")),
        lambda first: {"metadata": {"app.version": "1.4" if first else 2}},
    ),
]


@pytest.mark.parametrize(("question", "more"), BY, ids=[str(each[0].by) for each in BY])
def test_two_values_of_something_are_compared_and_nobody_drew_them(
    question: Question, more: Any, tmp_path: Path
) -> None:
    events = [changed(event, **{"metadata": {}, **more(event.variant == "a")}) for event in trial(TWO, 600)]
    (one, *_) = events
    others = [
        changed(one, event_id=f"other-{place}", **{"tags": (), "model": None, "agent_name": None, "metadata": {}, **each})
        for place, each in enumerate([{}, {"tags": ("v1", "v2")}, {"model": "third"}])
    ]  # fmt: skip
    found = compared(tmp_path, [*events, *others], question)
    drawn = compared(tmp_path, trial(TWO, 600))
    assert (found.is_drawn, found.baseline, found.assignment) == (False, question.values[0], None)
    assert [*found.units.values()] == [
        drawn.units[name] for name in sorted(("a", "b"), key=lambda name: question.values["ab".index(name)])
    ]
    for name in VALUES:
        (told,), (expected,) = metric(found, name).differences, metric(drawn, name).differences
        assert (told.variant, told.low) == (question.values[1], pytest.approx(expected.low))


# -- what speaks against comparing ---------------------------------------------------------------------------------


def test_as_many_as_were_drawn_is_no_mismatch_and_fewer_are(tmp_path: Path) -> None:
    events = [*trial({"a": Variant(0.9, weight=0.9), "b": Variant(0.9, weight=0.1)}, 2_000, (1, 2))]
    told = compared(tmp_path, events).assignment
    assert told is not None
    assert (told.counted_by, told.is_mismatch, told.weights_changed) == ("units", False, False)
    assert told.expected == {"a": 0.9, "b": 0.1}
    lossy = [event for event in events if event.variant == "a" or int((event.user_id or "u-0")[2:]) % 2]
    told = compared(tmp_path, lossy).assignment
    assert told is not None
    assert told.is_mismatch


def test_a_variant_that_is_nowhere_is_a_mismatch(tmp_path: Path) -> None:
    told = compared(tmp_path, [event for event in trial(TWO, 100) if event.variant == "a"]).assignment
    assert told is not None
    assert (told.expected, told.is_mismatch) == ({"a": 0.5}, True)


def test_after_a_change_of_weights_the_newest_count(tmp_path: Path) -> None:
    before = [*trial({"a": Variant(0.9, weight=0.9), "b": Variant(0.9, weight=0.1)}, 2_000)]
    after = [
        changed(event, event_id=f"after-{event.event_id}", user_id=f"later-{event.user_id}", end_time=BEGIN + timedelta(days=1))
        for event in trial({"a": Variant(0.9, weight=0.7), "b": Variant(0.9, weight=0.3)}, 500, seed=2)
    ]  # fmt: skip
    told = compared(tmp_path, [*before, *after]).assignment
    assert told is not None
    assert (told.expected, told.is_mismatch, told.weights_changed) == ({"a": 0.7, "b": 0.3}, False, True)
    assert sum(told.counted.values()) == 500


def test_where_runs_were_drawn_runs_are_counted_and_units_that_have_both_are_told(tmp_path: Path) -> None:
    rng = random.Random(5)
    events = [changed(event, user_id=f"u-{rng.randrange(50)}") for event in trial(TWO, 800)]
    found = compared(tmp_path, events)
    assert found.assignment is not None
    assert (found.assignment.counted_by, sum(found.assignment.counted.values())) == ("runs", 800)
    assert (found.in_several, found.assignment.is_mismatch) == (50, False)


def test_sessions_are_counted_where_they_were_drawn(tmp_path: Path) -> None:
    events = [
        changed(event, session_id=event.user_id, user_id=f"u-{int((event.user_id or '')[2:]) // 4}")
        for event in trial(TWO, 800, (3,))
    ]
    told = compared(tmp_path, events).assignment
    assert told is not None
    assert (told.counted_by, sum(told.counted.values()), told.is_mismatch) == ("sessions", 800, False)


def test_propensities_that_are_no_weights_are_not_checked(tmp_path: Path) -> None:
    events = [*trial(TWO, 100)]
    for propensity in (None, 0.8):
        told = compared(tmp_path, [changed(event, propensity=propensity) for event in events]).assignment
        assert told is not None
        assert (told.p_value, told.is_mismatch, sum(told.counted.values())) == (None, False, 100)


def test_what_they_differ_in_otherwise_is_told(tmp_path: Path) -> None:
    rng = random.Random(6)

    def with_tenants(share_of_b: float) -> list[OutcomeEvent]:
        return [
            changed(event, tenant_id="acme" if rng.random() < (0.2 if event.variant == "a" else share_of_b) else None)
            for event in trial(TWO, 1_000)
        ]

    assert of_action(compared(tmp_path, with_tenants(0.2))).imbalances == []
    told = of_action(compared(tmp_path, with_tenants(0.5))).imbalances
    assert [(one.name, one.value, one.variant) for one in told] == [("tenant", "acme", "b")]
    assert (told[0].share, told[0].baseline) == pytest.approx((0.5, 0.2), abs=0.08)


# -- how it came about ---------------------------------------------------------------------------------------------


def test_each_point_of_the_picture_is_what_one_saw_then(tmp_path: Path) -> None:
    path = write(tmp_path / "log.jsonl", [event for event in mixed() if event.action_type == "answer"])
    with open_log([path]) as tables:
        drawn = picture(tables, QUESTION, Selection(), points=7)
    (action,) = drawn["actions"]
    assert (drawn["baseline"], drawn["level"], action["action_type"]) == ("a", 0.95, "answer")
    for place in (1, 6):
        until = _moment(action["metrics"]["success"]["differences"]["b"][place]["until"])
        with open_log([path]) as tables:
            found = compare(tables, QUESTION, Selection(until=until + timedelta(microseconds=1)))
        for name, told in action["metrics"].items():
            then, (as_difference,) = metric(found, name), metric(found, name).differences
            shown = [(told["differences"]["b"], as_difference.estimate, as_difference)]
            shown += [(told["variants"][one.variant], one.mean, one) for one in then.variants]
            for points, estimate, expected in shown:
                point = points[place]
                assert len(points) == 7
                assert [point["estimate"], point["low"], point["high"]] == pytest.approx(
                    [estimate, expected.low, expected.high]
                )
            assert [told["variants"][one.variant][place]["units"] for one in then.variants] == [
                one.units for one in then.variants
            ]


def test_of_actions_that_end_at_one_moment_the_picture_shows_what_all_of_them_come_to(tmp_path: Path) -> None:
    events = [event for event in mixed() if event.action_type == "answer"]
    at = events[0].timestamp
    path = write(tmp_path / "log.jsonl", [changed(event, timestamp=at, end_time=at) for event in events])
    with open_log([path]) as tables:
        (action,) = picture(tables, QUESTION, Selection(), points=7)["actions"]
    with open_log([path]) as tables:
        (expected,) = metric(compare(tables, QUESTION, Selection()), "success").differences
    (point,) = action["metrics"]["success"]["differences"]["b"]
    assert (point["estimate"], point["low"], point["high"]) == pytest.approx(
        (expected.estimate, expected.low, expected.high)
    )


def _moment(text: str) -> Any:
    from datetime import datetime

    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def test_a_picture_of_nothing_is_empty(tmp_path: Path) -> None:
    with open_log([write(tmp_path / "log.jsonl", [])]) as tables:
        assert picture(tables, QUESTION, Selection()) == {"baseline": None, "level": 0.95, "actions": []}
