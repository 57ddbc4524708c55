"""Leases as they go to a sender, and what became of them, as it was said so far. Used on the worker's thread."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence

import msgspec

from otel_feedback.errors import ExportError
from otel_feedback.events.record import Record
from otel_feedback.exporters.interface import Receipt, Refusal
from otel_feedback.exporters.kafka.process.messages import Answers, Packed
from otel_feedback.exporters.kafka.receipt import Result

__all__ = ["LeaseReceipt", "Receipts", "refused", "sent"]


class LeaseReceipt:
    """What became of a lease. `error`, where there is one, is what became of the rest."""

    __slots__ = ("_lease", "_left", "_results", "error")

    def __init__(self, lease: Sequence[Record]) -> None:
        self._lease = lease
        self._left = len(lease)
        self._results: list[Result] = []
        self.error: ExportError | None = None

    @property
    def is_complete(self) -> bool:
        """True when everything was said."""
        return self._left <= 0

    @property
    def done(self) -> bool:
        return self._left <= 0 and not self._results

    def take(self, message: Answers) -> None:
        """Take in what was said."""
        before = len(self._results)
        for first, end in message.delivered:
            self._results += [(record, None) for record in self._lease[self._place(first) : self._place(end)]]
        for sequence, reason, detail in message.refused:
            self._results.append(refused(self._lease[self._place(sequence)], reason, detail))
        self._left -= len(self._results) - before

    def poll(self) -> Iterable[Result]:
        results, self._results = self._results, []
        if not results and self.error is not None:
            raise self.error
        return results

    def _place(self, sequence: int) -> int:
        lease = self._lease
        at = sequence - lease[0].sequence
        if lease[-1].sequence - lease[0].sequence + 1 == len(lease):
            return at
        return bisect_left(lease, sequence, key=_sequence)  # some between were settled before


class Receipts:
    """Those of a lease that went one by one."""

    def __init__(self, receipts: list[Receipt]) -> None:
        self._receipts = receipts

    @property
    def done(self) -> bool:
        return all(receipt.done for receipt in self._receipts)

    def poll(self) -> Iterable[Result]:
        results: list[Result] = []
        for receipt in self._receipts:
            try:
                results += receipt.poll()
            except ExportError:
                if not results:
                    raise
                break  # it says so again when it is asked next
        return results


def _sequence(record: Record) -> int:
    return record.sequence


def sent(record: Record) -> Packed | Record:
    """Return a record as it goes to a sender."""
    return (record.sequence, record.key, record.payload, record.sampled) if record.is_packed else record


def refused(record: Record, reason: str, detail: str) -> Result:
    """Return that a record was refused, with its event as people and dead letters want it."""
    try:
        return record.whole(), Refusal(reason, detail)
    except msgspec.DecodeError:  # that is why it was refused: kept as it is
        return record, Refusal(reason, detail)
