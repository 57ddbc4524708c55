"""`dispatch()` and time: retries, what latency and duration are, the limit of concurrency, timeouts."""

from __future__ import annotations

import asyncio
import functools
import math
import threading
import time
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import otel_feedback as feedback
from otel_feedback import ActionDispatcher
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from tests.agents import FOREVER_S, PATIENT_S, TIMEOUT_S, Doing, Flaky, Hanging, Plain, Sleeping, Stubborn, run, until

BACKOFF_S = 0.01


@pytest.fixture
def dispatcher(pipeline: FeedbackPipeline) -> ActionDispatcher:
    return ActionDispatcher(backoff_s=BACKOFF_S)


def milliseconds(event: feedback.OutcomeEvent) -> tuple[float, float]:
    """Return latency and duration."""
    assert event.latency_ms is not None
    assert event.duration_ms is not None
    return event.latency_ms, event.duration_ms


# -- retries -----------------------------------------------------------------------------------------------


def test_a_failure_is_not_retried_unless_asked(dispatcher: ActionDispatcher, pipeline: FeedbackPipeline) -> None:
    agent = Flaky(1)
    result = run(lambda: dispatcher.dispatch(agent))
    assert (result["status"], result["attempts"], agent.calls) == ("failure", 1, 1)


@pytest.mark.parametrize("by_call", [True, False])
def test_retries_are_attempts_of_one_action(
    by_call: bool, pipeline: FeedbackPipeline, spans: InMemorySpanExporter
) -> None:
    agent = Flaky(2)
    dispatcher = ActionDispatcher(backoff_s=BACKOFF_S, retries=0 if by_call else 3)
    result = run(lambda: dispatcher.dispatch(agent, retries=3 if by_call else None))
    [event] = pipeline.get_recent_events()
    assert (result["status"], result["output"], result["error"]) == ("success", "at last", None)
    assert (result["attempts"], event.attempt, agent.calls) == (3, 3, 3)
    assert (event.status, event.error_type, event.stack_trace) == ("success", None, None)
    [span] = spans.get_finished_spans()
    assert [(e.name, dict(e.attributes or {})) for e in span.events] == [
        ("outcome.retry", {"outcome.attempt": n, "error.type": "ValueError", "outcome.retry_in_s": pytest.approx(wait, rel=0.34)})
        for n, wait in ((1, 0.75 * BACKOFF_S), (2, 1.5 * BACKOFF_S))
    ]  # fmt: skip
    latency_ms, duration_ms = milliseconds(event)
    assert latency_ms - duration_ms >= 1.4e3 * BACKOFF_S, "latency covers the waits, duration the last attempt"
    assert span.end_time is not None
    assert span.start_time is not None
    assert (span.end_time - span.start_time) / 1e6 >= 1.5e3 * BACKOFF_S, "the span covers all attempts"


def test_the_last_failure_stands(dispatcher: ActionDispatcher, pipeline: FeedbackPipeline) -> None:
    calls: list[int] = []

    def fail(_: Any) -> None:
        calls.append(1)
        raise [OSError("first"), ValueError("second")][len(calls) - 1]

    result = run(lambda: dispatcher.dispatch(Doing("failing", fail), retries=1))
    [event] = pipeline.get_recent_events()
    assert (result["error"], result["error_type"], result["attempts"]) == ("second", "ValueError", 2)
    assert (event.error_message, event.attempt) == ("second", 2)


def test_a_failure_that_the_agent_only_says_is_not_retried(dispatcher: ActionDispatcher) -> None:
    """Its answer is there, and goes back."""

    def say(_: Any) -> str:
        act = feedback.current_action()
        assert act is not None
        act.fail("not good enough")
        return "a draft"

    result = run(lambda: dispatcher.dispatch(Doing("a", say), retries=3))
    told = (result["status"], result["output"], result["error"], result["attempts"])
    assert told == ("failure", "a draft", "not good enough", 1)


