"""How many actions may be under way at a time: a semaphore for each event loop, since it belongs to one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

__all__ = ["Places"]


_AT_ONCE = contextlib.nullcontext()


class _Place:
    __slots__ = ("semaphore", "users")

    def __init__(self, most: int) -> None:
        self.semaphore = asyncio.Semaphore(most)
        self.users = 0


class Places:
    """Places for at most `most` at a time, in each event loop; None: as many as come."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        # each loop's thread touches its own alone; an entry goes with its last user, or it would keep its loop
        self._places: dict[asyncio.AbstractEventLoop, _Place] = {}

    def one(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Wait for a place, in the order of asking, and hold it."""
        return _AT_ONCE if self._most is None else self._taken(self._most)

    @contextlib.asynccontextmanager
    async def _taken(self, most: int) -> AsyncGenerator[None, None]:
        loop = asyncio.get_running_loop()
        place = self._places.get(loop)
        if place is None:
            place = self._places[loop] = _Place(most)
        place.users += 1
        try:
            async with place.semaphore:
                yield
        finally:
            place.users -= 1
            if not place.users:
                self._places.pop(loop, None)
