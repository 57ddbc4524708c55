"""Workflows that are cut short: by their time, from outside, or by what ends the program."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest

import otel_feedback as feedback
from otel_feedback import OrchestrationDispatcher
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from tests.agents import FOREVER_S, PATIENT_S, TIMEOUT_S, Doing, Hanging, Json, Sleeping, Stubborn, run, until

MODES = ["sequential", "parallel"]


def quick(task: Any) -> Any:
    return task


def statuses(pipeline: FeedbackPipeline) -> dict[str | None, str]:
    events = pipeline.get_recent_events(count=100)
    found = {event.agent_name: event.status.value for event in events}
    assert len(found) == len(events), "one event each"
    return found


def told(result: Json) -> list[tuple[str, str]]:
    return [(output["agent"], output["status"]) for output in result["outputs"]]


@pytest.mark.parametrize("mode", MODES)
def test_its_time_cancels_the_rest(
    mode: Any, orchestrator: OrchestrationDispatcher, pipeline: FeedbackPipeline, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> Json:
        team = [Doing("quick", quick), Sleeping("slow"), Sleeping("last")]
        return await orchestrator.execute_workflow(team, "t", mode=mode, timeout_s=PATIENT_S)

    result = run(main, caplog)
    assert result["status"] == "timeout", "though one agent succeeded"
    is_last_started = mode == "parallel"
    assert told(result) == [
        ("quick", "success"),
        ("slow", "cancelled"),
        *([("last", "cancelled")] if is_last_started else []),
    ]
    assert statuses(pipeline) == {**dict(told(result)), "workflow": "timeout"}
    workflow = pipeline.get_recent_events()[-1]
    assert (workflow.agent_name, workflow.error_type) == ("workflow", "TimeoutError")
    assert workflow.error_message == f"took longer than timeout_s={PATIENT_S}"


def test_enough_time_changes_nothing(orchestrator: OrchestrationDispatcher) -> None:
    result = run(lambda: orchestrator.execute_workflow([Doing("quick", quick)], "t", timeout_s=FOREVER_S))
    assert (result["status"], result["outputs"][0]["output"]) == ("success", "t")


def test_each_agent_may_have_a_time_of_its_own(
    orchestrator: OrchestrationDispatcher, pipeline: FeedbackPipeline
) -> None:
    async def main() -> Json:
        team = [Sleeping("slow"), Doing("quick", quick)]
        return await orchestrator.execute_workflow(team, "t", agent_timeout_s=PATIENT_S, on_error="continue")

    result = run(main)
    assert (result["status"], told(result)) == ("partial", [("slow", "timeout"), ("quick", "success")])
    assert result["outputs"][0]["error"] == f"took longer than timeout_s={PATIENT_S:g}"


@pytest.mark.parametrize("timeout_s", [None, FOREVER_S])
@pytest.mark.parametrize("mode", MODES)
def test_a_cancellation_from_outside_goes_through_and_everything_started_is_recorded(
    mode: Any,
    timeout_s: float | None,
    orchestrator: OrchestrationDispatcher,
    pipeline: FeedbackPipeline,
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[str] = []
    orchestrator.dispatcher.add_post_hook(lambda agent, result, event: seen.append(agent.name))

    async def main() -> None:
        agent, other = Sleeping("slow"), Sleeping("other")
        workflow = orchestrator.execute_workflow([agent, other], "t", mode=mode, timeout_s=timeout_s)
        task = asyncio.ensure_future(workflow)
        await agent.started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main, caplog)
    others = {"other": "cancelled"} if mode == "parallel" else {}
    assert statuses(pipeline) == {"slow": "cancelled", **others, "workflow": "cancelled"}
    assert pipeline.get_recent_events()[-1].agent_name == "workflow"
    assert sorted(seen) == sorted(["slow", *others])


@pytest.mark.parametrize("timeout_s", [None, FOREVER_S])
@pytest.mark.parametrize("mode", MODES)
def test_who_cancels_again_and_again_finds_everything_recorded_all_the_same(
    mode: Any, timeout_s: float | None, orchestrator: OrchestrationDispatcher, pipeline: FeedbackPipeline
) -> None:
    """As a scope of anyio does; and the workflow has the numbers of its agents."""

    class Thinking(Sleeping):
        async def run(self, input_data: Any) -> Any:
            act = feedback.current_action()
            assert act is not None
            act.add_usage(total_tokens=10)
            return await super().run(input_data)

    async def main() -> None:
        agents = [Thinking("slow"), Thinking("other")]
        scope = anyio.CancelScope()

        async def cut() -> None:
            await agents[0].started.wait()
            scope.cancel()

        cutting = asyncio.ensure_future(cut())
        with scope:
            await orchestrator.execute_workflow(agents, "t", mode=mode, timeout_s=timeout_s)
        assert scope.cancelled_caught
        await cutting
        others = {"other": "cancelled"} if mode == "parallel" else {}
        assert statuses(pipeline) == {"slow": "cancelled", **others, "workflow": "cancelled"}
        last = pipeline.get_recent_events()[-1]
        assert (last.agent_name, last.tokens_used) == ("workflow", 20 if others else 10)

    run(main)


@pytest.mark.parametrize("mode", MODES)
def test_an_agent_that_does_not_heed_it_has_its_event_when_the_workflow_ends(
    mode: Any, orchestrator: OrchestrationDispatcher, pipeline: FeedbackPipeline, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> Json:
        stubborn = Stubborn()
        result = await orchestrator.execute_workflow([stubborn], "t", mode=mode, timeout_s=TIMEOUT_S)
        stubborn.go.set()
        await asyncio.wait_for(stubborn.ended.wait(), 10)
        return result

    result = run(main, caplog)
    assert (result["status"], told(result)) == ("timeout", [("stubborn", "cancelled")])
    assert statuses(pipeline) == {"stubborn": "cancelled", "workflow": "timeout"}


def test_a_plain_agent_is_let_run_out(orchestrator: OrchestrationDispatcher, pipeline: FeedbackPipeline) -> None:
    agent = Hanging()

    async def main() -> Json:
        result = await orchestrator.execute_workflow([agent, Doing("never", quick)], "t", timeout_s=PATIENT_S)
        agent.go.set()
        await until(agent.ended.is_set)
        return result

    assert told(run(main)) == [("hanging", "cancelled")]
    event, workflow = pipeline.get_recent_events()
    assert (event.metadata, workflow.status) == ({"thread_left_running": True}, "timeout")


@pytest.mark.parametrize("timeout_s", [None, FOREVER_S])
@pytest.mark.parametrize("mode", MODES)
def test_an_exit_of_an_agent_ends_the_program_and_everything_is_recorded(
    mode: Any,
    timeout_s: float | None,
    orchestrator: OrchestrationDispatcher,
    pipeline: FeedbackPipeline,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def leave(_: Any) -> None:
        await asyncio.sleep(0.01)
        raise SystemExit(3)

    async def main() -> None:
        team = [Doing("leaving", leave), Sleeping("other")]
        await orchestrator.execute_workflow(team, "t", mode=mode, timeout_s=timeout_s)

    with pytest.raises(SystemExit) as caught:
        run(main, caplog)
    assert caught.value.code == 3
    others = {"other": "cancelled"} if mode == "parallel" else {}
    assert statuses(pipeline) == {"leaving": "failure", **others, "workflow": "failure"}


def test_an_agent_that_cancels_itself_cancels_the_workflow(
    orchestrator: OrchestrationDispatcher, pipeline: FeedbackPipeline
) -> None:
    async def cancel(_: Any) -> None:
        raise asyncio.CancelledError

    async def main() -> None:
        with pytest.raises(asyncio.CancelledError):
            await orchestrator.execute_workflow([Doing("self", cancel), Sleeping("other")], "t", mode="parallel")

    run(main)
    assert statuses(pipeline) == {"self": "cancelled", "other": "cancelled", "workflow": "cancelled"}


def test_the_context_is_left_as_it_was(orchestrator: OrchestrationDispatcher, pipeline: FeedbackPipeline) -> None:
    async def main() -> None:
        with feedback.action("outer") as outer:
            await orchestrator.execute_workflow([Sleeping()], "t", timeout_s=TIMEOUT_S)
            assert feedback.current_action() is outer
        assert feedback.current_action() is None

    run(main)