def test_one_attempt_of_several_is_counted_too(dispatcher: ActionDispatcher, pipeline: FeedbackPipeline) -> None:
    assert run(lambda: dispatcher.dispatch(Flaky(0), retries=2))["attempts"] == 1
    assert pipeline.get_recent_events()[0].attempt == 1


def test_what_was_said_in_an_attempt_that_failed_is_forgotten_but_its_tokens_are_not(
    dispatcher: ActionDispatcher, pipeline: FeedbackPipeline
) -> None:
    calls: list[int] = []

    def work(_: Any) -> str:
        calls.append(1)
        act = feedback.current_action()
        assert act is not None
        act.add_usage(input_tokens=10)
        if len(calls) == 1:
            act.partial("half")
            raise ValueError("not yet")
        return "whole"

    result = run(lambda: dispatcher.dispatch(Doing("a", work), retries=1))
    assert (result["status"], pipeline.get_recent_events()[0].tokens_used) == ("success", 20)


def test_plain_agents_are_retried_too(dispatcher: ActionDispatcher) -> None:
    calls: list[int] = []

    def work() -> str:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("not yet")
        return "at last"

    result = run(lambda: dispatcher.dispatch(Plain(), "x", work, retries=1))
    assert (result["output"], result["attempts"]) == ("at last", 2)


