"""A task that takes its first step at once, so that what waits for nothing has ended when it is there.

    begin(coroutine) ──► a task of its own ──► its first step, here and now ──► it waits? the event loop goes on with it

To wait for the first step would cost a turn of the event loop, and each turn asks the system. Python does it from 3.12 on
(`eager_start`). Before, a task asks its event loop by `call_soon` to take its first step; that is heard here, and what is
asked for is done. So it is a task like all others: it can be cancelled, has its own context and is current while it runs.
"""

# pyright: reportPrivateUsage=false
# for who steps tasks, says "Extending" in the manual of asyncio

from __future__ import annotations

import asyncio
import sys
from asyncio import _enter_task, _leave_task
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

__all__ = ["begin"]

MOST_DEEP = 20
"""First steps within first steps, of all threads: each takes its share of Python's stack. Who goes deeper begins with an
empty one."""

Begun = tuple["asyncio.Task[None]", bool]
"""A task, and whether its first step has been taken, too."""

_deep: list[None] = []  # an item for each first step; changed by single operations, which nothing interrupts


if sys.version_info >= (3, 12):

    def begin(coroutine: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> Begun:
        """Make a task of it on the event loop that runs here.

        Its first step is the loop's to take where the program makes its tasks itself, or many are in their first step.
        """
        if len(_deep) >= MOST_DEEP or loop.get_task_factory() is not None:
            return loop.create_task(coroutine), False
        _deep.append(None)
        try:
            return asyncio.Task(coroutine, loop=loop, eager_start=True), True
        finally:
            _deep.pop()

else:
    # what `current_task()` looks into, which is no function of C before 3.12
    from asyncio.tasks import _current_tasks  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType]

    def begin(coroutine: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> Begun:
        """Make a task of it on the event loop that runs here.

        Its first step is the loop's to take where the program makes its tasks itself, or many are in their first step.
        """
        own: dict[str, Any] | None = getattr(loop, "__dict__", None)
        if (
            len(_deep) >= MOST_DEEP or loop.get_task_factory() is not None
            or own is None or "call_soon" in own  # nothing can be put before its method, or somebody has
        ):  # fmt: skip
            return loop.create_task(coroutine), False
        asked: list[tuple[Callable[[], object], Context]] = []

        def hear(callback: Any, *args: Any, context: Any = None) -> Any:
            of = getattr(callback, "__self__", None)
            if isinstance(of, asyncio.Task) and of.get_coro() is coroutine:
                asked.append((callback, context))
                return None
            return call_soon(callback, *args, context=context)  # of a finaliser, which may run at any time

        call_soon, own["call_soon"] = loop.call_soon, hear
        try:
            task = asyncio.Task(coroutine, loop=loop)
        finally:
            del own["call_soon"]
        if not asked:
            return task, False
        step, context = asked[0]
        around = _current_tasks.get(loop)
        if around is not None:
            _leave_task(loop, around)
        _deep.append(None)
        try:
            context.run(step)
        finally:
            _deep.pop()
            if around is not None:
                _enter_task(loop, around)
        return task, True
