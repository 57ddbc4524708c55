"""Leases as a sender has them: records made whole, and given out as many at a time as its client takes; and sequences as runs."""

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
        self._sent = message.records
        self._ready: list[Record] = []
        self._at = 0

    def __bool__(self) -> bool:
        return bool(self._sent) or self._at < len(self._ready)

    def next(self, most: int) -> tuple[list[Record], list[tuple[int, str, str]]]:
        """Return the next records, whole; and those of the lease that cannot be read, the first time."""
        unreadable: list[tuple[int, str, str]] = []
        if self._sent:
            # all of them before the first is exported: making events takes longer than a client waits for more, so if this
            # was done between one and the next, batches would be of a few records each
            unreadable = self._make()
        lease = self._ready[self._at : self._at + most]
        self._at += most
        return lease, unreadable

    def _make(self) -> list[tuple[int, str, str]]:
        unreadable: list[tuple[int, str, str]] = []
        sent, self._sent = self._sent, []
        for one in sent:
            try:
                # all of the parent's are of the same origin
                record = Record(self._origin, *one, "", is_packed=True) if isinstance(one, tuple) else one
                self._ready.append(record.whole())
            except Exception as exc:
                sequence = one[0] if isinstance(one, tuple) else one.sequence
                unreadable.append((sequence, "damaged", describe(exc)))
        return unreadable


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