def test_the_backoff_doubles_up_to_half_a_minute(monkeypatch: pytest.MonkeyPatch, pipeline: FeedbackPipeline) -> None:
    waited: list[float] = []

    async def note(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("otel_feedback.dispatch.attempts.asyncio.sleep", note)
    monkeypatch.setattr("otel_feedback.dispatch.attempts.random.uniform", lambda low, high: high)
    run(lambda: ActionDispatcher(retries=8).dispatch(Flaky(math.inf)))  # type: ignore[arg-type]
    assert waited == [0.5, 1, 2, 4, 8, 16, 30, 30]


# -- turns of the event loop, each of which asks the system -------------------------------------------------


@pytest.mark.parametrize(("waits", "most"), [(0, 1), (1, 3), (5, 7)])
@pytest.mark.parametrize("timeout_s", [None, FOREVER_S])
def test_a_dispatch_takes_few_turns_more_than_its_agent(
    waits: int, most: int, timeout_s: float | None, dispatcher: ActionDispatcher
) -> None:
    async def work(_: Any) -> None:
        for _ in range(waits):
            await asyncio.sleep(0)

    async def main() -> int:
        loop, turns = asyncio.get_running_loop(), 0

        def count() -> None:
            nonlocal turns
            turns += 1
            loop.call_soon(count)

        loop.call_soon(count)
        await dispatcher.dispatch(Doing("a", work), timeout_s=timeout_s)
        return turns

    assert run(main) <= most


# -- waiting -----------------------------------------------------------------------------------------------


def test_waiting_for_a_place_counts_in_latency_and_not_in_duration(pipeline: FeedbackPipeline) -> None:
    dispatcher = ActionDispatcher(max_concurrency=1)

    async def work(_: Any) -> None:
        await asyncio.sleep(TIMEOUT_S)

    async def main() -> None:
        await asyncio.gather(*(dispatcher.dispatch(Doing(str(n), work)) for n in range(3)))

    run(main)
    events = pipeline.get_recent_events()
    assert [event.agent_name for event in events] == ["0", "1", "2"], "in the order of asking"
    for place, event in enumerate(events):
        latency_ms, duration_ms = milliseconds(event)
        assert latency_ms - duration_ms >= place * TIMEOUT_S * 950, "waited for those before"
        assert duration_ms >= TIMEOUT_S * 950


def test_no_more_than_the_limit_run_at_a_time(pipeline: FeedbackPipeline) -> None:
    dispatcher = ActionDispatcher(max_concurrency=3)
    running, most = 0, 0

    async def work(number: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        if number % 2:
            raise ValueError("a place must come back all the same")

    async def main() -> None:
        await asyncio.gather(*(dispatcher.dispatch(Doing("a", work), "x", n) for n in range(30)))

    run(main)
    assert most == 3


def test_pre_hooks_count_in_latency_and_not_in_duration_and_post_hooks_in_neither(pipeline: FeedbackPipeline) -> None:
    async def slow(*_: Any) -> None:
        await asyncio.sleep(TIMEOUT_S)

    started = time.perf_counter()
    run(lambda: ActionDispatcher().dispatch(Flaky(0), pre_hooks=[slow], post_hooks=[slow]))
    elapsed_ms = (time.perf_counter() - started) * 1e3
    latency_ms, duration_ms = milliseconds(pipeline.get_recent_events()[0])
    assert latency_ms - duration_ms >= TIMEOUT_S * 950
    assert elapsed_ms - latency_ms >= TIMEOUT_S * 950


# -- timeouts ----------------------------------------------------------------------------------------------


def test_a_late_async_agent_is_cancelled(dispatcher: ActionDispatcher, pipeline: FeedbackPipeline) -> None:
    async def main() -> Sleeping:
        agent = Sleeping()
        result = await dispatcher.dispatch(agent, timeout_s=TIMEOUT_S)
        assert (result["status"], result["error_type"], result["output"]) == ("timeout", "TimeoutError", None)
        assert result["error"] == f"took longer than timeout_s={TIMEOUT_S:g}"
        return agent

    assert run(main).cancelled == 1
    [event] = pipeline.get_recent_events()
    assert (event.status, event.severity, event.metadata) == ("timeout", "error", {})
    assert milliseconds(event)[1] >= TIMEOUT_S * 950


def test_a_late_async_agent_is_retried(dispatcher: ActionDispatcher, pipeline: FeedbackPipeline) -> None:
    async def main() -> Sleeping:
        agent = Sleeping()
        result = await dispatcher.dispatch(agent, timeout_s=TIMEOUT_S, retries=2)
        assert (result["status"], result["attempts"]) == ("timeout", 3)
        return agent

    agent = run(main)
    assert (agent.calls, agent.cancelled) == (3, 3)
    [event] = pipeline.get_recent_events()
    latency_ms, duration_ms = milliseconds(event)
    assert duration_ms >= TIMEOUT_S * 950
    assert latency_ms - duration_ms >= 2 * TIMEOUT_S * 950, "the last attempt's alone"


def test_each_attempt_has_its_own_time(dispatcher: ActionDispatcher) -> None:
    calls: list[int] = []

    async def work(_: Any) -> str:
        calls.append(1)
        await asyncio.sleep(FOREVER_S if len(calls) == 1 else 0)
        return "in time"

    result = run(lambda: dispatcher.dispatch(Doing("a", work), timeout_s=PATIENT_S, retries=1))
    assert (result["status"], result["output"], result["attempts"]) == ("success", "in time", 2)


def test_a_late_plain_agent_is_let_run_out_flagged_and_never_retried(
    dispatcher: ActionDispatcher, pipeline: FeedbackPipeline
) -> None:
    agent = Hanging()

    async def main() -> dict[str, Any]:
        result = await dispatcher.dispatch(agent, timeout_s=TIMEOUT_S, retries=3)
        assert not agent.ended.is_set()
        agent.go.set()
        await until(agent.ended.is_set)
        return result

    result = run(main)
    [event] = pipeline.get_recent_events()
    assert (result["status"], result["attempts"], agent.calls) == ("timeout", 1, 1)
    assert (event.status, event.metadata, event.attempt) == ("timeout", {"thread_left_running": True}, 1)
    assert event.cpu_time_ms is None


def test_a_plain_agent_whose_loop_is_gone_runs_out_all_the_same(pipeline: FeedbackPipeline) -> None:
    agent = Hanging()
    result = ActionDispatcher().dispatch_sync(agent, timeout_s=TIMEOUT_S)
    agent.go.set()
    assert agent.ended.wait()
    assert (result["status"], len(pipeline.get_recent_events())) == ("timeout", 1)


def test_what_a_plain_function_left_to_await_is_cancelled_and_retried(
    dispatcher: ActionDispatcher, pipeline: FeedbackPipeline
) -> None:
    """Its thread has ended, so nothing is left running; and it gets the time once, not twice."""

    async def main() -> Sleeping:
        agent = Sleeping()

        def plainly(given: Any) -> Any:
            return agent.run(given)

        result = await dispatcher.dispatch(plainly, timeout_s=PATIENT_S, retries=1)
        assert (result["status"], result["attempts"]) == ("timeout", 2)
        return agent

    agent = run(main)
    assert (agent.calls, agent.cancelled) == (2, 2)
    assert pipeline.get_recent_events()[0].metadata == {}


def test_an_agent_that_does_not_heed_its_cancellation_is_left_behind(
    dispatcher: ActionDispatcher, pipeline: FeedbackPipeline, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> dict[str, Any]:
        agent = Stubborn()
        result = await dispatcher.dispatch(agent, timeout_s=TIMEOUT_S)
        assert not agent.ended.is_set()
        agent.go.set()
        await asyncio.wait_for(agent.ended.wait(), 10)
        return result

    assert run(main, caplog)["status"] == "timeout"
    assert [event.status for event in pipeline.get_recent_events()] == ["timeout"]


def test_what_a_cancelled_agent_raises_on_its_way_out_is_no_news(
    dispatcher: ActionDispatcher, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(_: Any) -> None:
        try:
            await asyncio.sleep(FOREVER_S)
        finally:
            raise ValueError("while cleaning up")

    result = run(functools.partial(dispatcher.dispatch, Doing("a", work), timeout_s=TIMEOUT_S), caplog)
    assert (result["status"], result["error_type"]) == ("timeout", "TimeoutError")


@pytest.mark.parametrize(("takes_s", "timeout_s", "status"), [(0.2, 0.1, "timeout"), (0.0, 0.2, "success")])
def test_a_loop_that_is_busy_makes_nothing_early_or_late(
    takes_s: float, timeout_s: float, status: str, dispatcher: ActionDispatcher, pipeline: FeedbackPipeline
) -> None:
    """It learns of both at once, the time that is up and the answer."""

    async def main() -> dict[str, Any]:
        started, ended = threading.Event(), threading.Event()

        def work() -> str:
            started.set()
            time.sleep(takes_s)
            ended.set()
            return "an answer"

        task = asyncio.ensure_future(dispatcher.dispatch(Plain(), "x", work, timeout_s=timeout_s, retries=1))
        await asyncio.sleep(0)
        assert started.wait()
        assert ended.wait()
        time.sleep(2 * timeout_s)  # noqa: ASYNC251 - the loop is to be busy
        return await task

    result = run(main)
    assert (result["status"], result["attempts"]) == (status, 1)
    assert pipeline.get_recent_events()[0].metadata == {}, "its thread has ended"


def test_what_an_agent_raised_is_told_though_it_was_late(dispatcher: ActionDispatcher) -> None:
    """If it is known in time, which it is where the loop was too busy to look."""

    async def work() -> None:
        time.sleep(0.1)  # noqa: ASYNC251 - the loop is to be busy
        raise ValueError("no")

    result = run(lambda: dispatcher.dispatch(work, timeout_s=0.05))
    assert (result["status"], result["error"]) == ("failure", "no")


def test_a_timeout_of_zero_is_one(dispatcher: ActionDispatcher) -> None:
    assert run(lambda: dispatcher.dispatch(Doing("a", lambda _: asyncio.sleep(FOREVER_S)), timeout_s=0))["status"] == (
        "timeout"
    )
