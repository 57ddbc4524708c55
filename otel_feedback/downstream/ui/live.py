"""What is new, for each browser that is looking: rows that came, changed or went, totals, alerts, as server-sent events.

    mirror ──"there is more"──► Hub ──wakes──► a stream of each browser: asks for what has come since, and sends it
                                                  └ one that is slow asks later, for the newest: nothing is kept for it

There is no queue: what a stream needs is a number, of the change that it has seen. So a slow browser costs nothing, and one
that is gone leaves nothing. Streams that ask the same share the answer. For one event loop; `tell()` is for any thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable
from typing import Any

import msgspec

from otel_feedback.downstream.ui.asking import RefusedError

__all__ = ["MOST_STREAMS", "Hub"]

PAUSE_S = 0.25
"""Between two messages of rows."""
TICK_S = 2.0
SHARE = 40
"""Totals are counted one part in so many of the time, at most."""
HEARTBEAT_S = 15.0
MOST_STREAMS = 200
MOST_ROWS = 200
MOST_SHARED = 64

Count = Callable[[int], Awaitable[dict[str, Any]]]
Told = Callable[[], Awaitable[dict[str, Any]]]


class Hub:
    """Knows the streams that are open, and wakes them.

    Args:
        seen: The number of the newest change.
        alerts: What alerts are open, as data, of a tenant or all.
    """

    def __init__(self, seen: Callable[[], int], alerts: Callable[[str | None], Any]) -> None:
        self._seen = seen
        self._alerts = alerts
        self.loop: asyncio.AbstractEventLoop | None = None
        self._changed = asyncio.Event()
        self._shared: dict[Hashable, asyncio.Future[bytes]] = {}
        self._totals: dict[Hashable, tuple[float, dict[str, Any]]] = {}  # when to count again, and what was counted
        self.streams = 0
        """How many are open."""
        self.is_ending = False

    @property
    def waiting(self) -> int:
        """How many messages are kept, for all streams together."""
        return len(self._shared)

    def tell(self) -> None:
        """Wake the streams, from any thread."""
        loop = self.loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._wake)

    def end(self) -> None:
        """Have all streams end."""
        self.is_ending = True
        self.tell()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def admit(self) -> None:
        """See that there is room for one more.

        Raises:
            RefusedError: There is none.
        """
        if self.streams >= MOST_STREAMS or self.is_ending:
            raise RefusedError(503, f"{self.streams} pages are looking already", "close some, or try again in a moment")

    async def stream(
        self, key: Hashable, seen: int, tenant: str | None, changed: Count, news: Told, totals: Told
    ) -> AsyncGenerator[bytes, None]:
        """Yield the messages of one stream, until it is cancelled.

        Args:
            key: What it asks; streams of the same get the same answers.
            seen: The number of the change that it knows.
            tenant: Whose alerts.
            changed: Returns the rows that have come since a change.
            news: Returns what is newest, which takes no time.
            totals: Returns the totals, which may.
        """
        self.loop = asyncio.get_running_loop()
        self.streams += 1
        try:
            alerts: Any = None
            tick_due_s = beat_due_s = time.monotonic()
            yield b"retry: 2000\n\n"
            while not self.is_ending:
                wake, now_s = self._changed, time.monotonic()
                if self._seen() > seen:
                    last = self._seen()
                    yield await self._share(("rows", key, seen, last), lambda since=seen: self._rows(changed(since)))
                    seen, beat_due_s = last, now_s + HEARTBEAT_S
                if now_s >= tick_due_s:
                    yield await self._share(("tick", key, int(now_s / TICK_S)), lambda: self._tick(key, news, totals))
                    tick_due_s = time.monotonic() + TICK_S
                    beat_due_s = now_s + HEARTBEAT_S
                    if (found := self._alerts(tenant)) != alerts:
                        alerts = found
                        yield _message("alerts", {"open": alerts})
                elif now_s >= beat_due_s:
                    yield b": still here\n\n"
                    beat_due_s = now_s + HEARTBEAT_S
                await asyncio.sleep(PAUSE_S)
                if self._seen() <= seen and not self.is_ending:
                    await _within(wake, max(0.0, min(tick_due_s, beat_due_s) - time.monotonic()))
        except RefusedError:
            pass  # the store cannot be read just now: the browser comes again
        finally:
            self.streams -= 1

    async def _rows(self, changed: Awaitable[dict[str, Any]]) -> bytes:
        told = await changed
        mark = f"id: {told.pop('seen')}\n".encode()  # a browser that comes again says it
        is_news = told["rows"] or told["gone"] or told["given"] or told["skipped"] is None
        return mark + (_message("rows", told) if is_news else b": nothing of what is asked for\n\n")

    async def _tick(self, key: Hashable, news: Told, totals: Told) -> bytes:
        """Return what is the newest, with the totals, which are counted anew as often as they are quickly counted."""
        due_s, counted = self._totals.pop(key, (0.0, {}))
        began_s = time.monotonic()
        if began_s >= due_s:
            counted = await totals()
            due_s = began_s + max(TICK_S, SHARE * (time.monotonic() - began_s))
        while len(self._totals) >= MOST_SHARED:
            self._totals.pop(next(iter(self._totals)))
        self._totals[key] = due_s, counted
        return _message("tick", {**await news(), "totals": counted})

    async def _share(self, key: Hashable, work: Callable[[], Awaitable[bytes]]) -> bytes:
        """Return the message that the first makes that asks."""
        shared = self._shared.get(key)
        if shared is None:
            while len(self._shared) >= MOST_SHARED:
                self._shared.pop(next(iter(self._shared)))
            shared = self._shared[key] = asyncio.ensure_future(work())
        return await asyncio.shield(shared)  # who leaves does not take it from the others


async def _within(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except asyncio.TimeoutError:
        pass


def _message(name: str, data: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode(data))
