"""What an agent worked on is freed when it has ended, without the garbage collector, however it ended.

An exception holds the frames that it passed, and those what they worked on. One that is raised in a first step, which is taken on
the stack of who dispatches, also holds the frames of all who called, from Python 3.12 on: until then a coroutine's frame forgets
who called it when it ends.
"""

from __future__ import annotations

import asyncio
import gc
import math
import sys
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from otel_feedback import ActionDispatcher, OrchestrationDispatcher
from tests.agents import FOREVER_S, Doing, run


class Big:
    """Something that an agent works on."""


def is_freed(main: Callable[[], Awaitable[weakref.ref[Big]]]) -> bool:
    """Tell whether what a coroutine gives back a reference to goes without the garbage collector."""

    async def watch() -> bool:
        gc.collect()
        gc.disable()
        try:
            watched = await main()
            for _ in range(50):
                if watched() is None:
                    return True
                await asyncio.sleep(0.01)  # an agent's thread ends after its answer, a task after who waits for it
            return False
        finally:
            gc.enable()

    return run(watch)


async def raising(given: Any) -> None:
    raise ValueError(given)


def raising_plainly(given: Any) -> None:
    raise ValueError(given)


@pytest.mark.parametrize("raise_on_error", [False, True])
@pytest.mark.parametrize("agent", [raising, raising_plainly])
def test_a_failure_leaves_nothing_to_the_garbage_collector(
    agent: Callable[..., Any], raise_on_error: bool, dispatcher: ActionDispatcher
) -> None:
    dispatcher = ActionDispatcher(backoff_s=0.001)

    async def main() -> weakref.ref[Big]:
        given = Big()
        try:
            await dispatcher.dispatch(agent, "x", given, retries=1, timeout_s=30, raise_on_error=raise_on_error)
        except ValueError:
            assert raise_on_error
        return weakref.ref(given)

    assert is_freed(main)


async def sleeping(given: Any) -> None:
    await asyncio.sleep(FOREVER_S)


def test_neither_does_a_cancellation(dispatcher: ActionDispatcher) -> None:
    async def main() -> weakref.ref[Big]:
        given = Big()
        task = asyncio.ensure_future(dispatcher.dispatch(sleeping, "x", given))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait({task})
        return weakref.ref(given)

    assert is_freed(main)


# -- in a first step ---------------------------------------------------------------------------------------


async def nothing(_: Any) -> None:
    """Wait for nothing."""


async def fail(*_: Any) -> None:
    raise ValueError("no")


async def by_itself(dispatcher: ActionDispatcher, given: Big) -> None:
    await dispatcher.dispatch(fail, "x", given)


async def raised(dispatcher: ActionDispatcher, given: Big) -> None:
    with pytest.raises(ValueError, match="no"):
        await dispatcher.dispatch(fail, "x", given, raise_on_error=True)


async def in_a_pre_hook(dispatcher: ActionDispatcher, given: Big) -> None:
    await dispatcher.dispatch(nothing, "x", given, pre_hooks=[fail])


async def in_a_post_hook(dispatcher: ActionDispatcher, given: Big) -> None:
    async def give_back(given: Big) -> Big:
        return given

    await dispatcher.dispatch(give_back, "x", given, post_hooks=[fail])


async def in_a_workflow(dispatcher: ActionDispatcher, given: Big) -> None:
    await OrchestrationDispatcher(dispatcher).execute_workflow([Doing("failing", fail)], given)


async def in_a_workflow_with_a_limit(dispatcher: ActionDispatcher, given: Big) -> None:
    await OrchestrationDispatcher(dispatcher).execute_workflow([Doing("failing", fail)], given, timeout_s=FOREVER_S)


CALLERS = (raised, in_a_pre_hook, in_a_post_hook, in_a_workflow, in_a_workflow_with_a_limit)
# before 3.12 a coroutine's frame forgets who called it: nobody there can keep anything, so there is nothing to see
KEEPERS = (by_itself, *CALLERS) if sys.version_info >= (3, 12) else (by_itself,)


@pytest.mark.parametrize("turn_s", [math.inf, -1.0], ids=["no turn is due", "a turn is due"])
@pytest.mark.parametrize("where", KEEPERS)
def test_a_failure_in_a_first_step_leaves_nothing_to_the_garbage_collector(
    where: Callable[[ActionDispatcher, Big], Awaitable[None]],
    turn_s: float,
    dispatcher: ActionDispatcher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("otel_feedback.dispatch.running.TURN_S", turn_s)

    async def main() -> weakref.ref[Big]:
        given = Big()
        await where(dispatcher, given)
        return weakref.ref(given)

    assert is_freed(main)
