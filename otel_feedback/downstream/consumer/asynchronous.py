"""The topic's events with `async for`: the consumer for programs that have an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from otel_feedback.downstream.consumer.consuming import EVENTS, FEEDBACK, SIGNALS, Consuming
from otel_feedback.downstream.consumer.handing import Received
from otel_feedback.downstream.topic.given import ReceivedFeedback
from otel_feedback.downstream.topic.letters import REJECTED, DeadLetter
from otel_feedback.downstream.topic.received import ReceivedEvent
from otel_feedback.downstream.topic.values import SchemaWantedError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["AsyncFeedbackConsumer", "AsyncOutcomeConsumer"]


class _Iterating(Consuming[Received]):
    """Whatever is on the topic, with `async for`."""

    _loop: asyncio.AbstractEventLoop | None = None

    def _wake(self) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # a loop that is closed
                self._loop.call_soon_threadsafe(self._something_new.set)

    def __aiter__(self) -> AsyncIterator[Received]:
        return self

    async def __anext__(self) -> Received:
        if self._is_closed:
            raise StopAsyncIteration
        self._begin_here()
        self._handing.settle()
        while self._is_going_on():
            self._something_new.clear()
            found = self._handing.next()
            if isinstance(found, DeadLetter):
                await asyncio.to_thread(self._bury, found)
            elif isinstance(found, SchemaWantedError):
                await asyncio.to_thread(self._fetch, found)
            elif found is not None:
                return found
            elif self._is_going_on():
                await self._something_new.wait()
        await self.close()
        raise StopAsyncIteration

    def _begin_here(self) -> None:
        if self._loop is None:
            self._something_new = asyncio.Event()
            self._loop = asyncio.get_running_loop()
        elif self._loop is not asyncio.get_running_loop():
            raise RuntimeError("this consumer belongs to another event loop: make one in each")
        self._begin()

    async def run(self, handle: Callable[[Received], Awaitable[object]]) -> None:
        """Await a function's answer to each event, until `stop()` or a signal; then close.

        An event for which it raises goes to the dead letters, with the exception, and the others go on.
        """
        async with self:
            async for event in self:
                try:
                    await handle(event)
                except Exception as exc:
                    await asyncio.to_thread(self._bury_raised, exc)

    async def reject(self, detail: str) -> None:
        """Send the event in hand to the dead letters, with a detail of your own, and wait until it is there.

        Raises:
            RuntimeError: No event is in hand.
        """
        await asyncio.to_thread(self._bury, self._letter(REJECTED, detail))

    async def close(self) -> None:
        """Commit what was handled, leave the group, and wait for that; the event in hand does not count as handled."""
        await asyncio.to_thread(self._end)

    async def __aenter__(self) -> Self:
        self._begin_here()
        self._handlers: dict[int, Any] = {}
        if self._stop_on_signals and threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                before = signal.getsignal(number)
                with contextlib.suppress(NotImplementedError):  # Windows
                    asyncio.get_running_loop().add_signal_handler(number, self._on_signal)
                    self._handlers[number] = before
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if exc is None:
                self._handing.settle()
            await self.close()
        finally:
            self._give_back_signals()

    def _on_signal(self) -> None:
        self._give_back_signals()
        self.stop()

    def _give_back_signals(self) -> None:
        while self._handlers:
            number, handler = self._handlers.popitem()
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


class AsyncOutcomeConsumer(_Iterating[ReceivedEvent]):
    """Iterate over the outcome topic's events with `async for`; arguments and promises are those of `OutcomeConsumer`.

    For one task; the loop stays free while there is nothing to read.
    """

    _records = EVENTS


class AsyncFeedbackConsumer(_Iterating[ReceivedFeedback]):
    """Iterate over the feedback topic with `async for`; arguments and promises are those of `FeedbackConsumer`.

    For one task; the loop stays free while there is nothing to read.
    """

    _records = FEEDBACK
