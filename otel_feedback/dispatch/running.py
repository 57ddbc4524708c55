"""Running a call beside the other work of the event loop, and waiting for it no longer than allowed.

    async ──► a task of its own  ┐
    plain ──► a daemon thread    ├──► what it gave, and what it raised, as values
              to itself          ┘    cancelled or late: it is left behind, at the latest after its grace

A task takes its first step at once. What has ended with it has cost no turn of the event loop, which gets one at least
each `TURN_S` all the same.

The callee's exception comes back as a value, so that none ends an event loop, is logged as never retrieved, or keeps
frames alive: that of a first step has the frames of all who called, so none of them may keep it, nor what has it. A plain
callee gets the caller's context variables.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import inspect
import threading
import time
import types
from collections.abc import Callable, Coroutine, Generator, Iterable
from typing import Any

import msgspec

from otel_feedback.dispatch.begun import begin
from otel_feedback.dispatch.threads import run_in_thread

__all__ = [
    "GRACE_S",
    "Call",
    "LateError",
    "Outcome",
    "Running",
    "keep",
    "start",
    "stop_for_good",
    "under_way",
    "within",
]

GRACE_S = 1.0
"""How long a coroutine that was cancelled may take to end."""

TURN_S = 0.01
"""How long callees that wait for nothing may follow each other before the event loop gets a turn."""

Outcome = tuple[Any, "BaseException | None"]
"""What a call gave, and what it raised."""

Ended = tuple[Any, "BaseException | None", float]
"""The same, and when by the monotonic clock: a busy loop may learn of it much later."""


class LateError(Exception):
    """The time that we gave was up; not to be confused with a TimeoutError of the callee's own."""


class Running(msgspec.Struct, eq=False):
    """A call that was started, and who waits for it: one at a time, on its event loop.

    `ended` is None until it has. `task` is None where a thread runs it. `started_s` is by the monotonic clock.
    """

    # a struct, since it is made in one step, in C
    started_s: float
    ended: Ended | None = None
    task: asyncio.Task[None] | None = None
    has_begun: bool = True  # False where its task waits for its first step
    waiter: asyncio.Future[None] | None = None

    def end(self, ended: Ended) -> None:
        """Take what came of it. Whoever does must not keep this: an exception's traceback has the frame."""
        self.ended = ended
        if self.waiter is not None:
            _wake(self.waiter)

    async def finished(self, limit_s: float | None = None) -> Ended | None:
        """Wait until it has ended, and leave it alone if it does not; return what came of it."""
        loop = asyncio.get_running_loop()
        until_s = None if limit_s is None else loop.time() + limit_s
        if self.ended is None and not self.has_begun:
            await _one_turn()  # what waits for nothing has ended then; to be told by it takes another turn
        if self.ended is None:
            # told by its last step: a callback of the task would be a turn later
            self.waiter = loop.create_future()
            timer = None if until_s is None else loop.call_at(until_s, _wake, self.waiter)
            try:
                await self.waiter
            finally:
                if timer is not None:
                    timer.cancel()
        return self.ended

    def is_late(self, limit_s: float | None) -> bool:
        """Tell whether it succeeded, but took longer than this."""
        assert self.ended is not None
        return limit_s is not None and self.ended[1] is None and self.ended[2] - self.started_s > limit_s

    def cancel(self) -> None:
        """Cancel it; nothing can stop a thread."""
        if self.task is not None:
            self.task.cancel()


def _wake(waiter: asyncio.Future[None]) -> None:
    try:  # as a context manager it costs four times as much
        waiter.set_result(None)
    except (asyncio.InvalidStateError, RuntimeError):  # nobody waits any more; its loop is closed
        pass


def start(call: Callable[[], Any], *, at_once: bool = True) -> Running:
    """Start what an async function does as a task, which itself raises nothing.

    Args:
        at_once: Whether it takes its first step before this returns.
    """
    running = Running(time.monotonic())
    try:
        contained = _contained(call, running)
        loop = asyncio.get_running_loop()
        if at_once:
            running.task, running.has_begun = begin(contained, loop)
        else:
            running.task, running.has_begun = loop.create_task(contained), False
        if not running.has_begun:
            # so it has begun, and catches also what comes before its first step, as at the end of a loop
            contained.send(None)
        return running
    finally:
        del running


async def _contained(call: Callable[[], Any], running: Running) -> None:
    try:
        if not running.has_begun:
            await _one_turn()  # stepped over by start()
        ended: Ended = await call(), None, time.monotonic()
    except BaseException as exc:
        ended = None, _not_stopping(exc), time.monotonic()
    running.ended = ended
    if running.waiter is not None:
        _wake(running.waiter)
    del ended, running  # an exception's traceback has this frame


def _not_stopping(error: BaseException) -> BaseException:
    """Return the error; for a StopIteration what Python makes of it in a coroutine."""
    if not isinstance(error, (StopIteration, StopAsyncIteration)):
        return error
    replaced = RuntimeError(f"the agent raised {type(error).__name__}")
    replaced.__cause__ = error
    return replaced


@types.coroutine
def _one_turn() -> Generator[None, None, None]:
    """Let the event loop do what is to be done now; `asyncio.sleep(0)` is the same for twice the time."""
    yield


_kept: set[asyncio.Task[None]] = set()  # an event loop holds its tasks weakly


def keep(running: Running) -> None:
    """Let its task go on when nobody waits for it any more."""
    if running.task is not None and running.ended is None:
        _kept.add(running.task)
        running.task.add_done_callback(_kept.discard)


async def stop(running: Running) -> None:
    """Cancel it, and wait for its end no longer than its grace."""
    running.cancel()
    if running.task is not None and running.ended is None:
        keep(running)
        await running.finished(GRACE_S)


