"""A way into a client's producer, whichever client that is. Imports none of them, which is slow.

    lease ──► headers, value, date ──► handed over one by one, or as whole batches ──► portions

Used on the worker's thread only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Hashable, Sequence
from typing import Any, Protocol

from otel_feedback.events.record import Record
from otel_feedback.events.trim import smaller_forms
from otel_feedback.exporters.interface import Refusal
from otel_feedback.exporters.kafka.dates import RecordDates
from otel_feedback.exporters.kafka.destination import ClusterSeen
from otel_feedback.exporters.kafka.receipt import TOO_LARGE, Future, Portion, Result

__all__ = ["KEYS", "Connection", "Line", "OneByOne", "PartitionOf", "Producer", "Trimmed"]

PartitionOf = Callable[[bytes], int]
Trimmed = Callable[[Record, bytes], None]
"""Told of a record that goes with less text, and the payload that it goes with."""

KEYS = 16_384
"""Keys whose place is remembered, of one topic: a run has many events and one key."""


class Producer(Protocol):
    """What is asked of a client's producer beside sending."""

    def partitions_for(self, topic: str) -> Collection[int]:
        """Return the partitions of a topic; raises the client's error where it is not known, and cannot be found out."""
        ...

    def cluster_seen(self) -> ClusterSeen:
        """Return what the cluster says of itself, as far as it has said so yet."""
        ...


class Connection(Protocol):
    """The producer of one thread, if there is one. `last` is the future of what it was given last."""

    last: Future | None

    def producer(self) -> Any:
        """Return the producer, a `Producer`; build it if there is none.

        Raises:
            ExportError: No broker answered, or none took us; retryable.
        """
        ...

    def trouble(self, since_s: float) -> str | None:
        """Return what stands in the way, or has since then, by the monotonic clock. Safe from any thread."""
        ...

    def wait_longer(self) -> None:
        """Give the next producer more time."""
        ...

    def abandon(self) -> None:
        """Drop the producer with all that is in flight; what it has not sent by now, it does not send later."""
        ...

    def close(self, timeout_s: float) -> None:
        """Close the producer, if there is one."""
        ...

    def after_fork(self) -> None:
        """In a forked child: forget the parent's producer without closing it."""
        ...


class Line(Protocol):
    """A way into the producer. `last` is the future of what was handed over last."""

    last: Future | None

    def send(self, lease: Sequence[Record], *, more: bool) -> tuple[list[Portion], list[Result]]:
        """Hand records to the producer; return what follows them, and those that cannot go, with why.

        Args:
            more: Another lease follows soon, so these may wait for it.
        """
        ...

    def send_as(self, record: Record, payload: bytes, date_ms: int) -> Portion | Refusal:
        """Hand one record over, with another payload, or dated otherwise."""
        ...

    def partition_of(self, record: Record) -> Hashable:
        """Return the partition that a record goes to; ValueError where its key is no text."""
        ...


class OneByOne(ABC):
    """Each record by itself, with less text where it is too large."""

    def __init__(self, dates: RecordDates, trimmed: Trimmed) -> None:
        self.last: Future | None = None
        self._dates = dates
        self._trimmed = trimmed

    def send(self, lease: Sequence[Record], *, more: bool) -> tuple[list[Portion], list[Result]]:
        portions: list[Portion] = []
        refused: list[Result] = []
        limits = self._dates.limits()
        for record in lease:
            date_ms = self._dates.date_ms(record, limits)
            taken = self.send_as(record, record.payload, date_ms)
            if isinstance(taken, Refusal) and taken.reason == TOO_LARGE:
                taken = self._send_smaller(record, date_ms, taken)
            if isinstance(taken, Refusal):
                refused.append((record, taken))
            else:
                portions.append(taken)
        return portions, refused

    @abstractmethod
    def send_as(self, record: Record, payload: bytes, date_ms: int) -> Portion | Refusal:
        """Hand one record over, with another payload, or dated otherwise."""

    def _send_smaller(self, record: Record, date_ms: int, refusal: Refusal) -> Portion | Refusal:
        for payload in smaller_forms(record.payload):
            taken = self.send_as(record, payload, date_ms)
            if not isinstance(taken, Refusal):
                self._trimmed(record, payload)
                return taken
        return refusal
