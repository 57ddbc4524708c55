"""Streams and their consumers: a generator of each kind, and scripts that drive it step by step.

    script "next send close" ──► step ──► what came of it: an item, a result, or an exception with its links

A decorated stream has to give the same as the plain one. Each step may run in a thread or task of its own, hence in a
context of its own.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import anyio
import anyio.lowlevel
from opentelemetry import context as context_api

import otel_feedback as feedback
from tests.conformance.cuts import forever, left_open, until_the_limit
from tests.conformance.ways import SLEEP_S, Outside, Seen, on

Told = list[object]


def stream(seen: Seen, kind: str) -> Generator[Any, Any, Any]:
    """The user's generator."""
    seen.note_start()
    time.sleep(SLEEP_S)
    try:
        got = yield 1
        if kind == "echoes":
            got = yield got
        if kind == "breaks":
            raise KeyError("broken")
        if kind == "stops":
            raise StopIteration("stopped")  # noqa: PLR1708 - the mistake that PEP 479 is about
        if kind == "nests":
            with feedback.action("nested") as nested:
                yield 2
                seen.between.append(feedback.current_action() is nested)
        yield 3
    except ValueError:
        if kind != "catches":
            raise
        yield "caught"
    except GeneratorExit:
        if kind == "fails":
            raise OSError("cleanup")  # noqa: B904
        if kind == "ignores":
            yield "not yet"
        if kind != "returns":
            raise
    finally:
        with feedback.action("cleanup"):
            pass
    return "done"


async def async_stream(seen: Seen, kind: str) -> AsyncGenerator[Any, Any]:
    """The same, and it awaits, also when it is closed."""
    seen.note_start()
    await anyio.sleep(SLEEP_S)
    try:
        got = yield 1
        if kind == "echoes":
            got = yield got
        if kind == "breaks":
            raise KeyError("broken")
        if kind == "stops":
            raise StopAsyncIteration("stopped")
        if kind == "nests":
            with feedback.action("nested") as nested:
                yield 2
                seen.between.append(feedback.current_action() is nested)
        yield 3
    except ValueError:
        if kind != "catches":
            raise
        yield "caught"
    except GeneratorExit:
        if kind == "fails":
            raise OSError("cleanup")  # noqa: B904
        if kind == "ignores":
            yield "not yet"
        if kind != "returns":
            raise
    finally:
        with feedback.action("cleanup"):
            await anyio.lowlevel.checkpoint()


STEPS: dict[str, Callable[[Any], Any]] = {
    "next": next,
    "send": lambda items: items.send("sent"),
    "throw": lambda items: items.throw(ValueError("thrown")),
    "exit": lambda items: items.throw(GeneratorExit("thrown")),
    "close": lambda items: items.close(),
}
ASYNC_STEPS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "next": lambda items: items.__anext__(),
    "send": lambda items: items.asend("sent"),
    "throw": lambda items: items.athrow(ValueError("thrown")),
    "exit": lambda items: items.athrow(GeneratorExit("thrown")),
    "close": lambda items: items.aclose(),
}


def _told(exc: BaseException) -> object:
    return repr(exc), repr(exc.__cause__), repr(exc.__context__)


def _step(seen: Seen, step: str, items: Any) -> object:
    before = context_api.get_current()
    try:
        return STEPS[step](items)
    except BaseException as exc:
        return _told(exc)
    finally:
        seen.between.append(context_api.get_current() is before)


async def _async_step(seen: Seen, step: str, items: Any) -> object:
    before = context_api.get_current()
    try:
        return await ASYNC_STEPS[step](items)
    except BaseException as exc:
        return _told(exc)
    finally:
        seen.between.append(context_api.get_current() is before)


def drive(function: Callable[..., Any], seen: Seen, kind: str, script: str) -> Told:
    """Step through a generator, here."""
    told: Told = []
    with Outside(seen):
        items = function(seen, kind)
        for step in script.split():
            told.append(_step(seen, step, items))
        del items
        gc.collect()
    return told


def drive_in_threads(function: Callable[..., Any], seen: Seen, kind: str, script: str) -> Told:
    """Step through a generator, each step in a thread and context of its own, as web frameworks do."""
    told: Told = []
    with Outside(seen):
        items = function(seen, kind)
        for step in script.split():
            with ThreadPoolExecutor(1) as pool:
                told.append(pool.submit(contextvars.copy_context().run, _step, seen, step, items).result())
        del items
        gc.collect()
    return told


async def drive_async(function: Callable[..., Any], seen: Seen, kind: str, script: str, *, in_tasks: bool) -> Told:
    """Step through an async generator, here or each step in a task and context of its own."""
    told: Told = []
    with Outside(seen):
        items = function(seen, kind)
        one: Any = None
        for step in script.split():
            one = _async_step(seen, step, items)
            told.append(await (asyncio.ensure_future(one) if in_tasks else one))
        del items, one
        gc.collect()
        await loop_closes_what_was_collected()
    return told


def _on(loop: str, *, in_tasks: bool = False) -> Callable[[Callable[..., Any], Seen, str, str], Told]:
    def run(function: Callable[..., Any], seen: Seen, kind: str, script: str) -> Told:
        told: Told = []

        async def main() -> None:
            told.extend(await drive_async(function, seen, kind, script, in_tasks=in_tasks))

        on(loop, main)
        return told

    return run


def behind(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a plain function that gives what this one does, as decorators make it."""
    return lambda *args: function(*args)  # noqa: PLW0108 - it is no generator function, and that one is


FLAVOURS: dict[str, tuple[Callable[..., Any], Callable[[Callable[..., Any], Seen, str, str], Told]]] = {
    "generator": (stream, drive),
    "function that gives a generator": (behind(stream), drive),
    "generator stepped by threads": (stream, drive_in_threads),
    "async generator": (async_stream, _on("asyncio")),
    "function that gives an async generator": (behind(async_stream), _on("asyncio")),
    "async generator stepped by tasks": (async_stream, _on("asyncio", in_tasks=True)),
    "async generator on trio": (async_stream, _on("anyio on trio")),
}

# -- consumers of async generators that go away ----------------------------------------------------------------


async def loop_closes_what_was_collected() -> None:
    for _ in range(20):
        await anyio.lowlevel.checkpoint()


async def breaks_off(items: Callable[[], AsyncGenerator[Any, Any]]) -> None:
    async for _ in items():
        break
    await loop_closes_what_was_collected()


async def another_task_closes(items: Callable[[], AsyncGenerator[Any, Any]]) -> None:
    opened = items()
    await opened.__anext__()
    await asyncio.ensure_future(opened.aclose())


async def is_cancelled_at_work(items: Callable[[], AsyncGenerator[Any, Any]]) -> None:
    async def consume() -> None:
        async for _ in items():
            await forever()

    task = asyncio.ensure_future(consume())
    await until_the_limit()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    del task
    gc.collect()
    await loop_closes_what_was_collected()


async def keeps_it_until_the_loop_ends(items: Callable[[], AsyncGenerator[Any, Any]]) -> None:
    left_open.append(items())
    await left_open[-1].__anext__()


CONSUMERS = {
    "breaks off": breaks_off,
    "lets another task close it": another_task_closes,
    "is cancelled while at work on an item": is_cancelled_at_work,
    "keeps it until the loop ends": keeps_it_until_the_loop_ends,
}
