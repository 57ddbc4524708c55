"""How many actions may be under way at a time: a semaphore for each event loop, since it belongs to one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

__all__ = ["Places"]


class _Place:
    __slots__ = ("semaphore", "users")

    def __init__(self, most: int) -> None:
        self.semaphore = asyncio.Semaphore(most)
        self.users = 0


class Places:
    """Places for at most `most` at a time, in each event loop; None: as many as come, and nobody need ask."""

    def __init__(self, most: int | None) -> None:
        self.most = most
        # each loop's thread touches its own alone; an entry goes with its last user, or it would keep its loop
        self._places: dict[asyncio.AbstractEventLoop, _Place] = {}

    @contextlib.asynccontextmanager
    async def one(self, most: int) -> AsyncGenerator[None, None]:
        """Wait for a place of `most`, in the order of asking, and hold it."""
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
