"""The newest records of a journal, in memory: what workers that keep up are served from.

Held as they stand in a frame: what is made of one, and is some times as large, is made when it is taken. Memory that a
record takes is new to the processor, which costs an agent more than the instructions that put the record there.
Written with the journal's lock held; a read of one record is atomic and needs no lock.
"""

from __future__ import annotations

import sys

from otel_feedback.events.record import Origin, Record
from otel_feedback.journal.held import Held, record_from

__all__ = ["Tail"]


class Tail:
    """Records by sequence, from `first` on; some may be missing. Appends put them in, without a call."""

    __slots__ = ("_origin", "bytes", "first", "get", "records")

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self.records: dict[int, Held] = {}
        self.get = self.records.get
        self.first = 0
        self.bytes = 0

    def drop_first(self) -> None:
        """Forget the oldest record."""
        held = self.records.pop(self.first, None)
        if held is not None:
            self.bytes -= len(held[1])
        self.first += 1

    def forget_below(self, sequence: int, most: int) -> bool:
        """Forget at most `most` records below `sequence`; True if there are more."""
        pop, freed, end = self.records.pop, 0, min(sequence, self.first + most)
        for number in range(self.first, end):
            held = pop(number, None)
            if held is not None:
                freed += len(held[1])
        self.bytes -= freed
        self.first = max(self.first, end)
        return self.first < sequence

    def take(
        self, start: int, most: int, end: int, packed: bool = False, most_bytes: int = sys.maxsize
    ) -> tuple[list[Record], int]:
        """Return up to `most` records from `start` on that follow each other, and where they end.

        The one that makes them `most_bytes` or more, as they are held, is the last. One that cannot be read back is left out:
        it must not hold up all others.
        """
        taken: list[Record] = []
        get, origin = self.get, self._origin
        is_counted = self.bytes > most_bytes  # else there is nothing to count
        while start < end and len(taken) < most:
            held = get(start)
            if held is None:
                break
            if is_counted:
                if most_bytes <= 0:
                    break
                most_bytes -= len(held[1])
            record = record_from(origin, start, held, packed)
            if record is not None:
                taken.append(record)
            start += 1
        return taken, start