def under_way(several: Iterable[Running]) -> set[asyncio.Task[None]]:
    """Return the tasks of those that have not ended."""
    return {running.task for running in several if running.task is not None and running.ended is None}


async def stop_for_good(*several: Running) -> None:
    """Cancel tasks and wait for their end, also when we are cancelled meanwhile, as a scope of anyio does all the time.

    Each of our cancellations is one of theirs, too: then they wait for nobody.
    """
    ours: asyncio.CancelledError | None = None
    while tasks := under_way(several):
        for task in tasks:
            task.cancel()
        try:
            await asyncio.wait(tasks)
        except asyncio.CancelledError as exc:
            ours = exc  # anyio knows its own
    if ours is not None:
        try:
            raise ours
        finally:
            del ours  # its traceback has this frame


async def within(
    running: Running, limit_s: float | None, stop: Callable[[Running], Coroutine[Any, Any, None]] = stop
) -> Outcome:
    """Wait for what was started, for at most `limit_s` seconds; stop it when that is over, or when we are cancelled.

    Raises:
        LateError: The time was up, or is when we learn that the callee succeeded too late.
        asyncio.CancelledError: We were cancelled; that the callee was is in what is returned.
    """
    left_s = None if limit_s is None else max(0.0, limit_s - (time.monotonic() - running.started_s))
    try:
        ended = await running.finished(left_s)
    except asyncio.CancelledError:
        await stop(running)
        raise
    except GeneratorExit:  # closed by hand, where nothing may be awaited any more
        running.cancel()
        raise
    if ended is None:
        await stop(running)
        raise LateError
    try:
        if running.is_late(limit_s):
            raise LateError
        return ended[:2]
    finally:
        del ended, running


class _Turns(threading.local):
    last_s = 0.0  # when the event loop had one, by the monotonic clock, as far as we know


_turns = _Turns()


class Call(msgspec.Struct, eq=False):
    """A call without arguments that can be made, several times, but not at once.

    `function` is called for each `outcome()`. Where it is no coroutine function it runs in a thread; an awaitable that it
    returns is awaited on the event loop, within the same time.
    """

    function: Callable[[], Any]
    is_async: bool
    in_thread: bool = False
    """Whether it is, or was late or cancelled, in a thread of its own; nothing can stop that."""
    is_over: bool = True
    """Whether that thread has ended, as far as we know."""
    cpu_ms: float | None = None
    """CPU time of the thread, in milliseconds, where it had one and it is over."""
    begun: Running | None = None
    """What `outcome()` goes on with."""

    def begin(self, limit_s: float | None) -> tuple[Any, BaseException | None, float] | None:
        """Begin to make the call; return what it gave, what it raised and its milliseconds, where it ended at once.

        Else `outcome()` is to go on with it: a coroutine that an agent which waits for nothing does without.
        """
        if not self.is_async:
            return None
        running = start(self.function)
        ended = running.ended
        try:
            if ended is None or ended[2] - _turns.last_s > TURN_S or (limit_s is not None and running.is_late(limit_s)):
                self.begun = running
                return None
            return ended[0], ended[1], (ended[2] - running.started_s) * 1e3
        finally:
            del ended, running  # an exception's traceback has this frame

    async def outcome(self, limit_s: float | None, *, at_once: bool = True) -> Outcome:
        """Make the call; return what it gave and what it raised, its own cancellation included.

        Args:
            limit_s: How long it may take, in seconds.
            at_once: Whether an async one takes its first step before anything else is done.

        Raises:
            LateError: It took longer than `limit_s` seconds.
            asyncio.CancelledError: We were cancelled, and the callee with us.
        """
        if not self.is_async:
            return await self._beside(limit_s)
        running, self.begun = self.begun or start(self.function, at_once=at_once), None
        try:
            if running.ended is None:
                return await within(running, limit_s)
            ended_s = running.ended[2]
            if ended_s - _turns.last_s > TURN_S:
                _turns.last_s = ended_s
                await _one_turn()
            if limit_s is not None and running.is_late(limit_s):
                raise LateError
            return running.ended[:2]
        finally:
            del running

    async def _beside(self, limit_s: float | None) -> Outcome:
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        self.cpu_ms = None
        try:
            running = self._start_thread(loop)
        except RuntimeError as exc:  # the system gives no more threads
            return None, exc
        self.in_thread, self.is_over = True, False
        output, error = await within(running, limit_s)
        self.in_thread = False
        if error is None and inspect.isawaitable(output):
            left_s = None if limit_s is None else max(0.0, limit_s - (loop.time() - started_s))
            return await within(start(lambda: output), left_s)
        return output, error

    def _start_thread(self, loop: asyncio.AbstractEventLoop) -> Running:
        running = Running(time.monotonic())
        waiting = [running]  # emptied: an exception's traceback has the frame below, which must not hold it
        context = contextvars.copy_context()

        def settle(outcome: Ended, cpu_ms: float) -> None:
            self.cpu_ms = cpu_ms
            self.is_over = True
            waiting.pop().end(outcome)

        def tell(outcome: Ended, cpu_ms: float) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
                loop.call_soon_threadsafe(settle, outcome, cpu_ms)

        def run() -> Callable[[], None]:
            started_ns = time.thread_time_ns()
            try:
                outcome: Ended = context.run(self.function), None, time.monotonic()
            except BaseException as exc:
                outcome = None, _not_stopping(exc), time.monotonic()
            try:
                return functools.partial(tell, outcome, (time.thread_time_ns() - started_ns) / 1e6)
            finally:
                del outcome  # its traceback has this frame

        run_in_thread(run)
        return running
