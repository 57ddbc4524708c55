"""`dispatch()`: what an agent may be, what it is given, and the dict that comes back."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import otel_feedback as feedback
from otel_feedback import ActionDispatcher, FeedbackError
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from tests.agents import Doing, Echo, Plain, run

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def the_event(pipeline: FeedbackPipeline) -> feedback.OutcomeEvent:
    [event] = pipeline.get_recent_events()
    return event


# -- the result --------------------------------------------------------------------------------------------


def test_a_success_has_all_keys(dispatcher: ActionDispatcher, pipeline: FeedbackPipeline) -> None:
    async def main() -> dict[str, Any]:
        return await dispatcher.dispatch(
            agent=Echo(), action_type="reasoning", input_data={"query": "?"}, context={"user": 7}, tags=["a", "b"],
            metadata={"k": 1}, agent_type="react", workflow_id="wf", run_id="run", session_id="s", tenant_id="t",
            user_id="u", correlation_id="c",
        )  # fmt: skip

    result = run(main)
    event = the_event(pipeline)
    assert result == {
        "status": "success",
        "output": {"input": {"query": "?"}, "context": {"user": 7}},
        "error": None,
        "error_type": None,
        "duration_ms": event.duration_ms,
        "latency_ms": event.latency_ms,
        "event_id": event.event_id,
        "trace_id": event.trace_id,
        "attempts": 1,
    }
    assert type(result["status"]) is str
    assert (event.agent_name, event.agent_type, event.action_type) == ("echo", "react", "reasoning")
    assert (event.workflow_id, event.run_id, event.session_id) == ("wf", "run", "s")
    assert (event.tenant_id, event.user_id, event.correlation_id) == ("t", "u", "c")
    assert (event.tags, event.metadata, event.attempt) == (("a", "b"), {"k": 1}, None)
    assert event.latency_ms is not None
    assert event.duration_ms is not None
    assert event.latency_ms >= event.duration_ms > 0


def test_a_failure_is_a_result_and_no_exception(dispatcher: ActionDispatcher, pipeline: FeedbackPipeline) -> None:
    def fail(_: Any) -> None:
        raise KeyError("missing")

    result = run(lambda: dispatcher.dispatch(Doing("failing", fail)))
    event = the_event(pipeline)
    assert (result["status"], result["error"], result["error_type"]) == ("failure", "'missing'", "KeyError")
    assert (result["output"], result["attempts"]) == (None, 1)
    assert (event.status, event.error_type, event.action_type) == ("failure", "KeyError", "execute")
    assert event.stack_trace is not None
    assert "in fail" in event.stack_trace


def test_an_error_without_a_message_is_told_by_its_name(dispatcher: ActionDispatcher) -> None:
    def fail(_: Any) -> None:
        raise ValueError

    assert run(lambda: dispatcher.dispatch(Doing("failing", fail)))["error"] == "ValueError"


@pytest.mark.parametrize("by_call", [True, False])
def test_raise_on_error_raises_what_the_agent_raised(by_call: bool, pipeline: FeedbackPipeline) -> None:
    error = ValueError("no")

    def fail(_: Any) -> None:
        raise error

    dispatcher = ActionDispatcher(raise_on_error=not by_call)

    async def main() -> None:
        with pytest.raises(ValueError, match="no") as caught:
            await dispatcher.dispatch(Doing("failing", fail), raise_on_error=True if by_call else None)
        assert caught.value is error
        assert caught.value.__cause__ is None
        assert (await dispatcher.dispatch(Doing("failing", fail), raise_on_error=False))["status"] == "failure"

    run(main)
    assert [event.status for event in pipeline.get_recent_events()] == ["failure", "failure"]


def test_an_agents_own_timeout_error_is_a_timeout(dispatcher: ActionDispatcher) -> None:
    def fail(_: Any) -> None:
        raise TimeoutError("the model took too long")

    result = run(lambda: dispatcher.dispatch(Doing("failing", fail), timeout_s=30))
    assert (result["status"], result["error"], result["error_type"]) == (
        "timeout",
        "the model took too long",
        "TimeoutError",
    )


def test_what_the_agent_says_by_hand_wins(dispatcher: ActionDispatcher) -> None:
    def say(how: str) -> str:
        act = feedback.current_action()
        assert act is not None
        getattr(act, how)("by hand")
        return "answer"

    results = [run(functools.partial(dispatcher.dispatch, Doing("a", say), "x", how)) for how in ("fail", "partial")]
    assert [(r["status"], r["output"], r["error"], r["error_type"]) for r in results] == [
        ("failure", "answer", "by hand", "_OTHER"),
        ("partial", "answer", None, None),
    ]


# -- where they run ----------------------------------------------------------------------------------------


def test_a_plain_agent_runs_off_the_loop_with_the_context_variables(
    dispatcher: ActionDispatcher, pipeline: FeedbackPipeline
) -> None:
    def work() -> tuple[str, str, bool]:
        with feedback.action("inner"):
            return VARIABLE.get(), threading.current_thread().name, threading.current_thread().daemon

    async def main() -> dict[str, Any]:
        VARIABLE.set("kept")
        alive = asyncio.ensure_future(asyncio.sleep(0))
        result = await dispatcher.dispatch(Plain(), "x", work)
        assert alive.done(), "the loop went on meanwhile"
        return result

    assert run(main)["output"] == ("kept", "otel-feedback-agent", True)
    inner, outer = pipeline.get_recent_events()
    assert (inner.parent_event_id, inner.run_id) == (outer.event_id, outer.run_id)


def test_cpu_time_of_a_plain_agent_is_that_of_its_thread(
    dispatcher: ActionDispatcher, pipeline: FeedbackPipeline
) -> None:
    burnt_ms: list[float] = []

    def burn() -> None:
        before = time.thread_time()
        while time.thread_time() < before + 0.05:
            pass
        burnt_ms.append((time.thread_time() - before) * 1e3)

    async def main() -> None:
        go = threading.Event()
        task = asyncio.ensure_future(dispatcher.dispatch(Plain(), "x", go.wait))
        await asyncio.sleep(0)
        burn()  # the loop's thread is busy with something else
        go.set()
        await task
        await dispatcher.dispatch(Plain(), "x", burn)

    run(main)
    waiting, burning = (event.cpu_time_ms for event in pipeline.get_recent_events())
    assert waiting is not None
    assert burning is not None
    assert waiting < burnt_ms[0] / 2
    assert burning >= burnt_ms[1]


def test_an_async_agent_sees_context_variables_and_its_action(
    dispatcher: ActionDispatcher, pipeline: FeedbackPipeline, spans: InMemorySpanExporter
) -> None:
    async def work(_: Any) -> str:
        act = feedback.current_action()
        assert act is not None
        act.set_metadata(seen=VARIABLE.get())
        async with feedback.action("inner"):
            await asyncio.sleep(0)
        return act.event_id

    async def main() -> dict[str, Any]:
        VARIABLE.set("kept")
        with feedback.action("outer", tags=["t"], tenant_id="acme"):
            result = await dispatcher.dispatch(Doing("a", work))
            act = feedback.current_action()
            assert act is not None
            assert act.depth == 0, "the outer one is current again"
        return result

    result = run(main)
    assert result["output"] == result["event_id"]
    inner, event, outer = pipeline.get_recent_events()
    assert (event.metadata, event.tags, event.tenant_id) == ({"seen": "kept"}, ("t",), "acme")
    assert (inner.parent_event_id, event.parent_event_id) == (event.event_id, outer.event_id)
    assert feedback.current_action() is None
    assert [span.name for span in spans.get_finished_spans()] == ["inner", "execute a", "outer"]


def test_a_plain_function_may_return_an_awaitable(dispatcher: ActionDispatcher) -> None:
    async def work() -> str:
        await asyncio.sleep(0.01)
        return threading.current_thread().name

    def plainly() -> Any:
        return work()

    result = run(lambda: dispatcher.dispatch(plainly, timeout_s=30))
    assert (result["status"], result["output"]) == ("success", "MainThread")


def test_what_an_async_agent_returns_is_its_answer_even_if_it_could_be_awaited(dispatcher: ActionDispatcher) -> None:
    async def give() -> Any:
        return asyncio.get_running_loop().create_future()

    async def main() -> bool:
        return isinstance((await dispatcher.dispatch(give))["output"], asyncio.Future)

    assert run(main)


def test_what_a_generator_yields_is_the_answer(dispatcher: ActionDispatcher) -> None:
    """An action that ended when the generator was made would say nothing of it."""

    def numbers(count: int) -> Iterator[int]:
        yield from range(count)

    async def words(count: int) -> AsyncIterator[str]:
        for number in range(count):
            await asyncio.sleep(0)
            yield str(number)
        raise ValueError("no more")

    def behind(agent: Callable[[int], Any]) -> Callable[[int], Any]:
        return lambda count: agent(count)  # noqa: PLW0108 - it is no generator function, and that one is

    agents = (numbers, words, behind(numbers), behind(words))
    results = [run(functools.partial(dispatcher.dispatch, agent, "x", 3)) for agent in agents]
    assert [(r["status"], r["output"], r["error"]) for r in results] == [
        ("success", [0, 1, 2], None),
        ("failure", None, "no more"),
    ] * 2


@pytest.mark.parametrize("error", [StopIteration, StopAsyncIteration])
def test_an_iterator_that_ran_dry_is_a_failure_of_the_agent(
    error: type[Exception], dispatcher: ActionDispatcher
) -> None:
    def fail() -> None:
        raise error

    result = run(lambda: dispatcher.dispatch(Plain(), "x", fail))
    assert (result["status"], result["error"]) == ("failure", f"the agent raised {error.__name__}")


def test_a_thread_that_cannot_be_started_is_a_failure_like_others(
    pipeline: FeedbackPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []
    start = threading.Thread.start

    def refuse(self: threading.Thread) -> None:
        if self.name == "otel-feedback-agent":
            tried.append(1)
            if len(tried) < 3:
                raise RuntimeError("can't start new thread")
        start(self)

    dispatcher = ActionDispatcher(backoff_s=0.001)

    async def main() -> list[dict[str, Any]]:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            patch.setattr("otel_feedback.dispatch.threads.Idle.threads", [])
            return [await dispatcher.dispatch(Plain(), "x", lambda: 1, retries=retries) for retries in (0, 1)]

    first, second = run(main)
    assert (first["status"], first["error"]) == ("failure", "can't start new thread")
    assert (second["status"], second["attempts"]) == ("success", 2)


# -- dispatch_sync -----------------------------------------------------------------------------------------


def test_dispatch_sync_needs_no_loop(dispatcher: ActionDispatcher, pipeline: FeedbackPipeline) -> None:
    VARIABLE.set("kept")
    with feedback.action("outer"):
        result = dispatcher.dispatch_sync(Plain(), "x", VARIABLE.get, tags=["t"])
    event, outer = pipeline.get_recent_events()
    assert (result["status"], result["output"], result["event_id"]) == ("success", "kept", event.event_id)
    assert (event.parent_event_id, event.tags) == (outer.event_id, ("t",))


def test_dispatch_sync_says_what_to_do_inside_a_loop(dispatcher: ActionDispatcher) -> None:
    async def main() -> None:
        with pytest.raises(FeedbackError, match=r"await dispatch\(…\) instead"):
            dispatcher.dispatch_sync(Echo())
        # a plain agent has a thread without a loop
        inner = await dispatcher.dispatch(Plain(), "x", lambda: dispatcher.dispatch_sync(Plain(), "y", lambda: 7))
        assert inner["output"]["output"] == 7

    run(main)


def test_one_dispatcher_serves_several_loops_at_once(pipeline: FeedbackPipeline) -> None:
    dispatcher = ActionDispatcher(max_concurrency=2)
    problems: list[BaseException] = []

    async def many() -> None:
        results = await asyncio.gather(*(dispatcher.dispatch(Echo(), "x", n) for n in range(20)))
        assert [result["output"]["input"] for result in results] == list(range(20))

    def loop() -> None:
        try:
            run(many)
        except BaseException as exc:
            problems.append(exc)

    threads = [threading.Thread(target=loop) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert len(pipeline.get_recent_events(count=1_000)) == 80


# -- what it makes -----------------------------------------------------------------------------------------


def test_an_event_is_made_where_somebody_wants_it(pipeline: FeedbackPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a dispatch returns is read off what the action left: making its event would cost more than all of it."""
    made: list[int] = []

    def make(*fields: Any) -> feedback.OutcomeEvent:
        made.append(threading.get_ident())
        return feedback.OutcomeEvent(*fields)

    monkeypatch.setattr("otel_feedback.events.ended.OutcomeEvent", make)

    def fail(_: Any) -> None:
        raise ValueError("no")

    async def main() -> list[dict[str, Any]]:
        dispatcher = ActionDispatcher()
        agents = Doing("a", lambda _: {"tokens_used": 5}), Doing("b", fail)
        return [await dispatcher.dispatch(agent, retries=0) for agent in agents]

    results = run(main)
    assert threading.get_ident() not in made
    for result, event in zip(results, pipeline.get_recent_events(), strict=True):
        told = {
            name: result[name] for name in ("status", "error_type", "duration_ms", "latency_ms", "event_id", "trace_id")
        }
        assert told == {name: getattr(event, name) for name in told}
        assert result["error"] == event.error_message
    assert threading.get_ident() in made
