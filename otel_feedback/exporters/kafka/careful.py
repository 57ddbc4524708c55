"""Sends a lease bit by bit, after records that were in flight have failed, until it is known which ones cannot go at all.

    a portion, alone on the wire ──► acknowledged: the next one, twice as large
         │ failed
         ├─ several records: a quarter of them, and so on
         └─ one record ─┬─ refused: for its size, with less text; for its date, dated otherwise; else it is lost
                        └─ whatever else: is it the record, or Kafka?
                              another record of its partition goes, and this one fails again: it is lost
                              none goes: it waits, with those behind it in its partition, and all others go;
                              after `HOLD_S` the worker goes back to it

kafka-python fails all batches with the error of the one that the broker refused, and what a record can provoke has many
names: so what an error says is believed only of a record that was sent alone. Used on the worker's thread only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from otel_feedback.errors import ExportError
from otel_feedback.events.record import Record
from otel_feedback.events.trim import smaller_forms
from otel_feedback.exporters.interface import Receipt, Refusal, Settled
from otel_feedback.exporters.kafka.connection import POLL_S
from otel_feedback.exporters.kafka.dates import NO_DATE_MS, RecordDates, is_about_date
from otel_feedback.exporters.kafka.receipt import (
    TOO_LARGE,
    KafkaReceipt,
    PartReceipt,
    Portion,
    RefusedError,
    Result,
    concerns_all,
    is_refusal,
    refusal_of,
    unavailable,
)

if TYPE_CHECKING:
    from typing_extensions import Never

__all__ = ["CarefulSender", "Wire"]

FAILS_ALONE = "fails_alone"
"""The reason of a record that fails, in whatever way, while others of its partition go."""

TRIES = 3
"""How often a record fails alone, with another one acknowledged in between, before it is given up."""

PAUSE_S = 0.3
"""How long to wait before a record is tried again: as long after the first time, twice as long after the second."""

MOST_WITNESSES = 6
"""How many other records of a partition are tried, when one has failed, before the partition is left alone."""

HOLD_S = 5.0
"""How long others go on before a partition that takes nothing is tried again."""


class Wire(Protocol):
    """What sends."""

    def send(self, records: Sequence[Record]) -> tuple[list[Portion], list[Result]]:
        """Hand records to the producer; return what follows them, and those that cannot go, with why."""
        ...

    def send_as(self, record: Record, payload: bytes, date_ms: int) -> Portion | Refusal:
        """Hand one record over, with another payload, or dated otherwise."""
        ...

    def partition_of(self, record: Record) -> Hashable:
        """Return the partition that a record goes to; ValueError where its key is no text."""
        ...

    def drop(self) -> None:
        """Give up the producer with all that is in flight."""
        ...

    def ask(self) -> bool:
        """Have the client say what it knows of what is in flight."""
        ...

    def learn(self, failure: Exception, record: Record) -> bool:
        """Take over the limits that a refusal is about; True when that may be all that was wrong."""
        ...


class CarefulSender:
    """Sends leases and waits for the answers.

    Args:
        dates: Learns from refusals.
        give_up_s: How long a portion may stay unacknowledged, in seconds.
        trimmed: Told of a record that went with less text, and the payload that it went with.
    """

    def __init__(
        self, wire: Wire, dates: RecordDates, give_up_s: float, trimmed: Callable[[Record, bytes], None]
    ) -> None:
        self._wire = wire
        self._dates = dates
        self._give_up_s = give_up_s
        self._trimmed = trimmed
        self._acknowledged: dict[Hashable, Record] = {}  # by partition: one that went
        self._held: dict[Hashable, Exception] = {}  # partitions that wait, and why
        self._held_until = 0.0  # monotonic

    @property
    def is_holding(self) -> bool:
        """True while a partition waits: until then nothing of it may be sent, nor by others."""
        return bool(self._held)

    def release(self) -> None:
        """Hold nothing any more: all goes again, from the lowest record that is not settled."""
        self._held.clear()

    def export(self, lease: Sequence[Record]) -> Receipt:
        """Send a lease; the receipt has the answers already, but for what is held."""
        results: list[Result] = []
        rest = [record for record in lease if self._partition(record) not in self._held] if self._held else list(lease)
        has_held = len(rest) < len(lease)
        size = max(1, len(rest) // 4)
        try:
            while rest:
                portion, rest = rest[:size], rest[size:]
                failure, failed = self._try(portion, results)
                if failure is None:
                    size = min(size * 2, len(lease))
                elif len(failed) > 1:
                    rest = [*failed, *rest]
                    size = max(1, len(failed) // 4)
                elif is_refusal(failure):
                    results.append((failed[0], self._send_otherwise(failed[0], failure)))
                elif not self._tell_apart(failed[0], failure, rest, results):
                    self._hold(failed[0], failure)
                    has_held = True
                    rest = [record for record in rest if self._partition(record) not in self._held]
        except ExportError as exc:
            return PartReceipt(results, exc)
        if has_held:
            return PartReceipt(results, unavailable(next(iter(self._held.values()))), self._held_until)
        return Settled(results)

    def _hold(self, record: Record, failure: Exception) -> None:
        if not self._held:
            self._held_until = time.monotonic() + HOLD_S
        self._held[self._partition(record)] = failure

    def _tell_apart(self, record: Record, failure: Exception, rest: list[Record], results: list[Result]) -> bool:
        """Settle a record that failed alone; False when it may be Kafka that fails, and the record has to wait."""
        for attempt in range(1, TRIES):
            if not self._another_goes(record, rest, results):
                return False
            time.sleep(PAUSE_S * attempt)
            again, _ = self._try([record], results)
            if again is None:
                return True
            failure = again
        detail = f"it fails, and others of its partition do not: {unavailable(failure).detail}"
        results.append((record, Refusal(FAILS_ALONE, detail)))
        return True

    def _another_goes(self, record: Record, rest: list[Record], results: list[Result]) -> bool:
        """Tell whether another record of the same partition is acknowledged; one out of `rest` is settled then."""
        partition = self._partition(record)
        known = self._acknowledged.get(partition)
        if known is not None and self._partition(known) == partition:
            return self._goes(known, [])  # once more: a repeat overtakes nobody
        behind = [other for other in rest if self._partition(other) == partition]
        for other in islice(_witnesses(record, behind), MOST_WITNESSES):
            settled = len(results)
            goes = self._goes(other, results)
            if len(results) > settled:
                rest.remove(other)
            if goes:
                return True
        return False

    def _goes(self, record: Record, results: list[Result]) -> bool:
        """Send one record; tell whether it was acknowledged."""
        return self._try([record], results)[0] is None and results[-1][1] is None

    def _try(self, portion: Sequence[Record], results: list[Result]) -> tuple[Exception | None, list[Record]]:
        """Send a portion and wait; return the error, if any, and the records that are not settled."""
        receipt = self._receipt(*self._wire.send(portion))
        settled: list[Result] = []
        try:
            failure = self._await(receipt, settled)
        finally:
            results += settled
        self._acknowledged.update({self._partition(record): record for record, refusal in settled if refusal is None})
        if failure is None:
            return None, []
        self._wire.drop()  # the producer refuses everything after a refusal
        self._wire.learn(failure, portion[0])
        return failure, receipt.unsettled

    def _send_otherwise(self, record: Record, failure: Exception) -> Refusal | None:
        """Send a record that was refused alone with ever less text, or dated otherwise, if that is the reason."""
        refusal, is_date = refusal_of(failure), is_about_date(failure)
        date_ms = self._dates.date_ms(record, self._dates.limits())
        payload: bytes | None = record.payload
        payloads, dates = smaller_forms(payload), iter((date_ms, NO_DATE_MS))
        while True:
            if is_date:
                date_ms = next(dates, None)
            elif refusal.reason == TOO_LARGE:
                payload = next(payloads, None)
            else:
                return refusal
            if payload is None or date_ms is None:
                return refusal
            taken = self._wire.send_as(record, payload, date_ms)
            if isinstance(taken, Refusal):
                refusal, is_date = taken, False
                continue
            again = self._await(self._receipt([taken], []), [])
            if again is None:
                if len(payload) < len(record.payload):
                    self._trimmed(record, payload)
                return None
            self._wire.drop()
            self._wire.learn(again, record)
            refusal, is_date = refusal_of(again), is_about_date(again)

    def _receipt(self, sent: list[Portion], refused: list[Result]) -> KafkaReceipt:
        return KafkaReceipt(sent, refused, _judge, time.monotonic() + self._give_up_s, ask=self._wire.ask)

    @staticmethod
    def _await(receipt: KafkaReceipt, results: list[Result]) -> Exception | None:
        """Collect what becomes known; return the error that some of the records may have caused, if any."""
        try:
            while not receipt.done:
                settled = list(receipt.poll())
                results.extend(settled)
                if not settled:
                    time.sleep(POLL_S)
        except RefusedError as exc:
            return exc.cause
        return None

    def _partition(self, record: Record) -> Hashable:
        try:
            return self._wire.partition_of(record)
        except ValueError:  # it is refused anyhow
            return -1


def _judge(exc: Exception, _record: Record) -> Never:
    if concerns_all(exc):
        raise unavailable(exc) from exc
    raise RefusedError(exc) from exc


def _witnesses(record: Record, behind: Sequence[Record]) -> Iterator[Record]:
    """Yield records to try in place of one that failed: first those that overtake none of their own run."""
    others: dict[str, Record] = {}
    for other in behind:
        if other.key != record.key:
            others.setdefault(other.key, other)
    yield from islice(others.values(), MOST_WITNESSES // 2)
    same = [other for other in behind if other.key == record.key]
    step = 1
    while step <= len(same):  # several that follow each other may fail: further away at each step
        yield same[step - 1]
        step *= 2
    if same:
        yield same[-1]
