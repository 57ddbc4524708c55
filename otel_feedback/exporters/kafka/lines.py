"""How records get into the producer: whole batches where kafka-python's inside is known, else one by one by `send()`.

    lease ──► by partition ──► encoded ──► the open batch of the partition, or a new one ──► portions

Used on the worker's thread only. A record that is too large for a request goes with less text, in its place among the
others; one that cannot go at all is refused. Nothing waits here but for the lock of a queue.
Imports kafka-python, which takes 100 ms: itself imported when the first event is to be sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from kafka.errors import MessageSizeTooLargeError

from otel_feedback.events.record import Record
from otel_feedback.events.trim import smaller_forms
from otel_feedback.exporters.interface import Refusal
from otel_feedback.exporters.kafka.batches import BatchAnswer, BatchPortion, BatchRecords, codec_of
from otel_feedback.exporters.kafka.dates import RecordDates
from otel_feedback.exporters.kafka.headers import record_headers
from otel_feedback.exporters.kafka.inside import Inside
from otel_feedback.exporters.kafka.line import KEYS, Line, OneByOne, PartitionOf, Trimmed
from otel_feedback.exporters.kafka.receipt import Future, FuturePortion, Portion, Result, refusal_of
from otel_feedback.exporters.kafka.values import Values
from otel_feedback.exporters.kafka.wire import BATCH_HEAD_BYTES, encode_record, key_field

__all__ = ["BatchLine", "RecordLine", "line_into"]

_Entry = tuple[Record, bytes, bytes, int]
"""A record, its key as on the wire, its value, and its date in milliseconds since 1970."""


def line_into(
    producer: Any,
    topic: str,
    values: Values,
    partition_of: PartitionOf,
    dates: RecordDates,
    trimmed: Trimmed,
    answered: Callable[[], None],
    keys: int = KEYS,
) -> Line:
    """Return the cheapest way into a producer.

    Args:
        values: Makes the values of this topic.
        answered: Called, on kafka-python's thread, when it is known what became of some records.
        keys: Whose place is remembered.
    """
    inside = Inside.of(producer, topic)
    if inside is None:
        return RecordLine(producer, topic, values, partition_of, dates, trimmed, answered, keys)
    return BatchLine(inside, producer, values, partition_of, dates, trimmed, answered, keys)


class RecordLine(OneByOne):
    """Each record by the producer's public `send()`."""

    last: Future | None

    def __init__(
        self,
        producer: Any,
        topic: str,
        values: Values,
        partition_of: PartitionOf,
        dates: RecordDates,
        trimmed: Trimmed,
        answered: Callable[[], None],
        keys: int,
    ) -> None:
        super().__init__(dates, trimmed)
        self._answered: Callable[[Any], None] = lambda _value: answered()
        self._producer = producer
        self._topic = topic
        self._values = values
        self._partition_of = lru_cache(keys)(partition_of)

    def send(self, lease: Sequence[Record], *, more: bool) -> tuple[list[Portion], list[Result]]:
        portions, refused = super().send(lease, more=more)
        if self.last is not None:  # the others are looked after now and then
            self.last.add_both(self._answered)
        return portions, refused

    def send_as(self, record: Record, payload: bytes, date_ms: int) -> Portion | Refusal:
        try:
            key = record.key.encode()
            value, headers = self._values.encode(payload), record_headers(record, self._values.content_type)
            future: Future = self._producer.send(self._topic, value, key, headers, self._partition_of(key), date_ms)
        except Exception as exc:
            return refusal_of(exc)
        self.last = future
        return FuturePortion(record, future)

    def partition_of(self, record: Record) -> int:
        return self._partition_of(record.key.encode())


class _Open:
    """A batch that may take more records."""

    __slots__ = ("answer", "future", "records")

    def __init__(self, records: BatchRecords, future: Future, answer: BatchAnswer) -> None:
        self.records = records
        self.future = future
        self.answer = answer


