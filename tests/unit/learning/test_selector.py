"""Choosing by hand: who is chosen, what a choice says, what it learns, and arguments that cannot be used."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

import pytest

import otel_feedback as feedback
from otel_feedback import AgentSelector, FeedbackError, OutcomeStatus, Reward
from otel_feedback.events.feedback import Feedback
from otel_feedback.learning.selector.lessons import Lessons
from otel_feedback.learning.selector.looking import THREAD_NAME
from otel_feedback.testing import captured_events
from tests.pace import Patience
from tests.unit.learning.simulated import Clock, event_of


def selector_of(candidates: Any = ("planner", "writer"), **options: Any) -> AgentSelector:
    given: dict[str, Any] = {"refresh_s": None, "clock": Clock(), "seed": 1, **options}
    return AgentSelector(candidates, **given)


def test_before_anything_is_learned_all_are_alike() -> None:
    selector = selector_of(["a", "b", "c", "d"])
    assert selector.probabilities == pytest.approx(dict.fromkeys("abcd", 0.25))
    drawn = Counter(selector.choose().name for _ in range(4_000))
    assert all(900 <= drawn[name] <= 1_100 for name in "abcd")


def test_a_choice_says_whom_of_whom_how_probably_and_by_what() -> None:
    def planner() -> None: ...

    selector = selector_of({"fast": planner, "slow": None, "never": None}, exclude=["never"], floor=0.0)
    choice = selector.choose()
    while choice.name != "fast":
        choice = selector.choose()
    assert choice.agent is planner
    assert (choice.candidates, choice.propensity, choice.policy) == (("fast", "slow"), 0.5, "thompson:0")


def test_the_better_one_is_chosen_more_often_and_the_version_tells_that_something_was_learned() -> None:
    selector = selector_of(floor=0.1)
    for _ in range(40):
        choice = selector.choose()
        choice.learn(1.0 if choice.name == "writer" else 0.0)
    assert selector.policy == "thompson:0"  # until somebody looks
    selector.refresh()
    assert selector.policy == "thompson:1"
    assert selector.probabilities == pytest.approx({"planner": 0.05, "writer": 0.95}, abs=1e-3)
    assert sum(selector.probabilities.values()) == pytest.approx(1.0)


def test_decisions_follow_the_probabilities_that_they_say() -> None:
    selector = selector_of(["a", "b", "c"])
    for name, reward in (("a", 1.0), ("a", 1.0), ("b", 1.0), ("c", 0.0)):
        next(c for c in iter(selector.choose, None) if c.name == name).learn(reward)
    selector.refresh()
    drawn = Counter(selector.choose().name for _ in range(20_000))
    for name, probability in selector.probabilities.items():
        assert drawn[name] / 20_000 == pytest.approx(probability, abs=4 * (probability / 20_000) ** 0.5)


def test_what_is_excluded_is_never_chosen_and_comes_back_when_it_may() -> None:
    selector = selector_of(["a", "b", "c"], exclude=["c"], floor=1.0)
    assert Counter(selector.choose().name for _ in range(500)).keys() == {"a", "b"}
    selector.exclude("b")
    assert {selector.choose().name for _ in range(500)} == {"a"}
    assert selector.probabilities == {"a": 1.0, "b": 0.0, "c": 0.0}
    selector.include("b", "c")
    assert {selector.choose().name for _ in range(500)} == {"a", "b", "c"}


def test_an_excluded_one_stays_so_whatever_is_learned_meanwhile() -> None:
    selector = selector_of(["a", "b"])
    late = next(choice for choice in iter(selector.choose, None) if choice.name == "b")
    selector.exclude("b")
    for _ in range(50):
        late.learn(1.0)
    selector.refresh()
    assert {selector.choose().name for _ in range(200)} == {"a"}


def test_the_fallback_is_chosen_where_all_are_excluded() -> None:
    def safe() -> None: ...

    selector = selector_of(["a", "b"], exclude=["a", "b"], fallback=safe)
    choice = selector.choose()
    assert (choice.name, choice.agent, choice.propensity) == ("safe", safe, 1.0)
    assert (choice.policy, choice.candidates) == ("fallback", ("safe",))
    assert selector_of(["a", "b"], exclude=["a", "b"], fallback="b").choose().name == "b"
    with pytest.raises(FeedbackError, match="exclude leaves no candidate"):
        selector_of(["a"]).exclude("a")


def test_a_later_revision_takes_the_place_of_what_the_earlier_one_taught() -> None:
    clock = Clock()
    selector, other = (selector_of(["a"], clock=clock) for _ in range(2))
    first = event_of("a", clock.moment, success=True, event_id="one")
    second = feedback.OutcomeEvent(
        action_type="x", status=OutcomeStatus.PARTIAL, event_id="one", revision=2, timestamp=clock.moment
    )
    selector.choose().learn(first)
    selector.refresh()
    clock.now += 500.0
    selector.choose().learn(second)
    selector.choose().learn(first)  # repeated, and late
    other.choose().learn(second)
    selector.refresh()
    other.refresh()
    assert selector.state().agents["a"].outcomes == 1
    assert selector.state().agents["a"].mean == pytest.approx(other.state().agents["a"].mean)
    assert selector.state().agents["a"].successes == pytest.approx(selector.state().agents["a"].failures)


def test_what_is_pending_teaches_nothing_until_it_has_ended() -> None:
    selector = selector_of(["a"])
    pending = feedback.OutcomeEvent(action_type="x", status=OutcomeStatus.PENDING, event_id="one", revision=0)
    choice = selector.choose()
    choice.learn(pending)
    choice.learn(None)
    selector.refresh()
    assert selector.state().agents == {}
    choice.learn(event_of("a", Clock().moment, event_id="one"))
    selector.refresh()
    assert selector.state().agents["a"].outcomes == 1


def test_what_was_learned_counts_half_after_a_half_life() -> None:
    clock = Clock()
    selector = selector_of(["a"], clock=clock, half_life_s=100.0)
    for _ in range(8):
        selector.choose().learn(event_of("a", clock.moment))
    selector.refresh()
    assert selector.state().agents["a"].successes == pytest.approx(8.0)
    clock.now += 200.0
    selector.refresh()
    assert selector.state().agents["a"].successes == pytest.approx(2.0)
    assert selector.state().agents["a"].outcomes == 8


def test_what_is_forgotten_is_weighed_anew_though_nothing_is_learned() -> None:
    clock = Clock()
    selector = selector_of(clock=clock, half_life_s=100.0, floor=0.0)
    for _ in range(50):
        choice = selector.choose()
        choice.learn(float(choice.name == "writer"))
    selector.refresh()
    sure = selector.probabilities["writer"]
    clock.now += 1_000.0
    selector.refresh()
    assert 0.5 < selector.probabilities["writer"] < 0.6 < sure


def test_the_objective_decides() -> None:
    clock = Clock()
    cheap, dear = ({"cost_estimate": cost} for cost in (0.01, 0.5))
    for objective, better in ((Reward(), "planner"), (Reward(cost_weight=1.0), "writer")):
        selector = selector_of(objective=objective, clock=clock)
        for number in range(100):
            choice = selector.choose()
            is_planner = choice.name == "planner"
            event = event_of(
                choice, clock.moment, success=is_planner or number % 5 > 0, **(dear if is_planner else cheap)
            )
            choice.learn(event)
        selector.refresh()
        assert max(selector.probabilities.items(), key=lambda each: each[1])[0] == better


def test_an_action_by_hand_says_what_chose_its_agent() -> None:
    selector = selector_of()
    with captured_events() as events:
        choice = selector.choose()
        with choice.action("answer", tags=["t"]) as act:
            pass
        choice.learn(act.event)
    [event] = events
    assert (event.agent_name, event.action_type, event.tags) == (choice.name, "answer", ("t",))
    assert event.choice_candidates == ("planner", "writer")
    assert (event.choice_policy, event.choice_propensity) == ("thompson:0", 0.5)


def test_rewards_that_are_none_teach_nothing(caplog: pytest.LogCaptureFixture) -> None:
    selector = selector_of(["a"])
    selector.choose().learn("good")  # pyright: ignore[reportArgumentType]
    selector.choose().learn(7.0)
    selector.refresh()
    assert selector.state().agents["a"].successes == pytest.approx(1.0)
    assert "teaches a selector nothing" in caplog.text


def test_a_thread_looks_once_a_second_and_ends_with_its_selector() -> None:
    selector = AgentSelector(["a", "b"], seed=1)
    before = threading.active_count()
    choice = selector.choose()
    choice.learn(1.0)
    assert threading.active_count() == before + 1
    patience = Patience(20.0)
    while selector.policy == "thompson:0" and not patience.is_over:
        time.sleep(0.02)
    assert selector.policy == "thompson:1"
    gone = weakref.ref(selector)
    del selector, choice
    gc.collect()
    assert gone() is None
    patience = Patience(20.0)
    while any(thread.name == THREAD_NAME for thread in threading.enumerate()) and not patience.is_over:
        time.sleep(0.02)
    assert THREAD_NAME not in {thread.name for thread in threading.enumerate()}


def test_many_threads_choose_and_learn_at_once_and_nothing_is_lost() -> None:
    selector = AgentSelector(["a", "b"], seed=1)

    def work() -> None:
        for _ in range(2_000):
            selector.choose().learn(1.0)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        selector.refresh()
    selector.refresh()
    assert sum(known.outcomes for known in selector.state().agents.values()) == 8_000


def test_from_the_moment_it_is_excluded_nobody_chooses_it_while_all_is_weighed_anew() -> None:
    clock = Clock()
    selector = selector_of(["a", "b", *map(str, range(20))], clock=clock, half_life_s=1.0)
    is_over = threading.Event()

    def weigh() -> None:
        while not is_over.is_set():
            clock.now += 1.0
            selector.refresh()

    thread = threading.Thread(target=weigh)
    thread.start()
    try:
        for _ in range(20):
            selector.exclude("b")
            until = time.monotonic() + 0.02  # it takes that long to weigh so many
            while time.monotonic() < until:
                assert "b" not in selector.choose().candidates
            selector.include("b")
    finally:
        is_over.set()
        thread.join()


def test_it_begins_with_what_another_one_knew(tmp_path: Path) -> None:
    teacher = selector_of()
    for _ in range(60):
        choice = teacher.choose()
        choice.learn(float(choice.name == "writer"))
    teacher.refresh()
    known = tmp_path / "known.json"
    known.write_bytes(teacher.state().to_json())
    assert selector_of(warm_start=known).probabilities == pytest.approx(teacher.probabilities)
    with pytest.raises(FeedbackError, match="no state of a selector"):
        known.write_text("[]")
        selector_of(warm_start=known)


def test_it_begins_with_events_that_there_are() -> None:
    clock = Clock()
    events = [event_of("planner", clock.moment, success=number % 2 == 0) for number in range(20)]
    events += [event_of("writer", clock.moment) for _ in range(20)]
    events += [event_of("another", clock.moment)]
    selector = selector_of(clock=clock)
    assert selector.warm_up(events) == 40
    assert selector.probabilities["writer"] > 0.95


@pytest.mark.parametrize(
    ("candidates", "options", "said"),
    [
        ([], {}, "candidates are 0: expected 1 to 64"),
        (None, {}, "candidates is NoneType: expected a list of agents"),
        ("planner", {}, "candidates is str: expected a list of agents"),
        (["a", "a"], {}, "candidates have the names a, a: expected different ones"),
        (["a"], {"objective": 1}, "objective is 1: expected a Reward"),
        (["a"], {"half_life_s": 0}, "half_life_s is 0: expected a number from 0.001"),
        (["a"], {"floor": 1.5}, "floor is 1.5: expected a number from 0 to 1"),
        (["a"], {"refresh_s": 0.1}, "refresh_s is 0.1: expected a number from 1"),
        (["a"], {"exclude": ["b"]}, "exclude has 'b': expected names of candidates: a"),
        (["a"], {"exclude": ["a"]}, "exclude leaves no candidate"),
        (["a"], {"fallback": "b"}, "fallback is 'b': expected an agent, or one of a"),
    ],
)
def test_arguments_that_cannot_be_used_are_named(candidates: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(FeedbackError, match=said):
        AgentSelector(candidates, **options)


# -- feedback --------------------------------------------------------------------------------------------------


def feedback_on(
    target: str, score: float | None, second: int = 0, *, rater: str = "x", kind: Literal["event", "run"] = "event"
) -> Feedback:
    named = {"event_id": target} if kind == "event" else {"run_id": target}
    return Feedback(
        feedback_id=rater, target=kind, timestamp=datetime(2026, 3, 2, 9, 0, second, tzinfo=timezone.utc), name="rating",
        source="human", score=score, **named,
    )  # type: ignore[arg-type] # fmt: skip


def test_feedback_takes_the_place_of_quality_and_the_newest_of_each_rater_counts() -> None:
    clock = Clock()
    selector = selector_of(["a"], clock=clock)
    event = event_of("a", clock.moment, event_id="one", quality_score=0.2)
    selector.choose().learn(event)

    def mean_after(*feedback: Feedback) -> float:
        for each in feedback:
            selector.hear(each)
        selector.refresh()
        return selector.state().agents["a"].successes

    assert mean_after() == pytest.approx(0.2)
    assert mean_after(feedback_on("one", 1.0)) == pytest.approx(1.0)
    assert mean_after(feedback_on("one", 0.5, 2), feedback_on("one", 0.9, 1)) == pytest.approx(0.5)
    assert mean_after(feedback_on("one", 0.0, rater="y")) == pytest.approx(0.25)
    assert mean_after(feedback_on("one", None, 9), feedback_on("no such", 0.0)) == pytest.approx(0.25)
    known = selector.state().agents["a"]
    assert (known.outcomes, known.feedback) == (1, 1)


def test_feedback_that_comes_before_its_outcome_waits_for_it() -> None:
    clock = Clock()
    selector = selector_of(["a"], clock=clock)
    selector.hear(feedback_on("one", 0.0))
    selector.refresh()
    assert selector.state().agents == {}
    selector.choose().learn(event_of("a", clock.moment, event_id="one"))
    selector.refresh()
    assert (selector.state().agents["a"].successes, selector.state().agents["a"].feedback) == (0.0, 1)


def test_feedback_on_a_run_is_about_all_that_was_chosen_in_it() -> None:
    clock = Clock()
    selector = selector_of(["a"], clock=clock)
    for event_id, run_id in (("one", "run"), ("two", "run"), ("three", "other")):
        selector.choose().learn(event_of("a", clock.moment, event_id=event_id, run_id=run_id))
    selector.hear(feedback_on("run", 0.0, kind="run"))
    selector.refresh()
    known = selector.state().agents["a"]
    assert (known.successes, known.failures, known.feedback) == (pytest.approx(1.0), pytest.approx(2.0), 2)


def test_only_the_newest_outcomes_can_still_be_corrected() -> None:
    taught: list[tuple[float, float | None]] = []
    lessons = Lessons(Reward(), lambda name, at, reward, before: taught.append((reward, before)), lambda name: None, 3)
    moment = Clock().moment
    for number in range(5):
        lessons.take("a", event_of("a", moment, event_id=str(number), run_id="run"))
    assert [str(number) in lessons for number in range(5)] == [False, False, True, True, True]
    lessons.hear(feedback_on("0", 0.0))  # known no more: it may be about one that is to come
    lessons.hear(feedback_on("run", 0.5, kind="run"))
    assert taught == [(1.0, None)] * 5 + [(0.5, 1.0)] * 2
