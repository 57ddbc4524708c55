"""Code that hangs, and who cuts it short: callers that are given it running, and do something to it.

caller ── starts ──► code ── hangs ──► LIMIT_S later ── cancel, deadline, failing sibling … ──► what the caller sees
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import anyio
import pytest
import trio

from tests.conformance.endings import OwnError
from tests.conformance.ways import LIMIT_S, ExceptionGroup, Work, aio


class Hanging:
    """Whether the code has come so far; who cuts it short waits for that, however busy the machine is."""

    now = False


async def forever(s: float = 30) -> None:
    Hanging.now = True
    try:
        await anyio.sleep(s)
    finally:
        Hanging.now = False


async def succeeding() -> str:
    await forever(3 * LIMIT_S)
    return "done"


async def until_it_hangs() -> None:
    while not Hanging.now:  # noqa: ASYNC110 - an event belongs to one loop, and who waits may come first
        await anyio.sleep(0.001)


async def until_the_limit() -> None:
    await until_it_hangs()
    await anyio.sleep(LIMIT_S)


async def until_the_limit_then_fail() -> None:
    await until_the_limit()
    raise OwnError


async def wait_for_inside() -> None:
    await asyncio.wait_for(forever(), LIMIT_S)


async def timeout_inside() -> None:
    async with aio.timeout(LIMIT_S):
        await forever()


async def fail_after_inside() -> None:
    with anyio.fail_after(LIMIT_S):
        await forever()


async def move_on_after_inside() -> None:
    with anyio.move_on_after(LIMIT_S):
        await forever()


async def trio_fail_after_inside() -> None:
    with trio.fail_after(LIMIT_S):
        await forever()


async def task_group_inside() -> None:
    async with aio.TaskGroup() as group:
        group.create_task(forever())
        group.create_task(until_the_limit_then_fail())


async def group_inside() -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(forever)
        await until_the_limit_then_fail()


async def gather_inside() -> None:
    await asyncio.gather(forever(), until_the_limit_then_fail())


async def nobody(running: Work) -> None:
    with suppress(BaseException):
        await running()


async def task_cancel(running: Work) -> None:
    task = asyncio.ensure_future(running())
    await until_the_limit()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def wait_for(running: Work) -> None:
    task = asyncio.ensure_future(running())
    await until_it_hangs()
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(task, LIMIT_S)


async def timeout(running: Work) -> None:
    async def limit(scope: Any) -> None:
        await until_the_limit()
        scope.reschedule(0)

    with pytest.raises(TimeoutError):
        async with aio.timeout(None) as scope:
            left_open.append(asyncio.ensure_future(limit(scope)))
            await running()


async def fail_after(running: Work) -> None:
    async def limit(scope: anyio.CancelScope) -> None:
        await until_the_limit()
        scope.deadline = anyio.current_time()

    async with anyio.create_task_group() as group:
        with pytest.raises(TimeoutError), anyio.fail_after(30) as scope:
            group.start_soon(limit, scope)
            await running()


async def cancel_scope(running: Work) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(running)
        await until_the_limit()
        group.cancel_scope.cancel()


async def group_sibling_fails(running: Work) -> None:
    with pytest.raises(ExceptionGroup):
        async with anyio.create_task_group() as group:
            group.start_soon(running)
            await until_the_limit_then_fail()


async def sibling_fails(running: Work) -> None:
    with pytest.raises(ExceptionGroup):
        async with aio.TaskGroup() as group:
            group.create_task(running())
            group.create_task(until_the_limit_then_fail())


async def gathered_sibling_fails(running: Work) -> None:
    task = asyncio.ensure_future(running())
    with pytest.raises(OwnError):
        await asyncio.gather(task, until_the_limit_then_fail())
    await task


async def end_of_the_loop(running: Work) -> None:
    left_open.append(asyncio.ensure_future(running()))
    await until_the_limit()


async def closing_the_coroutine(running: Work) -> None:
    coroutine = running()
    coroutine.send(None)
    await asyncio.sleep(LIMIT_S)
    coroutine.send(None)  # over the short sleep that every action has, to where it hangs
    await asyncio.sleep(LIMIT_S)
    coroutine.close()


left_open: list[Any] = []
"""What somebody still holds when its event loop ends."""
