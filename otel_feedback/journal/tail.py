"""The newest records of a journal, in memory: what workers that keep up are served from.

Written with the journal's lock held; a read of one record is atomic and needs no lock.
"""

from __future__ import annotations

import contextlib

from otel_feedback.events.record import Record

__all__ = ["Tail"]


class Tail:
    """Records by sequence, from `first` on; some may be missing. Appends put them in, without a call."""

    __slots__ = ("bytes", "first", "get", "records")

    def __init__(self, first: int = 0) -> None:
        self.records: dict[int, Record] = {}
        self.get = self.records.get
        self.first = first
        self.bytes = 0

    def drop_first(self) -> None:
        """Forget the oldest record."""
        record = self.records.pop(self.first, None)
        if record is not None:
            self.bytes -= len(record.payload)
        self.first += 1

    def forget_below(self, sequence: int, most: int) -> bool:
        """Forget at most `most` records below `sequence`; True if there are more."""
        pop, freed, end = self.records.pop, 0, min(sequence, self.first + most)
        for number in range(self.first, end):
            record = pop(number, None)
            if record is not None:
                freed += len(record.payload)
        self.bytes -= freed
        self.first = max(self.first, end)
        return self.first < sequence

    def take(self, start: int, most: int, end: int) -> tuple[list[Record], int]:
        """Return up to `most` records from `start` on that follow each other, and where they end.

        One that cannot be read back is left out: it must not hold up all others.
        """
        taken: list[Record] = []
        get = self.get
        while start < end and len(taken) < most:
            record = get(start)
            if record is None:
                break
            start += 1
            with contextlib.suppress(Exception):
                taken.append(record.whole())
        return taken, start
