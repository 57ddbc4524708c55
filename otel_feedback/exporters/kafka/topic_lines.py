"""A way into the producer for each topic, where tenants have topics of their own.

    lease ──► by topic ──┬── open: the topic's own line ──► portions
                         ├── not known yet, or shut for a moment: held, a portion that is answered later
                         └── shut: refused

A record that is held holds up nothing but its topic, whose order is kept: what is held goes before what comes after it.
Used on the worker's thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from otel_feedback.errors import ExportError
from otel_feedback.events.record import Record
from otel_feedback.exporters.interface import Refusal
from otel_feedback.exporters.kafka.held import Held
from otel_feedback.exporters.kafka.line import Line, Producer
from otel_feedback.exporters.kafka.receipt import Future, Portion, Result, unavailable
from otel_feedback.exporters.kafka.tenants import MISSING, TenantTopics

__all__ = ["TopicLines"]

LineTo = Callable[[str, Sequence[int]], Line]


class _Way(NamedTuple):
    partitions: int
    line: Line


class TopicLines:
    """The lines into one producer.

    Args:
        topics: Knows how they are; longer than there is this producer.
        line_to: Makes the way to a topic that has these partitions.
    """

    def __init__(self, producer: Producer, topics: TenantTopics, line_to: LineTo) -> None:
        self.last: Future | None = None
        self._producer = producer
        self._topics = topics
        self._line_to = line_to
        self._ways: dict[str, _Way] = {}
        self._held: dict[str, list[Held]] = {}

    def send(self, lease: Sequence[Record], *, more: bool) -> tuple[list[Portion], list[Result]]:
        self._tend({self._topics.name_of(record) for record in lease})
        by_topic: dict[str, list[Record]] = {}
        for record in lease:
            by_topic.setdefault(self._topics.name_of(record), []).append(record)
        portions: list[Portion] = []
        refused: list[Result] = []
        for name, records in by_topic.items():
            handed = self._hand_over(name, records, more=more)
            if handed is None:
                held = Held(records, self._tend)
                self._held.setdefault(name, []).append(held)
                portions.append(held)
            else:
                portions += handed[0]
                refused += handed[1]
        return portions, refused

    def send_as(self, record: Record, payload: bytes, date_ms: int) -> Portion | Refusal:
        name = self._topics.name_of(record)
        self._tend({name})
        state = self._topics.state(name)
        if isinstance(state, Refusal):
            return state
        way = self._way_to(name) if state else None
        if way is None:
            raise ExportError("unavailable", f"it is not known yet how topic {name} is", retryable=True)
        try:
            return way.line.send_as(record, payload, date_ms)
        finally:
            self.last = way.line.last

    def partition_of(self, record: Record) -> object:
        name = self._topics.name_of(record)
        way = self._ways.get(name)
        return name, None if way is None else way.line.partition_of(record)

    def _tend(self, names: set[str] | frozenset[str] = frozenset()) -> None:
        """Look at topics where it is time to, and hand over what waits for those that are known by now."""
        self._topics.look(names.union(self._held))
        for name in list(self._held):
            place = self._topics.place_of(name)
            kept: list[Held] = []
            for held in self._held.pop(name):
                handed = None if kept else self._hand_over(place, held.records, more=False)
                if handed is None:
                    kept.append(held)
                else:
                    held.sent(*handed)
            if kept:
                self._held.setdefault(place, []).extend(kept)

    def _hand_over(
        self, name: str, records: Sequence[Record], *, more: bool
    ) -> tuple[list[Portion], list[Result]] | None:
        """Hand records to the producer, or refuse them; None where they have to wait."""
        state = self._topics.state(name)
        if isinstance(state, Refusal):
            return [], [(record, state) for record in records]
        way = self._way_to(name) if state and name not in self._held else None
        if way is None:
            return None
        if name == self._topics.shared:
            for record in records:
                self._topics.count_redirected(record)
        try:
            return way.line.send(records, more=more)
        finally:
            self.last = way.line.last

    def _way_to(self, name: str) -> _Way | None:
        """Return the way to a topic that is open; None where that cannot be said of it after all."""
        try:
            # asking each time is cheap (metadata is cached) and notices added partitions
            partitions = self._producer.partitions_for(name)
        except Exception as exc:
            failure = unavailable(exc, why=f"topic {name}")
            self._topics.shut(name, Refusal(MISSING, f"topic {name} cannot be used: {failure.detail}"))
            if name in self._ways:  # what is on its way to it would stay there, and others with it
                raise failure from exc
            return None
        way = self._ways.get(name)
        if way is None or way.partitions != len(partitions):
            way = self._ways[name] = _Way(len(partitions), self._line_to(name, sorted(partitions)))
        return way