class BatchLine:
    """Whole batches, by what is inside the producer.

    Args:
        inside: Of this producer.
        producer: Its options tell how batches are to be.
        values: Makes the values of this topic.
        answered: Called, on kafka-python's thread, when it is known what became of a batch.
    """

    def __init__(
        self,
        inside: Inside,
        producer: Any,
        values: Values,
        partition_of: PartitionOf,
        dates: RecordDates,
        trimmed: Trimmed,
        answered: Callable[[], None],
        keys: int,
    ) -> None:
        config = producer.config
        self.last: Future | None = None
        self._dates = dates
        self._inside = inside
        self._values = values
        self._trimmed = trimmed
        self._answered: Callable[[Any], None] = lambda _value: answered()
        self._cut: list[tuple[Record, bytes]] = []  # by the present lease
        self._open: dict[int, _Open] = {}  # by partition: the batch that was put last
        self._most_bytes: int = config["max_request_size"] - BATCH_HEAD_BYTES
        codec, batch_bytes = codec_of(config["compression_type"]), config["batch_size"]
        self._new_records: Callable[[int], BatchRecords] = lambda ms: BatchRecords(ms, codec, batch_bytes)

        @lru_cache(keys)
        def place(key: str) -> tuple[int, bytes]:
            encoded = key.encode()
            return partition_of(encoded), key_field(encoded)

        self._place = place

    def send(self, lease: Sequence[Record], *, more: bool) -> tuple[list[Portion], list[Result]]:
        portions: list[Portion] = []
        refused: list[Result] = []
        by_partition: dict[int, list[_Entry]] = {}
        limits = self._dates.limits()
        for record in lease:
            try:
                partition, key = self._place(record.key)
                value = self._values.encode(record.payload)
            except Exception as exc:
                refused.append((record, refusal_of(exc)))
                continue
            by_partition.setdefault(partition, []).append((record, key, value, self._dates.date_ms(record, limits)))
        is_news = [
            self._fill(partition, entries, portions, refused, more=more) for partition, entries in by_partition.items()
        ]
        if any(is_news):
            self._inside.wake()
        for record, payload in self._cut:
            self._trimmed(record, payload)
        self._cut.clear()
        return portions, refused

    def send_as(self, record: Record, payload: bytes, date_ms: int) -> Portion | Refusal:
        portions: list[Portion] = []
        refused: list[Result] = []
        partition, key = self._place(record.key)  # it had one when it was sent with the others
        try:
            value = self._values.encode(payload)
        except Exception as exc:
            return refusal_of(exc)
        if self._fill(partition, [(record, key, value, date_ms)], portions, refused, more=False, cuts=False):
            self._inside.wake()
        for _, refusal in refused:
            if refusal is not None:
                return refusal
        return portions[0]

    def partition_of(self, record: Record) -> int:
        return self._place(record.key)[0]

    def _fill(
        self,
        partition: int,
        entries: list[_Entry],
        portions: list[Portion],
        refused: list[Result],
        *,
        more: bool,
        cuts: bool = True,
    ) -> bool:
        """Add records to the batches of a partition; True when kafka-python has to look: one was begun, or may go now."""
        is_begun, kind = False, self._values.content_type
        with self._inside.lock(partition):
            batch = self._open.get(partition)
            if batch is not None and batch.records.is_closed:  # it is on its way
                batch = None
            was_ready = batch is not None and batch.records.is_ready
            first_ms, count = (0, 0) if batch is None else (batch.records.first_ms, batch.records.count)
            taken: list[Record] = []  # those that went into this batch
            for record, key, value, timestamp_ms in entries:
                sent = value
                if batch is None:
                    first_ms = timestamp_ms
                try:
                    encoded = encode_record(record, key, sent, timestamp_ms - first_ms, count, kind)
                    if len(encoded) > self._most_bytes:
                        sent = self._smaller(record, key, len(encoded), cuts=cuts)
                        encoded = encode_record(record, key, sent, timestamp_ms - first_ms, count, kind)
                    if batch is not None and not batch.records.has_room(len(encoded)):
                        encoded = encode_record(record, key, sent, 0, 0, kind)
                        self._finish(batch, taken, portions)
                        batch, first_ms, count, taken = None, timestamp_ms, 0, []
                except Exception as exc:
                    refused.append((record, refusal_of(exc)))
                    continue
                if batch is None:
                    batch, is_begun = self._begin(partition, timestamp_ms), True
                batch.records.add(encoded, timestamp_ms)
                count += 1
                taken.append(record)
            if batch is not None:
                self._finish(batch, taken, portions)
                batch.records.is_ready = was_ready or not more
            return is_begun or (batch is not None and batch.records.is_ready and not was_ready)

    def _begin(self, partition: int, first_ms: int) -> _Open:
        records = self._new_records(first_ms)
        batch = self._open[partition] = _Open(records, *self._inside.put(partition, records))
        batch.future.add_both(self._answered)
        return batch

    def _finish(self, batch: _Open, taken: list[Record], portions: list[Portion]) -> None:
        if taken:
            portions.append(BatchPortion(taken, batch.answer, batch.records.count - len(taken)))
            self.last = batch.future

    def _smaller(self, record: Record, key: bytes, size: int, *, cuts: bool) -> bytes:
        """Return the value of a smaller form of a record that is too large for a request."""
        for payload in smaller_forms(record.payload) if cuts else ():
            value = self._values.encode(payload)
            if len(encode_record(record, key, value, 0, 0, self._values.content_type)) <= self._most_bytes:
                self._cut.append((record, payload))
                return value
        raise MessageSizeTooLargeError(
            f"The message is {size + BATCH_HEAD_BYTES} bytes, and max_request_size is {self._most_bytes + BATCH_HEAD_BYTES}"
        )
