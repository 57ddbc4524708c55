"""What ends more than an agent: cancellation, Ctrl-C, exits; and agents that fork or start threads."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest

import otel_feedback as feedback
from otel_feedback import ActionDispatcher
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from tests.agents import FOREVER_S, TIMEOUT_S, Doing, Hanging, Json, Plain, Sleeping, Stubborn, run, until
from tests.support import run_python


class Seen:
    """A post hook that keeps what it saw."""

    def __init__(self) -> None:
        self.results: list[Json] = []
        self.events: list[feedback.OutcomeEvent] = []

    async def __call__(self, agent: Any, result: Json, event: feedback.OutcomeEvent) -> None:
        await asyncio.sleep(0.001)
        self.results.append(result)
        self.events.append(event)


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def dispatcher(pipeline: FeedbackPipeline, seen: Seen) -> ActionDispatcher:
    made = ActionDispatcher(backoff_s=FOREVER_S)
    made.add_post_hook(seen)
    return made


async def cancelled(coroutine: Coroutine[Any, Any, Any], when: Callable[[], bool]) -> None:
    """Cancel it when it is time, and see that the cancellation comes out."""
    task = asyncio.ensure_future(coroutine)
    await until(when)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


def assert_cancelled(pipeline: FeedbackPipeline, seen: Seen, attempts: int = 1) -> feedback.OutcomeEvent:
    [event] = pipeline.get_recent_events()
    assert (event.status, event.severity, event.error_type) == ("cancelled", "warning", "CancelledError")
    assert seen.events == [event], "post hooks ran before the cancellation went on"
    [result] = seen.results
    assert (result["status"], result["output"], result["attempts"]) == ("cancelled", None, attempts)
    assert (result["error"], result["error_type"]) == ("CancelledError", "CancelledError")
    return event


# -- cancellation ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout_s", [None, FOREVER_S])
def test_cancellation_goes_through_and_is_recorded(
    timeout_s: float | None, dispatcher: ActionDispatcher, pipeline: FeedbackPipeline, seen: Seen
) -> None:
    async def main() -> Sleeping:
        agent = Sleeping()
        await cancelled(dispatcher.dispatch(agent, timeout_s=timeout_s, raise_on_error=False), agent.started.is_set)
        return agent

    assert run(main).cancelled == 1
    assert_cancelled(pipeline, seen)


def test_a_cancelled_agent_is_not_retried(dispatcher: ActionDispatcher, pipeline: FeedbackPipeline, seen: Seen) -> None:
    async def main() -> Sleeping:
        agent = Sleeping()
        await cancelled(dispatcher.dispatch(agent, retries=5), agent.started.is_set)
        return agent

    assert run(main).calls == 1
    assert assert_cancelled(pipeline, seen).attempt == 1


def test_cancelled_between_two_attempts(dispatcher: ActionDispatcher, pipeline: FeedbackPipeline, seen: Seen) -> None:
    calls: list[int] = []

    def fail(_: Any) -> None:
        calls.append(1)
        raise ValueError("not yet")

    async def main() -> None:
        await cancelled(dispatcher.dispatch(Doing("a", fail), retries=5), lambda: bool(calls))

    run(main)
    event = assert_cancelled(pipeline, seen)
    assert (event.attempt, len(calls)) == (1, 1)
    assert event.latency_ms is not None
    assert event.duration_ms is not None
    assert event.latency_ms > event.duration_ms


@pytest.mark.parametrize("timeout_s", [None, FOREVER_S])
def test_a_cancelled_plain_agent_is_let_run_out_and_flagged(
    timeout_s: float | None, dispatcher: ActionDispatcher, pipeline: FeedbackPipeline, seen: Seen
) -> None:
    agent = Hanging()

    async def main() -> None:
        await cancelled(dispatcher.dispatch(agent, timeout_s=timeout_s), agent.started.is_set)
        assert not agent.ended.is_set()
        agent.go.set()
        await until(agent.ended.is_set)

    run(main)
    assert assert_cancelled(pipeline, seen).metadata == {"thread_left_running": True}


@pytest.mark.parametrize("timeout_s", [None, FOREVER_S])
def test_an_agent_that_swallows_its_cancellation_does_not_hold_it_up(
    timeout_s: float | None,
    dispatcher: ActionDispatcher,
    pipeline: FeedbackPipeline,
    seen: Seen,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        agent = Stubborn()
        await cancelled(dispatcher.dispatch(agent, timeout_s=timeout_s), agent.started.is_set)
        agent.go.set()
        await asyncio.wait_for(agent.ended.wait(), 10)

    run(main, caplog)
    assert_cancelled(pipeline, seen)


def test_an_answer_that_comes_after_the_cancellation_is_not_wanted(
    dispatcher: ActionDispatcher, pipeline: FeedbackPipeline, seen: Seen
) -> None:
    async def main() -> None:
        started = asyncio.Event()

        async def swallow(_: Any) -> str:
            started.set()
            try:
                await asyncio.sleep(FOREVER_S)
            except asyncio.CancelledError:
                return "an answer"
            return "slept well"

        await cancelled(dispatcher.dispatch(Doing("swallowing", swallow)), started.is_set)

    run(main)
    assert_cancelled(pipeline, seen)


def test_cancelled_while_it_waits_for_a_place(pipeline: FeedbackPipeline, seen: Seen) -> None:
    """Each dispatch that began has its event; the place goes to the next."""
    dispatcher = ActionDispatcher(max_concurrency=1)

    async def main() -> None:
        first = Sleeping("first")
        running = asyncio.ensure_future(dispatcher.dispatch(first))
        await first.started.wait()
        asked: list[Any] = []

        async def note(*given: Any) -> None:
            asked.append(given)

        second = dispatcher.dispatch(Sleeping("second"), pre_hooks=[note], post_hooks=[seen])
        await cancelled(second, lambda: bool(asked))
        assert_cancelled(pipeline, seen, attempts=0)
        third = asyncio.ensure_future(dispatcher.dispatch(Doing("third", lambda _: 3)))
        await asyncio.sleep(0)
        running.cancel()
        assert (await third)["output"] == 3

    run(main)
    assert [event.agent_name for event in pipeline.get_recent_events()] == ["second", "first", "third"]


def test_cancelled_in_a_pre_hook(dispatcher: ActionDispatcher, pipeline: FeedbackPipeline, seen: Seen) -> None:
    async def main() -> None:
        started = asyncio.Event()

        async def slow(*_: Any) -> None:
            started.set()
            await asyncio.sleep(FOREVER_S)

        await cancelled(dispatcher.dispatch(Sleeping(), pre_hooks=[slow]), started.is_set)

    run(main)
    assert_cancelled(pipeline, seen, attempts=0)
    assert dispatcher.hook_failures == {"pre": 0, "post": 0}


def test_cancelled_in_a_post_hook_the_others_run_all_the_same(
    dispatcher: ActionDispatcher, pipeline: FeedbackPipeline, seen: Seen
) -> None:
    async def main() -> None:
        started, go = asyncio.Event(), asyncio.Event()

        async def slow(*_: Any) -> None:
            started.set()
            await go.wait()

        dispatcher.remove_hook(seen)
        task = asyncio.ensure_future(dispatcher.dispatch(Doing("a", lambda _: 1), post_hooks=[slow, seen]))
        await started.wait()
        task.cancel()
        await asyncio.sleep(0.001)
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main)
    [event] = pipeline.get_recent_events()
    assert (event.status, seen.events) == ("success", [event])


def test_a_second_cancellation_leaves_the_post_hooks_to_themselves(
    dispatcher: ActionDispatcher, pipeline: FeedbackPipeline, seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        agent, started, go = Sleeping(), asyncio.Event(), asyncio.Event()

        async def slow(*_: Any) -> None:
            started.set()
            await go.wait()

        dispatcher.remove_hook(seen)
        task = asyncio.ensure_future(dispatcher.dispatch(agent, post_hooks=[slow, seen]))
        await agent.started.wait()
        task.cancel()
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert seen.events == []
        go.set()
        await until(lambda: bool(seen.events))

    run(main, caplog)
    assert_cancelled(pipeline, seen)


def test_a_cancellation_of_the_agents_own_goes_through_as_well(
    dispatcher: ActionDispatcher, pipeline: FeedbackPipeline, seen: Seen
) -> None:
    async def await_what_was_cancelled(_: Any) -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    async def main() -> None:
        with pytest.raises(asyncio.CancelledError):
            await dispatcher.dispatch(Doing("a", await_what_was_cancelled))

    run(main)
    assert_cancelled(pipeline, seen)


def test_a_dispatch_that_is_closed_is_abandoned_and_its_agent_cancelled(
    dispatcher: ActionDispatcher, pipeline: FeedbackPipeline
) -> None:
    async def main() -> None:
        agent = Sleeping()
        running = dispatcher.dispatch(agent)
        running.send(None)
        await agent.started.wait()
        running.close()
        await until(lambda: agent.cancelled == 1)

    run(main)
    [event] = pipeline.get_recent_events()
    assert (event.status, event.metadata) == ("partial", {"abandoned": True})


def test_what_says_that_it_was_cancelled_is_a_result_and_not_retried(dispatcher: ActionDispatcher) -> None:
    """A future's own CancelledError is an ordinary exception: nobody cancelled us."""
    calls: list[int] = []

    def await_what_was_cancelled() -> None:
        calls.append(1)
        raise concurrent.futures.CancelledError

    result = dispatcher.dispatch_sync(Plain(), input_data=await_what_was_cancelled, retries=3)
    assert (result["status"], result["error_type"], result["attempts"]) == ("cancelled", "CancelledError", len(calls))
    assert calls == [1]


