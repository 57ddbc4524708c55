"""Answers that take long: of a kind one at a time is worked out, whoever asks, and each is kept the longer the longer it took.

    request ──► its turn ──is it still there?──► kept ───────────────────────► an answer
                                                  └──► a thread of their own ──┘

So they take none of the threads of the views that are live, and little of the time. For one event loop.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Hashable

import anyio
from starlette.requests import Request
from starlette.responses import Response

__all__ = ["Slowly"]

SHARE = 20
LEAST_S, MOST_S = 1.0, 60.0
"""How long an answer is kept, at least and at most."""
MOST_KEPT = 64


class Slowly:
    """The answers of one kind.

    Args:
        most_s: How long one is kept at most.
    """

    def __init__(self, most_s: float = MOST_S) -> None:
        self._most_s = most_s
        self._turn = anyio.Lock()
        self._limiter = anyio.CapacityLimiter(1)
        self._kept: dict[Hashable, tuple[float, bytes]] = {}  # until when, what

    async def answer(
        self, request: Request, key: Hashable, work: Callable[[anyio.CapacityLimiter], Awaitable[bytes]]
    ) -> Response:
        """Return the answer to a request.

        Args:
            request: Who asks.
            key: What: the same gets the same answer.
            work: Makes it, on a thread that this limits.
        """
        async with self._turn:
            if await request.is_disconnected():  # has gone on to another view, while others were before it
                return Response(status_code=204)
            until, body = self._kept.pop(key, (0.0, b""))
            began = time.monotonic()
            if began >= until:
                body = await work(self._limiter)
                until = time.monotonic() + min(self._most_s, max(LEAST_S, SHARE * (time.monotonic() - began)))
            while len(self._kept) >= MOST_KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = until, body
            return Response(body, media_type="application/json")
