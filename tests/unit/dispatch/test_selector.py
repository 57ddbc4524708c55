"""`dispatch(agent=selector)`: who runs, what its event says, and what is learned of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import otel_feedback as feedback
from otel_feedback import ActionDispatcher, AgentSelector, FeedbackError, OrchestrationDispatcher
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from tests.agents import Doing, run
from tests.support import run_python


def works(input_data: Any) -> Any:
    return {"quality_score": 0.9}


async def breaks(input_data: Any) -> Any:
    raise ValueError("no")


def selector_of(candidates: Any = (works, breaks), **options: Any) -> AgentSelector:
    return AgentSelector(candidates, refresh_s=None, seed=3, **options)


def dispatch(
    dispatcher: ActionDispatcher, selector: AgentSelector, times: int = 1, **more: Any
) -> list[dict[str, Any]]:
    async def main() -> list[dict[str, Any]]:
        results: list[dict[str, Any]] = []
        for _ in range(times):
            results.append(await dispatcher.dispatch(selector, "answer", "?", **more))
            selector.refresh()
        return results

    return run(main)


def test_the_one_that_works_is_found(dispatcher: ActionDispatcher, pipeline: FeedbackPipeline) -> None:
    selector = selector_of()
    results = dispatch(dispatcher, selector, 60)
    assert selector.probabilities["works"] > 0.95
    assert sum(result["status"] == "success" for result in results[30:]) >= 25
    known = selector.state().agents
    assert known["works"].outcomes + known["breaks"].outcomes == 60
    assert known["breaks"].successes == 0.0


def test_the_event_says_who_was_chosen_of_whom_how_probably_and_by_what(
    dispatcher: ActionDispatcher, pipeline: FeedbackPipeline
) -> None:
    selector = selector_of({"good": works, "bad": breaks, "never": works}, exclude=["never"])
    dispatch(dispatcher, selector, 9)
    events = pipeline.get_recent_events()
    assert {event.agent_name for event in events} == {"good", "bad"}
    assert all(event.choice_candidates == ("good", "bad") for event in events)
    assert [event.choice_policy for event in events] == [f"thompson:{number}" for number in range(9)]
    assert events[0].choice_propensity == 0.5
    assert all(0.0 < (event.choice_propensity or 0.0) < 1.0 for event in events)


def test_other_actions_say_nothing_of_a_choice(dispatcher: ActionDispatcher, pipeline: FeedbackPipeline) -> None:
    selector = selector_of([works])

    async def main() -> None:
        await dispatcher.dispatch(selector)
        await dispatcher.dispatch(works)
        with feedback.action("answer", agent="works"):
            pass

    run(main)
    chosen, plain, by_hand = pipeline.get_recent_events()
    assert chosen.choice_candidates == ("works",)
    for event in (plain, by_hand):
        assert (event.choice_candidates, event.choice_policy, event.choice_propensity) == ((), None, None)


def test_an_agent_that_raises_is_a_lesson_and_raised_where_that_is_wanted(dispatcher: ActionDispatcher) -> None:
    selector = selector_of([breaks])
    with pytest.raises(ValueError, match="no"):
        dispatch(dispatcher, selector, raise_on_error=True)
    selector.refresh()
    assert selector.state().agents["breaks"].failures == pytest.approx(1.0, abs=1e-3)


def test_a_candidate_that_is_no_agent_is_excluded(
    dispatcher: ActionDispatcher, caplog: pytest.LogCaptureFixture
) -> None:
    selector = selector_of({"gone": None, "here": works})
    results = dispatch(dispatcher, selector, 20)
    assert all(result["status"] == "success" for result in results)
    assert selector.probabilities == {"gone": 0.0, "here": 1.0}
    assert "gone of a selector is NoneType, which is no agent: it is excluded" in caplog.text
    with pytest.raises(FeedbackError, match="exclude leaves no candidate"):
        dispatch(dispatcher, selector_of({"gone": None}))
    [result] = dispatch(dispatcher, selector_of({"gone": None}, fallback=works))
    assert result["status"] == "success"


def test_what_was_cancelled_before_it_ran_teaches_nothing(pipeline: FeedbackPipeline) -> None:
    selector = selector_of({"slow": Doing("slow", lambda *_: asyncio.sleep(0.05))})
    dispatcher = ActionDispatcher(max_concurrency=1)

    async def main() -> None:
        first, second = (asyncio.ensure_future(dispatcher.dispatch(selector)) for _ in range(2))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait([first, second])

    run(main)
    selector.refresh()
    assert len(pipeline.get_recent_events()) == 2
    assert selector.state().agents["slow"].outcomes == 1


def test_what_it_costs_counts_and_so_does_what_is_said_by_hand(dispatcher: ActionDispatcher) -> None:
    def dear(input_data: Any) -> Any:
        act = feedback.current_action()
        assert act is not None
        act.score(quality=0.75)
        return {"cost": 0.25}

    selector = selector_of([dear], objective=feedback.Reward(cost_weight=1.0))
    dispatch(dispatcher, selector)
    assert selector.state().agents["dear"].successes == pytest.approx(0.5, abs=1e-3)


def test_a_selector_stands_in_a_workflow_as_an_agent_does(
    orchestrator: OrchestrationDispatcher, pipeline: FeedbackPipeline
) -> None:
    selector = selector_of([works])
    result = run(lambda: orchestrator.execute_workflow([selector, works, selector], "task"))
    assert (result["status"], [output["agent"] for output in result["outputs"]]) == ("success", ["works"] * 3)
    selector.refresh()
    assert selector.state().agents["works"].outcomes == 2
    chosen = [event for event in pipeline.get_recent_events() if event.choice_policy]
    assert [event.choice_candidates for event in chosen] == [("works",), ("works",)]


def test_the_choice_is_on_the_span_too(spans: InMemorySpanExporter, pipeline: FeedbackPipeline) -> None:
    dispatch(ActionDispatcher(), selector_of([works]))
    [span] = spans.get_finished_spans()
    attributes: Mapping[str, Any] = span.attributes or {}
    assert attributes["outcome.choice.candidates"] == ("works",)
    assert (attributes["outcome.choice.policy"], attributes["outcome.choice.propensity"]) == ("thompson:0", 1.0)


def test_a_later_revision_of_the_event_changes_what_was_learned(pipeline: FeedbackPipeline) -> None:
    """An action that outlives the one above it: what it cost is known when it ends, and comes as a revision."""

    @feedback.action("late")
    def late() -> Iterator[None]:
        yield
        act = feedback.current_action()
        assert act is not None
        act.add_usage(cost=1.0)

    selector = selector_of(["a"], objective=feedback.Reward(cost_weight=0.5))
    choice = selector.choose()
    with choice.action("answer") as act:
        running = late()
        next(running)
    choice.learn(act.event)
    selector.refresh()
    assert selector.state().agents["a"].successes == pytest.approx(1.0, abs=1e-3)
    list(running)
    [event] = pipeline.get_recent_events(1, action_type="answer")
    assert (event.revision, event.cost_estimate) == (2, 1.0)
    selector.refresh()
    known = selector.state().agents["a"]
    assert (known.outcomes, known.successes) == (1, pytest.approx(0.5, abs=1e-3))


def test_names_that_say_a_secret_are_without_it_among_the_candidates(pipeline: FeedbackPipeline) -> None:
    secret = "sk-proj-" + "Ab3" * 16
    dispatch(ActionDispatcher(), selector_of({secret: works, "b": works}), 1)
    [event] = pipeline.get_recent_events()
    assert secret not in event.to_json()
    assert len(event.choice_candidates) == 2


def test_a_program_without_a_selector_does_not_import_one() -> None:
    program = """
    import sys
    from otel_feedback import ActionDispatcher, configure
    configure(log_file="/dev/null")
    assert ActionDispatcher().dispatch_sync(lambda given: given, input_data=1)["output"] == 1
    print([name for name in sys.modules if name.startswith("otel_feedback.learning")])
    """
    done = run_python(program, {"OTEL_TRACES_EXPORTER": "none"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
