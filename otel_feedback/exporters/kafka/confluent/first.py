"""The first record into a partition goes alone: what comes behind it is handed over when the broker has taken that one.

    lease ──► by partition ──┬── something of it was taken: handed over
                             ├── nothing yet: its first record is handed over
                             └── the first one is on its way: held

A broker takes any batch of a producer of which it knows nothing in a partition, and else the one that is next alone. librdkafka
has the next request ready while one is in flight, where that has less than five records, and when that is refused, its own
threads race to send it or to throw it away. So what follows a first batch that is refused could be taken as the first one.
Partitions that are added while a producer works change where keys lead: then all begins anew, also with what is held.
Used on the worker's thread only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from otel_feedback.events.record import Record
from otel_feedback.exporters.kafka.held import Held
from otel_feedback.exporters.kafka.receipt import Portion, Result

__all__ = ["FirstAlone"]

KNOWN_S = 600.0
"""How long it is relied on that a broker knows the producer in a partition, in seconds. It forgets one that is idle for a day."""

HandOver = Callable[[Sequence[Record]], tuple[list[Portion], list[Result]]]
"""Hands records to the producer; returns what follows them, and those that cannot go, with why."""


class FirstAlone:
    """The partitions of one topic, as one producer has sent into them.

    Args:
        count: Returns how many there are by now.
        partition_of: Returns the partition of a record; raises ValueError where its key is no text.
        keys: Of how many keys it is remembered that they lead to a partition that is known.
    """

    def __init__(
        self, count: Callable[[], int], partition_of: Callable[[Record], int], hand_over: HandOver, keys: int
    ) -> None:
        self._count_now = count
        self._count = count()
        self._partition_of = partition_of
        self._hand_over = hand_over
        self._most_keys = keys
        self._known: set[int] = set()
        self._known_keys: set[str] = set()  # lest a hash be made of each record's
        self._since_s = time.time()  # by the clock that goes on while a machine sleeps
        self._first: dict[int, Portion] = {}
        self._held: dict[int, list[Held]] = {}

    def send(self, lease: Sequence[Record]) -> tuple[list[Portion], list[Result]]:
        """Hand over what may go, and hold the rest."""
        self._tend()
        if not 0 <= time.time() - self._since_s < KNOWN_S:
            self._know_nothing()
        if len(self._known) == self._count:
            return self._hand_over(lease)
        return self._sort(lease)

    def _know_nothing(self) -> None:
        self._since_s = time.time()
        self._known.clear()
        self._known_keys.clear()

    def _sort(self, lease: Sequence[Record]) -> tuple[list[Portion], list[Result]]:
        ready: list[Record] = []
        behind: dict[int, list[Record]] = {}
        portions: list[Portion] = []
        refused: list[Result] = []
        for record in lease:
            partition = self._unknown(record)
            if partition is None:
                ready.append(record)
            elif partition in self._first:
                behind.setdefault(partition, []).append(record)
            else:
                sent, not_sent = self._hand_over([record])
                refused += not_sent
                if sent:
                    self._first[partition] = sent[0]
                    portions += sent
        sent, not_sent = self._hand_over(ready)
        for partition, records in behind.items():
            held = Held(records, self._tend)
            self._held.setdefault(partition, []).append(held)
            portions.append(held)
        return portions + sent, refused + not_sent

    def _unknown(self, record: Record) -> int | None:
        """Return the partition of a record, if nothing is known to have been taken there."""
        if record.key in self._known_keys:
            return None
        try:
            partition = self._partition_of(record)
        except ValueError:  # it is refused anyhow
            return None
        if partition not in self._known:
            return partition
        if len(self._known_keys) >= self._most_keys:
            self._known_keys.clear()
        self._known_keys.add(record.key)
        return None

    def _tend(self) -> None:
        """Hand over what is held behind a record that was taken."""
        count = self._count_now()
        if count != self._count:
            self._count = count
            self._know_nothing()
            waiting, self._held = self._held, {}
            for held in (each for portions in waiting.values() for each in portions):
                held.sent(*self._sort(held.records))
        for partition, first in list(self._first.items()):
            if first.is_done and first.failures() is None:
                del self._first[partition]
                self._known.add(partition)
                for held in self._held.pop(partition, ()):
                    held.sent(*self._hand_over(held.records))
