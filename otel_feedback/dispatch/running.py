"""Running a call beside the other work of the event loop, and waiting for it no longer than allowed.

    async ──► a task of its own  ┐
    plain ──► a daemon thread    ├──► what it gave, and what it raised, as values
              to itself          ┘    cancelled or late: it is left behind, at the latest after its grace

The callee's exception comes back as a value, so that none ends an event loop, is logged as never retrieved, or keeps
frames alive. A plain callee gets the caller's context variables.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import inspect
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from otel_feedback.dispatch.threads import run_in_thread

__all__ = ["GRACE_S", "Call", "Ended", "LateError", "Outcome", "finished", "start", "stop_for_good", "within"]

GRACE_S = 1.0
"""How long a coroutine that was cancelled may take to end."""

Outcome = tuple[Any, "BaseException | None"]
"""What a call gave, and what it raised."""

Ended = tuple[Any, "BaseException | None", float]
"""The same, and when by the monotonic clock: a busy loop may learn of it much later."""


F = TypeVar("F", bound="asyncio.Future[Ended]")


class LateError(Exception):
    """The time that we gave was up; not to be confused with a TimeoutError of the callee's own."""


_left: set[asyncio.Task[Ended]] = set()  # an event loop holds its tasks weakly


async def _contained(call: Callable[[], Any]) -> Ended:
    try:
        return await call(), None, time.monotonic()
    except BaseException as exc:
        return None, exc, time.monotonic()


def start(call: Callable[[], Any]) -> asyncio.Task[Ended]:
    """Start what an async function does as a task, which itself raises nothing."""
    return asyncio.get_running_loop().create_task(_contained(call))


async def finished(future: asyncio.Future[Ended], limit_s: float | None = None) -> bool:
    """Wait until it is done, and leave it alone if it is not; return whether it is.

    Does what `asyncio.wait` does for one future, in half the time.
    """
    if future.done():
        return True
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()

    def wake(_: object = None) -> None:
        if not waiter.done():
            waiter.set_result(None)

    timer = None if limit_s is None else loop.call_later(limit_s, wake)
    future.add_done_callback(wake)
    try:
        await waiter
    finally:
        future.remove_done_callback(wake)
        if timer is not None:
            timer.cancel()
    return future.done()


async def stop(future: asyncio.Future[Ended]) -> None:
    """Cancel it, and wait for its end no longer than its grace."""
    future.cancel()
    if isinstance(future, asyncio.Task) and not future.done():
        _left.add(future)
        future.add_done_callback(_left.discard)
        await finished(future, GRACE_S)


async def stop_for_good(*tasks: asyncio.Task[Ended]) -> None:
    """Cancel tasks and wait for their end, also when we are cancelled meanwhile, as a scope of anyio does all the time.

    Each of our cancellations is one of theirs, too: then they wait for nobody.
    """
    running = {task for task in tasks if not task.done()}
    ours: asyncio.CancelledError | None = None
    while running:
        for task in running:
            task.cancel()
        try:
            await asyncio.wait(running)
        except asyncio.CancelledError as exc:
            ours = exc  # anyio knows its own
        running = {task for task in running if not task.done()}
    if ours is not None:
        try:
            raise ours
        finally:
            del ours  # its traceback has this frame


async def within(future: F, limit_s: float | None, stop: Callable[[F], Coroutine[Any, Any, None]] = stop) -> Outcome:
    """Wait for what was started, for at most `limit_s` seconds; stop it when that is over, or when we are cancelled.

    Raises:
        LateError: The time was up, or is when we learn that the callee succeeded too late.
        asyncio.CancelledError: We were cancelled; that the callee was is in what is returned.
    """
    started_s = time.monotonic()
    try:
        in_time = await finished(future, limit_s)
    except asyncio.CancelledError:
        await stop(future)
        raise
    except GeneratorExit:  # closed by hand, where nothing may be awaited any more
        future.cancel()
        raise
    if not in_time:
        await stop(future)
        raise LateError
    if future.cancelled():  # before its first step, as at the end of a loop
        return None, asyncio.CancelledError()
    output, error, ended_s = future.result()
    if error is None and limit_s is not None and ended_s - started_s > limit_s:
        raise LateError
    return output, error


class Call:
    """A call without arguments that can be made, several times, but not at once.

    Args:
        function: Called for each `outcome()`.
        is_async: Whether it is a coroutine function. A plain one runs in a thread; an awaitable that it returns is
            awaited on the event loop, within the same time.
    """

    __slots__ = ("_function", "_is_async", "cpu_ms", "in_thread", "is_over")

    def __init__(self, function: Callable[[], Any], *, is_async: bool) -> None:
        self._function = function
        self._is_async = is_async
        self.in_thread = False
        """Whether it is, or was late or cancelled, in a thread of its own; nothing can stop that."""
        self.is_over = True
        """Whether that thread has ended, as far as we know."""
        self.cpu_ms: float | None = None
        """CPU time of the thread, in milliseconds, where it had one and it is over."""

    @property
    def is_plain(self) -> bool:
        """Whether it runs in a thread."""
        return not self._is_async

    async def outcome(self, limit_s: float | None) -> Outcome:
        """Make the call; return what it gave and what it raised, its own cancellation included.

        Raises:
            LateError: It took longer than `limit_s` seconds.
            asyncio.CancelledError: We were cancelled, and the callee with us.
        """
        if self._is_async:
            return _not_stopping(await within(start(self._function), limit_s))
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        self.cpu_ms = None
        try:
            answer = self._start_thread(loop)
        except RuntimeError as exc:  # the system gives no more threads
            return None, exc
        self.in_thread, self.is_over = True, False
        output, error = await within(answer, limit_s)
        self.in_thread = False
        if error is None and inspect.isawaitable(output):
            left_s = None if limit_s is None else max(0.0, limit_s - (loop.time() - started_s))
            return _not_stopping(await within(start(lambda: output), left_s))
        return _not_stopping((output, error))

    def _start_thread(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[Ended]:
        answer: asyncio.Future[Ended] = loop.create_future()
        waiting = [answer]  # emptied: an exception's traceback has the frame below, which must not hold its future
        context = contextvars.copy_context()

        def settle(outcome: Ended, cpu_ms: float) -> None:
            answer = waiting.pop()
            if not answer.done():
                self.cpu_ms = cpu_ms
                self.is_over = True
                answer.set_result(outcome)

        def tell(outcome: Ended, cpu_ms: float) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
                loop.call_soon_threadsafe(settle, outcome, cpu_ms)

        def run() -> Callable[[], None]:
            started_ns = time.thread_time_ns()
            try:
                outcome: Ended = context.run(self._function), None, time.monotonic()
            except BaseException as exc:
                outcome = None, exc, time.monotonic()
            try:
                return functools.partial(tell, outcome, (time.thread_time_ns() - started_ns) / 1e6)
            finally:
                del outcome  # its traceback has this frame

        run_in_thread(run)
        return answer


def _not_stopping(outcome: Outcome) -> Outcome:
    """Return the outcome; a StopIteration becomes what Python makes of it in a coroutine."""
    error = outcome[1]
    if isinstance(error, (StopIteration, StopAsyncIteration)):
        replaced = RuntimeError(f"the agent raised {type(error).__name__}")
        replaced.__cause__ = error
        return None, replaced
    return outcome
