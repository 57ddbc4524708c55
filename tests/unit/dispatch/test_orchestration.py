"""Workflows: what goes from agent to agent, what the whole is called in the end, and its shape in events and spans."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

import otel_feedback as feedback
from otel_feedback import ActionDispatcher, FeedbackError, OrchestrationDispatcher
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from tests.agents import Doing, Echo, Json, run


def fail(_: Any) -> None:
    raise ValueError("no")


def late(_: Any) -> None:
    raise TimeoutError("late")


def halve(_: Any) -> str:
    act = feedback.current_action()
    assert act is not None
    act.partial("half")
    return "half"


def give_up(_: Any) -> None:
    act = feedback.current_action()
    assert act is not None
    act.cancel("nobody wants it")


def upper(text: str) -> str:
    return text.upper()


def double(text: str) -> str:
    return text * 2


def team_of(**agents: Any) -> list[Doing]:
    return [Doing(name, does) for name, does in agents.items()]


def told(result: Json) -> list[tuple[str, str, Any]]:
    return [(output["agent"], output["status"], output["output"]) for output in result["outputs"]]


# -- sequential --------------------------------------------------------------------------------------------


def test_each_agent_gets_what_the_one_before_it_gave(
    orchestrator: OrchestrationDispatcher, pipeline: FeedbackPipeline
) -> None:
    result = run(
        lambda: orchestrator.execute_workflow(
            agents=team_of(upper=upper, double=double), task="ab", tags=["compliance"], action_type="reasoning"
        )
    )
    assert result.keys() == {
        "status", "workflow_id", "run_id", "event_id", "outputs", "duration_ms", "total_tokens", "total_cost",
    }  # fmt: skip
    assert (result["status"], result["total_tokens"], result["total_cost"]) == ("success", None, None)
    assert told(result) == [("upper", "success", "AB"), ("double", "success", "ABAB")]
    first, second, workflow = pipeline.get_recent_events()
    for output, event in zip(result["outputs"], (first, second), strict=True):
        assert output == {
            "agent": event.agent_name,
            "status": "success",
            "output": output["output"],
            "error": None,
            "duration_ms": event.duration_ms,
            "event_id": event.event_id,
        }
    assert (first.action_type, first.tags, workflow.tags) == ("reasoning", ("compliance",), ("compliance",))
    assert (workflow.action_type, workflow.agent_name, workflow.agent_type) == ("workflow", "workflow", "workflow")
    assert (workflow.event_id, workflow.duration_ms) == (result["event_id"], result["duration_ms"])


def test_the_context_goes_to_each(orchestrator: OrchestrationDispatcher) -> None:
    result = run(lambda: orchestrator.execute_workflow([Echo(), Echo()], "task", context={"k": 1}))
    first, second = (output["output"] for output in result["outputs"])
    assert first == {"input": "task", "context": {"k": 1}}
    assert second == {"input": first, "context": {"k": 1}}


def test_after_a_failure_no_other_is_started(orchestrator: OrchestrationDispatcher, pipeline: FeedbackPipeline) -> None:
    result = run(lambda: orchestrator.execute_workflow(team_of(a=upper, b=fail, c=double), "ab"))
    assert result["status"] == "partial"
    assert told(result) == [("a", "success", "AB"), ("b", "failure", None)]
    assert result["outputs"][1]["error"] == "no"
    assert [event.agent_name for event in pipeline.get_recent_events()] == ["a", "b", "workflow"]


def test_to_go_on_is_with_the_last_output_there_was(orchestrator: OrchestrationDispatcher) -> None:
    team = team_of(a=upper, b=fail, c=double)
    result = run(lambda: orchestrator.execute_workflow(team, "ab", on_error="continue"))
    assert result["status"] == "partial"
    assert told(result) == [("a", "success", "AB"), ("b", "failure", None), ("c", "success", "ABAB")]


def test_a_partial_outcome_goes_on(orchestrator: OrchestrationDispatcher) -> None:
    result = run(lambda: orchestrator.execute_workflow(team_of(a=halve, b=double), "ab"))
    assert (result["status"], told(result)[1]) == ("partial", ("b", "success", "halfhalf"))


# -- parallel ----------------------------------------------------------------------------------------------


def test_in_parallel_all_get_the_task_and_run_at_once(orchestrator: OrchestrationDispatcher) -> None:
    async def main() -> Json:
        both = [asyncio.Event(), asyncio.Event()]

        async def meet(task: str, mine: int) -> str:
            both[mine].set()
            await asyncio.wait_for(both[1 - mine].wait(), 10)
            return f"{task} {mine}"

        async def first(task: str) -> str:
            answer = await meet(task, 0)
            await asyncio.sleep(0.01)  # it ends last
            return answer

        async def second(task: str) -> str:
            return await meet(task, 1)

        return await orchestrator.execute_workflow(team_of(first=first, second=second), "t", mode="parallel")

    assert told(run(main)) == [("first", "success", "t 0"), ("second", "success", "t 1")]


def test_in_parallel_a_failure_cancels_those_under_way(
    orchestrator: OrchestrationDispatcher, pipeline: FeedbackPipeline, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> Json:
        async def wait(_: Any) -> None:
            await asyncio.sleep(30)

        async def fail_soon(_: Any) -> None:
            await asyncio.sleep(0.01)
            raise ValueError("no")

        return await orchestrator.execute_workflow(
            team_of(quick=upper, waiting=wait, failing=fail_soon), "ab", mode="parallel"
        )

    result = run(main, caplog)
    assert result["status"] == "partial"
    assert told(result) == [
        ("quick", "success", "AB"),
        ("waiting", "cancelled", None),
        ("failing", "failure", None),
    ]
    assert [output["error"] for output in result["outputs"]] == [None, "CancelledError", "no"]
    events = {event.agent_name: event for event in pipeline.get_recent_events()}
    assert [events[name].status for name in ("quick", "waiting", "failing", "workflow")] == [
        "success",
        "cancelled",
        "failure",
        "partial",
    ]
    assert [output["event_id"] for output in result["outputs"]] == [
        events[name].event_id for name in ("quick", "waiting", "failing")
    ]
    assert pipeline.get_recent_events()[-1].agent_name == "workflow", "it ends after its agents"


def test_in_parallel_the_others_may_go_on(orchestrator: OrchestrationDispatcher) -> None:
    async def slow(text: str) -> str:
        await asyncio.sleep(0.01)
        return text

    team = team_of(failing=fail, slow=slow)
    result = run(lambda: orchestrator.execute_workflow(team, "t", mode="parallel", on_error="continue"))
    assert (result["status"], told(result)) == (
        "partial",
        [("failing", "failure", None), ("slow", "success", "t")],
    )


def test_in_parallel_the_dispatchers_limit_holds_and_all_have_their_event(pipeline: FeedbackPipeline) -> None:
    orchestrator = OrchestrationDispatcher(max_concurrency=1)
    team = team_of(a=upper, b=fail, c=double, d=double)
    result = run(lambda: orchestrator.execute_workflow(team, "t", mode="parallel"))
    assert [status for _, status, _ in told(result)] == ["success", "failure", "cancelled", "cancelled"]
    assert len(pipeline.get_recent_events()) == 5


# -- the status of the whole -------------------------------------------------------------------------------

RULES: dict[str, tuple[list[Any], str, str, str | None]] = {
    "all succeed": ([upper, upper], "success", "info", None),
    "one of two fails": ([upper, fail], "partial", "warning", None),
    "the first fails": ([fail, upper], "failure", "error", "ValueError"),
    "one is partial": ([upper, halve], "partial", "warning", None),
    "the first is late": ([late, upper], "timeout", "error", "TimeoutError"),
    "the first gives up": ([give_up, upper], "cancelled", "warning", "_OTHER"),
}


@pytest.mark.parametrize("rule", RULES)
def test_status_by_rule(
    rule: str, orchestrator: OrchestrationDispatcher, pipeline: FeedbackPipeline, spans: InMemorySpanExporter
) -> None:
    agents, status, severity, error_type = RULES[rule]
    team = [Doing(f"agent {number}", agent) for number, agent in enumerate(agents)]
    result = run(lambda: orchestrator.execute_workflow(team, "t"))
    event = pipeline.get_recent_events()[-1]
    assert (result["status"], event.status, event.severity) == (status, status, severity)
    assert type(result["status"]) is str
    span = spans.get_finished_spans()[-1]
    assert event.error_type == error_type
    if error_type is not None:
        assert event.error_message == f"agent 0: {result['outputs'][0]['error'] or status}"
    assert (span.status.status_code is StatusCode.ERROR) == (status in ("failure", "timeout", "cancelled"))


@pytest.mark.parametrize(
    ("agents", "status"),
    [
        ([fail, late], "failure"),
        ([late, fail], "timeout"),
        ([fail, upper, late], "partial"),
        ([fail, halve], "partial"),
    ],
)
def test_status_when_others_go_on(agents: list[Any], status: str, orchestrator: OrchestrationDispatcher) -> None:
    team = [Doing(f"agent {number}", agent) for number, agent in enumerate(agents)]
    assert run(lambda: orchestrator.execute_workflow(team, "t", on_error="continue"))["status"] == status


def test_what_made_it_partial_is_told(orchestrator: OrchestrationDispatcher, pipeline: FeedbackPipeline) -> None:
    run(lambda: orchestrator.execute_workflow(team_of(a=upper, b=fail), "t"))
    assert pipeline.get_recent_events()[-1].metadata == {"status_reason": "b: no"}


# -- totals, ids, nesting ----------------------------------------------------------------------------------


def test_totals_are_those_of_all_agents(orchestrator: OrchestrationDispatcher, pipeline: FeedbackPipeline) -> None:
    team = team_of(
        a=lambda _: {"tokens_used": 10, "cost": 0.25},  # pyright: ignore[reportUnknownLambdaType]
        b=lambda _: {"usage": {"input_tokens": 3, "output_tokens": 4}, "cost": 0.5},  # pyright: ignore[reportUnknownLambdaType]
    )
    for mode in ("sequential", "parallel"):
        result = run(lambda mode=mode: orchestrator.execute_workflow(team, "t", mode=mode))
        assert (result["total_tokens"], result["total_cost"]) == (17, 0.75)
    workflow = pipeline.get_recent_events()[-1]
    assert (workflow.tokens_used, workflow.own_tokens, workflow.cost_estimate) == (17, None, 0.75)


@pytest.mark.parametrize("mode", ["sequential", "parallel"])
def test_one_workflow_span_with_the_agents_below(
    mode: Any, orchestrator: OrchestrationDispatcher, pipeline: FeedbackPipeline, spans: InMemorySpanExporter
) -> None:
    class Typed(Doing):
        agent_type = "react"

    team = [Typed("a", upper), Doing("b", upper)]
    result = run(
        lambda: orchestrator.execute_workflow(
            team, "t", mode=mode, name="report", session_id="s", user_id="u", tenant_id="t", correlation_id="c"
        )
    )
    *agents, workflow = pipeline.get_recent_events()
    assert workflow.agent_name == "report"
    for event in (*agents, workflow):
        assert (event.workflow_id, event.run_id) == (result["workflow_id"], result["run_id"])
        assert (event.session_id, event.user_id, event.tenant_id, event.correlation_id) == ("s", "u", "t", "c")
        assert event.root_event_id == workflow.event_id
    assert [(event.parent_event_id, event.depth) for event in agents] == [(workflow.event_id, 1)] * 2
    assert {event.agent_type for event in agents} == {"react", None}
    *below, top = spans.get_finished_spans()
    assert top.name == "workflow report"
    assert top.context is not None
    assert [span.parent.span_id for span in below if span.parent] == [top.context.span_id] * 2


def test_ids_are_random_or_given(orchestrator: OrchestrationDispatcher) -> None:
    team = team_of(a=upper)
    first, second = (run(lambda: orchestrator.execute_workflow(team, "t")) for _ in range(2))
    assert first["workflow_id"] != second["workflow_id"]
    assert first["run_id"] != second["run_id"]
    given = run(lambda: orchestrator.execute_workflow(team, "t", workflow_id="wf", run_id="run"))
    assert (given["workflow_id"], given["run_id"]) == ("wf", "run")


def test_a_workflow_in_an_action_belongs_to_its_run(
    orchestrator: OrchestrationDispatcher, pipeline: FeedbackPipeline
) -> None:
    async def main() -> list[Json]:
        team = team_of(a=upper)
        with feedback.action("request", run_id="run", workflow_id="wf"):
            named = await orchestrator.execute_workflow(team, "t")
        with feedback.action("request"):
            unnamed = await orchestrator.execute_workflow(team, "t")
        return [named, unnamed]

    named, unnamed = run(main)
    assert (named["workflow_id"], named["run_id"]) == ("wf", "run")
    events = pipeline.get_recent_events()
    assert {event.run_id for event in events[3:]} == {unnamed["run_id"]} == {events[5].trace_id}
    assert events[4].parent_event_id == events[5].event_id


def test_a_workflow_may_be_an_agent_of_another(
    orchestrator: OrchestrationDispatcher, pipeline: FeedbackPipeline
) -> None:
    async def inner(task: str) -> Json:
        return await orchestrator.execute_workflow([Doing("deep", lambda _: {"tokens_used": 5})], task, name="inner")

    result = run(lambda: orchestrator.execute_workflow(team_of(nested=inner), "t", name="outer"))
    assert result["total_tokens"] == 5, "once, though the inner result says so, too"
    assert [(e.agent_name, e.depth) for e in pipeline.get_recent_events()] == [
        ("deep", 3),
        ("inner", 2),
        ("nested", 1),
        ("outer", 0),
    ]
    assert {event.run_id for event in pipeline.get_recent_events()} == {result["run_id"]}


# -- the dispatcher behind it ------------------------------------------------------------------------------


def test_its_dispatcher_brings_hooks_and_retries(pipeline: FeedbackPipeline) -> None:
    calls: list[Any] = []

    def flaky(task: str) -> str:
        calls.append(task)
        if len(calls) == 1:
            raise ValueError("not yet")
        return "at last"

    seen: list[Mapping[str, Any]] = []
    dispatcher = ActionDispatcher(retries=1, backoff_s=0.001, raise_on_error=True)
    dispatcher.add_post_hook(lambda agent, result, event: seen.append(result))
    orchestrator = OrchestrationDispatcher(dispatcher)
    result = run(lambda: orchestrator.execute_workflow(team_of(flaky=flaky), "t"))
    assert (result["status"], [one["attempts"] for one in seen]) == ("success", [2])
    assert run(lambda: orchestrator.execute_workflow(team_of(failing=fail), "t"))["status"] == "failure"
    assert orchestrator.dispatcher is dispatcher


def test_a_dispatcher_and_options_of_one_are_too_much(pipeline: FeedbackPipeline) -> None:
    with pytest.raises(FeedbackError, match=r"\['retries'\] belong to the dispatcher that was given"):
        OrchestrationDispatcher(ActionDispatcher(), retries=1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"mode": "both"}, "mode is 'both': expected"),
        ({"on_error": "ignore"}, "on_error is 'ignore': expected"),
        ({"agents": []}, "agents is empty: expected at least one"),
        ({"agents": [Echo(), 7]}, "int is no agent"),
        ({"agents": Echo()}, "agents is Echo: expected a list of agents"),
        ({"timeout_s": -1}, "timeout_s is -1: expected"),
        ({"agent_timeout_s": "1"}, "agent_timeout_s is '1': expected"),
    ],
)
def test_arguments_that_cannot_be_used_start_nothing(
    wrong: Json, message: str, orchestrator: OrchestrationDispatcher, pipeline: FeedbackPipeline
) -> None:
    given: Json = {"agents": [Echo()], "task": "t", **wrong}
    with pytest.raises(FeedbackError, match=message):
        run(lambda: orchestrator.execute_workflow(**given))
    assert pipeline.get_recent_events() == []
