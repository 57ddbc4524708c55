"""An async agent takes its first step at once, in a task of its own: it costs no turn of the loop, and nobody notices."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import time
from typing import Any

import anyio
import pytest

from otel_feedback import ActionDispatcher
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from tests.agents import FOREVER_S, TIMEOUT_S, Sleeping, run

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


async def nothing(_: Any) -> None:
    """Wait for nothing."""


# -- turns of the event loop -------------------------------------------------------------------------------


def test_agents_that_wait_for_nothing_cost_no_turn(
    dispatcher: ActionDispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otel_feedback.dispatch.running.TURN_S", FOREVER_S)

    async def main() -> int:
        await dispatcher.dispatch(nothing)  # perhaps the first in a while
        turns: list[int] = []
        asyncio.get_running_loop().call_soon(turns.append, 1)
        for _ in range(20):
            await dispatcher.dispatch(nothing)
        return len(turns)

    assert run(main) == 0


def test_others_have_their_turn_all_the_same(dispatcher: ActionDispatcher) -> None:
    async def main() -> None:
        others: list[int] = []
        loop = asyncio.get_running_loop()
        loop.call_later(TIMEOUT_S, others.append, 1)
        end_s = loop.time() + FOREVER_S
        while not others:
            await dispatcher.dispatch(nothing)
            assert loop.time() < end_s, "nobody else came to do anything"

    run(main)


def test_who_dispatches_over_and_over_can_be_cancelled(dispatcher: ActionDispatcher) -> None:
    async def go_on() -> None:
        end_s = time.monotonic() + FOREVER_S
        while time.monotonic() < end_s:
            await dispatcher.dispatch(nothing)

    async def main() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(go_on(), TIMEOUT_S)

    run(main)


# -- its task ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("timeout_s", [None, FOREVER_S])
def test_it_is_in_one_task_of_its_own_from_the_first_step_on(
    timeout_s: float | None, fails: bool, dispatcher: ActionDispatcher
) -> None:
    found: list[asyncio.Task[Any] | None] = []

    async def work(_: Any) -> None:
        found.append(asyncio.current_task())
        await asyncio.sleep(0)
        found.append(asyncio.current_task())
        if fails:
            raise ValueError("no")

    async def main() -> None:
        around = asyncio.current_task()
        for _ in range(2):
            await dispatcher.dispatch(work, timeout_s=timeout_s)
            assert asyncio.current_task() is around
        first, *same = found[:2]
        second = found[2]
        assert isinstance(first, asyncio.Task)
        assert same == [first]
        assert len({around, first, second}) == 3

    run(main)


def test_who_dispatches_is_current_again_when_it_failed_at_once(dispatcher: ActionDispatcher) -> None:
    async def fail(_: Any) -> None:
        raise ValueError("no")

    async def main() -> None:
        around = asyncio.current_task()
        assert (await dispatcher.dispatch(fail))["status"] == "failure"
        assert asyncio.current_task() is around
        with anyio.move_on_after(TIMEOUT_S) as scope:  # which looks at the task
            await asyncio.sleep(FOREVER_S)
        assert scope.cancelled_caught

    run(main)


def test_a_deadline_of_its_own_is_no_affair_of_who_dispatches(
    dispatcher: ActionDispatcher, pipeline: FeedbackPipeline
) -> None:
    """A scope that it opens in its first step cancels the task that it found there."""

    async def work(_: Any) -> str:
        with anyio.move_on_after(TIMEOUT_S) as scope:
            await asyncio.sleep(FOREVER_S)
        await asyncio.sleep(0)
        return "went on" if scope.cancelled_caught else "was not cut"

    result = run(lambda: dispatcher.dispatch(work))
    assert (result["status"], result["output"]) == ("success", "went on")


def test_context_variables_that_it_sets_are_its_own(dispatcher: ActionDispatcher) -> None:
    async def work(_: Any) -> str:
        VARIABLE.set("the agent's")
        await asyncio.sleep(0)
        return VARIABLE.get()

    async def set_and_end(_: Any) -> None:
        VARIABLE.set("the agent's")

    async def main() -> None:
        VARIABLE.set("ours")
        assert (await dispatcher.dispatch(work))["output"] == "the agent's"
        await dispatcher.dispatch(set_and_end)
        assert VARIABLE.get() == "ours"

    run(main)


def test_a_program_that_makes_its_tasks_itself_makes_this_one_too(dispatcher: ActionDispatcher) -> None:
    made: list[object] = []

    def make(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(coroutine, loop=loop, **options)
        made.append(task)
        return task

    async def work(_: Any) -> asyncio.Task[Any] | None:
        return asyncio.current_task()

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(make)
        assert (await dispatcher.dispatch(work))["output"] in made
        task = asyncio.ensure_future(dispatcher.dispatch(Sleeping()))
        await asyncio.sleep(TIMEOUT_S)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main)


def test_agents_that_dispatch_each_other_may_be_many(dispatcher: ActionDispatcher) -> None:
    """Each first step is on top of the one that took it, and Python's stack is not endless."""

    async def call_the_next(depth: int) -> Any:
        if not depth:
            return "the last one"
        return (await dispatcher.dispatch(call_the_next, "x", depth - 1, raise_on_error=True))["output"]

    assert run(lambda: dispatcher.dispatch(call_the_next, "x", 200))["output"] == "the last one"


class Asking:
    """Asks the event loop for something when the garbage collector finds it, which may be at any time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, done: list[int]) -> None:
        self._itself = self
        self._loop = loop
        self._done = done

    def __del__(self) -> None:
        self._loop.call_soon(self._done.append, 1)


def test_what_others_ask_of_the_event_loop_while_a_task_is_made_is_done(dispatcher: ActionDispatcher) -> None:
    async def main() -> None:
        done: list[int] = []
        asked = 0
        thresholds = gc.get_threshold()
        for threshold in range(1, 40):  # the collector comes at another moment each time
            gc.set_threshold(threshold)
            try:
                for _ in range(5):
                    Asking(asyncio.get_running_loop(), done)
                    asked += 1
                    await dispatcher.dispatch(nothing)
            finally:
                gc.set_threshold(*thresholds)
        gc.collect()
        await asyncio.sleep(TIMEOUT_S)
        assert len(done) == asked

    run(main)


# -- time --------------------------------------------------------------------------------------------------


def test_its_first_step_is_part_of_its_time(dispatcher: ActionDispatcher) -> None:
    async def work(_: Any) -> None:
        time.sleep(0.6)  # noqa: ASYNC251 - the loop is to be busy
        await asyncio.sleep(FOREVER_S)

    result = run(lambda: dispatcher.dispatch(work, timeout_s=0.7))
    assert result["status"] == "timeout"
    assert 700 <= result["duration_ms"] < 1_200
