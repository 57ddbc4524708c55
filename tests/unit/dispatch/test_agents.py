"""What an agent may be: anything that can be run, plain or async, with as much of input and context as it takes."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import pytest
import trio

import otel_feedback as feedback
from otel_feedback import ActionDispatcher, FeedbackError
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from tests.agents import Echo, run


class Run:
    def run(self, task: str) -> str:
        return f"run {task}"


class Invoke:
    async def invoke(self, task: str, config: Mapping[str, Any] | None = None, **more: Any) -> str:
        return f"invoke {task} {config}"


class Called:
    def __call__(self, task: str, context: Mapping[str, Any]) -> str:
        return f"called {task} {context}"


class AsyncCalled:
    async def __call__(self, task: str) -> str:
        return f"async called {task}"


class All(Run, Invoke, Called):
    def execute(self, task: str, context: Mapping[str, Any]) -> str:
        return f"execute {task} {context}"


def plain_function(task: str) -> str:
    return f"function {task}"


async def async_function(task: str, verbose: bool = False) -> str:
    return f"async function {task} {verbose}"


def named_only(*, input_data: str, context: Mapping[str, Any]) -> str:
    return f"named {input_data} {context}"


def any_named(**given: Any) -> str:
    return f"any named {given['input_data']} {given['context']}"


def any_number(*given: Any) -> str:
    return f"any {given}"


def context_named(task: str, *rest: Any, context: Mapping[str, Any]) -> str:
    return f"context named {task} {rest} {context}"


def nothing() -> str:
    return "nothing"


AGENTS: dict[str, tuple[Any, str, str]] = {
    "execute before all others": (All(), "All", "execute t {'k': 1}"),
    "run": (Run(), "Run", "run t"),
    "invoke, async, its second is a config": (Invoke(), "Invoke", "invoke t {'k': 1}"),
    "an object that can be called": (Called(), "Called", "called t {'k': 1}"),
    "one whose call is async": (AsyncCalled(), "AsyncCalled", "async called t"),
    "a function": (plain_function, "plain_function", "function t"),
    "an async function, other defaults stay": (async_function, "async_function", "async function t False"),
    "a method": (Run().run, "run", "run t"),
    "a partial": (functools.partial(async_function, verbose=True), "async_function", "async function t True"),
    "keywords only": (named_only, "named_only", "named t {'k': 1}"),
    "any keywords": (any_named, "any_named", "any named t {'k': 1}"),
    "any number": (any_number, "any_number", "any ('t', {'k': 1})"),
    "context by keyword": (context_named, "context_named", "context named t () {'k': 1}"),
    "nothing": (nothing, "nothing", "nothing"),
    "a built-in": (str.upper, "upper", "T"),
}


@pytest.mark.parametrize("case", AGENTS)
def test_an_agent_is_anything_that_can_be_run(
    case: str, dispatcher: ActionDispatcher, pipeline: FeedbackPipeline
) -> None:
    agent, name, output = AGENTS[case]
    for _ in range(2):  # the second time from what is known of it
        result = run(lambda: dispatcher.dispatch(agent, "x", "t", {"k": 1}))
        assert (result["output"], result["error"]) == (output, None)
    assert {event.agent_name for event in pipeline.get_recent_events()} == {name}


def test_a_function_that_is_also_a_method_takes_one_more(dispatcher: ActionDispatcher) -> None:
    def first(one: Any, two: Any) -> tuple[Any, Any]:
        return one, two

    class Agent:
        run = first

    agent = Agent()
    for _ in range(2):
        assert run(lambda: dispatcher.dispatch(agent, "x", 7))["output"] == (agent, 7)
        assert run(lambda: dispatcher.dispatch(first, "x", 7, {"k": 1}))["output"] == (7, {"k": 1})


def test_name_and_type_are_the_agents_own_where_they_are_text(
    dispatcher: ActionDispatcher, pipeline: FeedbackPipeline
) -> None:
    class Named(Run):
        name = "react_agent"
        agent_type = "react"

    class Badly(Run):
        agent_type = 7

        @property
        def name(self) -> str:
            raise RuntimeError("not loaded")

    async def main() -> None:
        await dispatcher.dispatch(Named())
        await dispatcher.dispatch(Named(), agent_type="other")
        await dispatcher.dispatch(Badly())

    run(main)
    assert [(event.agent_name, event.agent_type) for event in pipeline.get_recent_events()] == [
        ("react_agent", "react"),
        ("react_agent", "other"),
        ("Badly", None),
    ]


@pytest.mark.parametrize("agent", [object(), None, 7, "react", Run])
def test_what_is_no_agent_is_refused_and_not_recorded(
    agent: object, dispatcher: ActionDispatcher, pipeline: FeedbackPipeline
) -> None:
    with pytest.raises(FeedbackError, match=r"expected an (object|agent)"):
        run(lambda: dispatcher.dispatch(agent))
    assert pipeline.get_recent_events() == []


@pytest.mark.parametrize(
    "wrong",
    [{"retries": -1}, {"retries": 1.5}, {"timeout_s": -1}, {"timeout_s": "5"}, {"timeout_s": float("nan")}],
    ids=str,
)
def test_arguments_that_cannot_be_used_are_refused(wrong: dict[str, Any], dispatcher: ActionDispatcher) -> None:
    with pytest.raises(FeedbackError, match=f"{next(iter(wrong))} is .*: expected"):
        run(lambda: dispatcher.dispatch(Echo(), **wrong))


@pytest.mark.parametrize("hooks", ["pre_hooks", "post_hooks"])
@pytest.mark.parametrize("wrong", [print, [print, None], "ab"])
def test_hooks_that_are_none_are_refused(hooks: str, wrong: Any, dispatcher: ActionDispatcher) -> None:
    with pytest.raises(FeedbackError, match=r"expected (a list of hooks|something that can be called)"):
        run(lambda: dispatcher.dispatch(Echo(), **{hooks: wrong}))
    for add in (dispatcher.add_pre_hook, dispatcher.add_post_hook):
        with pytest.raises(FeedbackError, match="7 is no hook: expected"):
            add(7)  # type: ignore[arg-type]


def test_a_loop_that_is_not_asyncios_is_refused_and_no_failure_of_the_agent(
    dispatcher: ActionDispatcher, pipeline: FeedbackPipeline
) -> None:
    async def on_trio() -> Any:
        orchestrator = feedback.OrchestrationDispatcher(dispatcher)
        for running in (dispatcher.dispatch(Echo()), orchestrator.execute_workflow([Echo()], "t")):
            with pytest.raises(FeedbackError, match=r"no event loop of asyncio runs here: use dispatch_sync"):
                await running
        assert pipeline.get_recent_events() == []
        return await trio.to_thread.run_sync(dispatcher.dispatch_sync, Echo())

    assert trio.run(on_trio)["status"] == "success"


@pytest.mark.parametrize(
    "wrong", [{"retries": -1}, {"max_concurrency": 0}, {"backoff_s": -1}, {"hook_timeout_s": None}], ids=str
)
def test_so_are_those_of_the_dispatcher(wrong: dict[str, Any], pipeline: FeedbackPipeline) -> None:
    with pytest.raises(FeedbackError, match=f"{next(iter(wrong))} is .*: expected"):
        ActionDispatcher(**wrong)