def test_a_deadline_of_the_callers_is_a_cancellation(
    dispatcher: ActionDispatcher, pipeline: FeedbackPipeline, seen: Seen
) -> None:
    async def main() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(dispatcher.dispatch(Sleeping()), TIMEOUT_S)

    run(main)
    assert_cancelled(pipeline, seen)


def test_a_scope_of_anyio_cancels_it(dispatcher: ActionDispatcher, pipeline: FeedbackPipeline) -> None:
    """It cancels over and over, so that hooks are left to themselves; the event is the same."""

    async def main() -> bool:
        with anyio.move_on_after(TIMEOUT_S) as scope:
            await dispatcher.dispatch(Sleeping())
        await asyncio.sleep(0)
        return scope.cancelled_caught

    assert anyio.run(main)
    assert [event.status for event in pipeline.get_recent_events()] == ["cancelled"]


def test_at_the_end_of_the_loop_what_runs_is_cancelled_and_recorded(
    dispatcher: ActionDispatcher, pipeline: FeedbackPipeline, seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        agent = Sleeping()
        forgotten = asyncio.ensure_future(dispatcher.dispatch(agent))
        await agent.started.wait()
        assert not forgotten.done()

    run(main, caplog)
    assert_cancelled(pipeline, seen)


def test_cancelled_right_after_it_began(
    dispatcher: ActionDispatcher, pipeline: FeedbackPipeline, seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        task = asyncio.ensure_future(dispatcher.dispatch(Sleeping()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main, caplog)
    assert_cancelled(pipeline, seen)


def test_an_agent_whose_task_somebody_cancels_before_its_first_step(
    dispatcher: ActionDispatcher, pipeline: FeedbackPipeline, seen: Seen
) -> None:
    """Its own cancellation, like any other: nobody waits for an agent that never ran."""

    async def main() -> None:
        before = asyncio.all_tasks()
        task = asyncio.ensure_future(dispatcher.dispatch(Sleeping()))
        await asyncio.sleep(0)
        [inner] = asyncio.all_tasks() - before - {task}
        inner.cancel()
        await until(task.done)
        assert task.cancelled()

    run(main)
    assert_cancelled(pipeline, seen)


# -- Ctrl-C and exits --------------------------------------------------------------------------------------

STOPS: dict[str, tuple[BaseException, str, str, str | None]] = {
    "Ctrl-C": (KeyboardInterrupt(), "cancelled", "warning", "KeyboardInterrupt"),
    "exit 0": (SystemExit(0), "success", "info", None),
    "exit 3": (SystemExit(3), "failure", "critical", "SystemExit"),
}


@pytest.mark.parametrize("timeout_s", [None, FOREVER_S])
@pytest.mark.parametrize("kind", ["async", "plain"])
@pytest.mark.parametrize("stop", STOPS)
def test_what_stops_the_program_goes_through_and_is_recorded(
    stop: str,
    kind: str,
    timeout_s: float | None,
    dispatcher: ActionDispatcher,
    pipeline: FeedbackPipeline,
    seen: Seen,
    caplog: pytest.LogCaptureFixture,
) -> None:
    error, status, severity, error_type = STOPS[stop]

    def work(_: Any = None) -> None:
        raise error

    agent = Doing("a", work) if kind == "async" else Plain()

    async def main() -> None:
        await dispatcher.dispatch(agent, "x", work, timeout_s=timeout_s, retries=3)

    with pytest.raises(type(error)) as caught:
        run(main, caplog)
    assert caught.value is error
    [event] = pipeline.get_recent_events()
    assert (event.status, event.severity, event.error_type) == (status, severity, error_type)
    assert seen.events == [event]


def test_an_exit_code_is_the_programs() -> None:
    done = run_python(
        """
        import asyncio, sys
        import otel_feedback as feedback
        pipeline = feedback.configure(enable_outcome_logging=False)
        async def agent(task): sys.exit(3)
        try:
            asyncio.run(feedback.ActionDispatcher().dispatch(agent, timeout_s=30))
        finally:
            print([event.status.value for event in pipeline.get_recent_events()])
        """,
        {"OTEL_TRACES_EXPORTER": "none"},
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (3, "['failure']", "")


# -- agents with processes and threads ---------------------------------------------------------------------


def test_an_agent_may_start_threads_and_processes(dispatcher: ActionDispatcher, pipeline: FeedbackPipeline) -> None:
    def work() -> tuple[str, str]:
        found: list[str] = []
        thread = threading.Thread(target=lambda: found.append("thread"))
        thread.start()
        thread.join()
        done = subprocess.run([sys.executable, "-c", "print('process')"], capture_output=True, text=True, check=True)
        return found[0], done.stdout.strip()

    assert run(lambda: dispatcher.dispatch(Plain(), "x", work))["output"] == ("thread", "process")
    assert len(pipeline.get_recent_events()) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.parametrize("kind", ["async", "plain"])
def test_an_agent_may_fork(kind: str) -> None:
    """The child has a pipeline of its own and can dispatch; the parent has its one event."""
    done = run_python(
        f"""
        import asyncio, os, warnings
        import otel_feedback as feedback
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forks beside threads
        pipeline = feedback.configure(enable_outcome_logging=False)
        dispatcher = feedback.ActionDispatcher()

        def fork(task):
            pid = os.fork()
            if pid == 0:
                code = 9
                try:
                    asyncio._set_running_loop(None)
                    code = 4 if dispatcher.dispatch_sync(lambda t: t + 1, "x", 3)["output"] == 4 else 8
                finally:
                    os._exit(code)
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

        async def fork_async(task):
            return fork(task)

        agent = fork if {kind == "plain"} else fork_async
        print(asyncio.run(dispatcher.dispatch(agent, timeout_s=30))["output"])
        print(len(pipeline.get_recent_events()))
        """,
        {"OTEL_TRACES_EXPORTER": "none"},
    )
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["4", "1"], "")
