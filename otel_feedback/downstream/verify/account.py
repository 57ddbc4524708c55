"""What became of each producer's events, by the topic and the account: delivered, repeated, lost and why, missing.

    sequences   0 ─────────── base ─────────────────────────── end      by the account, or the newest on the topic
                 before --since │ on the topic │ lost │ pending │        what is left over is missing: nobody declared it

Input: headers of records, audit records. Output: a `Verdict` for each producer. Pure; not thread-safe.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from otel_feedback.events.audit import HighWaterRecord, LossRecord
from otel_feedback.journal.sequences import SequenceSet

__all__ = ["COMPLETE", "LOSSES", "MISSING", "PENDING", "ProducerAccount", "Run", "Verdict"]

COMPLETE, LOSSES, PENDING, MISSING = "complete", "losses", "pending", "missing"
"""All is on the topic; what is not was declared lost; some may still come; some nobody declared."""


class Run(NamedTuple):
    """Sequences without a gap, both ends included."""

    first: int
    last: int

    @property
    def length(self) -> int:
        """How many."""
        return self.last - self.first + 1


class Verdict(NamedTuple):
    """What became of one producer's events.

    `first` is the lowest sequence that was looked for, `end` the one after the highest. `delivered` counts sequences on
    the topic, `records` its records: what is more was repeated. `closed`: the producer said that there will be no more.
    """

    producer_id: str
    service_name: str
    state: str
    first: int
    end: int
    records: int
    delivered: int
    losses: list[LossRecord]
    pending: list[Run]
    missing: list[Run]
    closed: bool
    told: datetime | None  # when the account last said something

    @property
    def repeated(self) -> int:
        """How many records were there before."""
        return self.records - self.delivered


class ProducerAccount:
    """Collects what is known of one producer.

    Args:
        producer_id: 32 hex digits.
        since: Only what was recorded from then on is looked for; None: everything.
    """

    def __init__(self, producer_id: str, since: datetime | None = None) -> None:
        self.producer_id = producer_id
        self._since = since
        self._service_name = ""
        self._records = 0
        self._seen = SequenceSet()
        self._earlier = SequenceSet()
        self._losses: dict[tuple[str, int, int, int], LossRecord] = {}
        self._mark: HighWaterRecord | None = None
        self._base = 0

    @property
    def is_of_interest(self) -> bool:
        """Whether there is anything of it in the time that is looked at."""
        told = self._mark is not None and (self._since is None or self._mark.timestamp >= self._since)
        return bool(self._records) or told

    def see(self, sequence: int, service_name: str) -> None:
        """A record of it is on the topic."""
        self._records += 1
        self._seen.add(sequence, sequence + 1)
        self._service_name = self._service_name or service_name

    def see_earlier(self, sequence: int) -> None:
        """A record of it is on the topic, before what is looked at: it is not missing."""
        self._earlier.add(sequence, sequence + 1)

    def tell(self, told: LossRecord | HighWaterRecord) -> None:
        """Take in a record of the account; they may come twice."""
        self._service_name = told.service_name
        if isinstance(told, LossRecord):
            self._losses[told.reason, told.first_sequence, told.last_sequence, told.count] = told
            return
        if self._since is not None and told.timestamp < self._since:
            self._base = max(self._base, told.end)
        if self._mark is None or (told.timestamp, told.end) >= (self._mark.timestamp, self._mark.end):
            self._mark = told

    def verdict(self) -> Verdict:
        """Return what became of its events."""
        mark = self._mark
        told_end = 0 if mark is None else mark.end
        end = max(told_end, max((end for _, end in self._seen.runs), default=0))
        left = self._unexplained(end)
        # what a mark calls pending are the newest; what came after it has not been told of yet
        may_come = SequenceSet()
        pending = 0 if mark is None else mark.pending
        for first, last in reversed(left):
            begin = first
            if first < told_end:
                begin = max(first, min(last + 1, told_end) - pending)
                pending -= max(0, min(last + 1, told_end) - begin)
            if mark is not None:
                may_come.add(begin, last + 1)
        missing = list(_without([(first, last + 1) for first, last in left], may_come))
        losses = [loss for loss in self._losses.values() if self._since is None or loss.timestamp >= self._since]
        state = MISSING if missing else PENDING if may_come else LOSSES if losses else COMPLETE
        return Verdict(
            self.producer_id, self._service_name, state, self._base, end,
            self._records, self._seen.count(0, end), losses,
            [Run(first, after - 1) for first, after in may_come.runs], missing,
            mark is not None and mark.closed, None if mark is None else mark.timestamp,
        )  # fmt: skip

    def _unexplained(self, end: int) -> list[Run]:
        explained = SequenceSet(self._seen.runs)
        for first, after in self._earlier.runs:
            explained.add(first, after)
        scattered: list[LossRecord] = []
        for loss in self._losses.values():
            if loss.count == loss.last_sequence - loss.first_sequence + 1:
                explained.add(loss.first_sequence, loss.last_sequence + 1)
            else:
                scattered.append(loss)
        for loss in scattered:  # so many of these, it does not say which
            left = loss.count
            for gap in list(_without([(loss.first_sequence, loss.last_sequence + 1)], explained)):
                taken = min(left, gap.length)
                explained.add(gap.first, gap.first + taken)
                left -= taken
        return list(_without([(self._base, end)], explained))


def _without(spans: list[tuple[int, int]], taken: SequenceSet) -> Iterator[Run]:
    """Yield what of `[first, end)` spans is not in the set."""
    runs = taken.runs
    for first, end in spans:
        at, number = first, max(0, bisect_right(runs, (first, first)) - 1)
        for begin, after in islice(runs, number, None):
            if begin >= end:
                break
            if begin > at:
                yield Run(at, begin - 1)
            at = max(at, after)
        if at < end:
            yield Run(at, end - 1)
