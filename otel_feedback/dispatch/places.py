"""How many actions may be under way at a time: a semaphore for each event loop, since it belongs to one."""

from __future__ import annotations

import asyncio

__all__ = ["Place", "Places"]


class Place:
    """The places of one event loop; who has one holds it."""

    __slots__ = ("loop", "semaphore", "users")

    def __init__(self, loop: asyncio.AbstractEventLoop, most: int) -> None:
        self.loop = loop
        self.semaphore = asyncio.Semaphore(most)
        self.users = 0


class Places:
    """Places for at most `most` at a time, in each event loop; None: as many as come, and nobody need ask."""

    def __init__(self, most: int | None) -> None:
        self.most = most
        # each loop's thread touches its own alone; an entry goes with its last user, or it would keep its loop
        self._places: dict[asyncio.AbstractEventLoop, Place] = {}

    async def take(self, most: int) -> Place:
        """Wait for a place of `most`, in the order of asking. It is to be given back."""
        loop = asyncio.get_running_loop()
        place = self._places.get(loop)
        if place is None:
            place = self._places[loop] = Place(loop, most)
        place.users += 1
        try:
            await place.semaphore.acquire()
        except BaseException:
            self._leave(place)
            raise
        return place

    def give_back(self, place: Place) -> None:
        """Let the next one have it."""
        place.semaphore.release()
        self._leave(place)

    def _leave(self, place: Place) -> None:
        place.users -= 1
        if not place.users:
            self._places.pop(place.loop, None)
