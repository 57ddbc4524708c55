"""Leases as a sender has them: records made whole, as many at a time as its client takes; and sequences as runs."""

from __future__ import annotations

from collections.abc import Iterable

from otel_feedback.errors import describe
from otel_feedback.events.record import Record
from otel_feedback.exporters.kafka.process.messages import Lease

__all__ = ["Waiting", "runs_of"]


class Waiting:
    """A lease of the parent's, of which some has been exported."""

    def __init__(self, message: Lease) -> None:
        self.number = message.number
        self._origin = message.origin
        self.producer_id = message.origin.producer_id
        self._records = message.records
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._records)

    def next(self, most: int) -> tuple[list[Record], list[tuple[int, str, str]]]:
        """Return the next records, whole, and those of them that cannot be read."""
        lease: list[Record] = []
        unreadable: list[tuple[int, str, str]] = []
        for one in self._records[self._at : self._at + most]:
            try:
                # all of the parent's are of the same origin
                record = Record(self._origin, *one, "", is_packed=True) if isinstance(one, tuple) else one
                lease.append(record.whole())
            except Exception as exc:
                sequence = one[0] if isinstance(one, tuple) else one.sequence
                unreadable.append((sequence, "damaged", describe(exc)))
        self._at += most
        return lease, unreadable


def runs_of(sequences: Iterable[int]) -> list[tuple[int, int]]:
    """Return sequences as runs `[first, end)`, in order."""
    runs: list[tuple[int, int]] = []
    first = end = -1
    for sequence in sorted(sequences):
        if sequence != end:
            if end >= 0:
                runs.append((first, end))
            first = sequence
        end = sequence + 1
    if end >= 0:
        runs.append((first, end))
    return runs
