"""Records into librdkafka, one by one; what became of each is told when it is asked. Used on the worker's thread only."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from confluent_kafka import KafkaException

from otel_feedback.errors import ExportError
from otel_feedback.events.record import Record
from otel_feedback.exporters.interface import Refusal
from otel_feedback.exporters.kafka.confluent.errors import error_of, follows_from_another
from otel_feedback.exporters.kafka.confluent.first import FirstAlone
from otel_feedback.exporters.kafka.confluent.producer import ConfluentProducer
from otel_feedback.exporters.kafka.dates import RecordDates
from otel_feedback.exporters.kafka.headers import record_headers
from otel_feedback.exporters.kafka.line import OneByOne, Trimmed
from otel_feedback.exporters.kafka.producer import partitioner
from otel_feedback.exporters.kafka.receipt import TIMEOUT, Portion, Result, is_refusal, refusal_of
from otel_feedback.exporters.kafka.values import Values

__all__ = ["ConfluentLine", "Delivery"]

_ANY = -1
"""librdkafka chooses the partition by the key, as we would, which takes us 8 microseconds."""

FULL_S = 30.0
"""How long to wait for room in its queue, which holds 2 GB."""


class Delivery:
    """One record, and what librdkafka says of it, by calling this."""

    __slots__ = ("_error", "_producer", "is_done", "records")

    def __init__(self, record: Record, producer: ConfluentProducer) -> None:
        self.records: Sequence[Record] = (record,)
        self.is_done = False
        self._producer = producer
        self._error: Any = None

    @property
    def error(self) -> Exception | None:
        """Why it failed, as far as is known by now: of what follows from another error, that may come later."""
        return None if self._error is None else self._producer.explain(self._error)

    def __call__(self, error: Any, _message: object) -> None:
        """Take what became of it: librdkafka's `on_delivery`."""
        if error is not None:
            self._error = error
            self._producer.explain(error)
        self.is_done = True

    def failures(self) -> Sequence[Exception | None] | None:
        error = self.error
        return None if error is None else (error,)


class ConfluentLine(OneByOne):
    """Into one topic.

    Args:
        partitions: Which it has.
        values: Makes the values of this topic.
        keys: Whose place is remembered.
    """

    def __init__(
        self,
        producer: ConfluentProducer,
        topic: str,
        partitions: Sequence[int],
        values: Values,
        dates: RecordDates,
        trimmed: Trimmed,
        keys: int,
    ) -> None:
        super().__init__(dates, trimmed)
        self._producer = producer
        self._topic = topic
        self._partitions, self._partition_of = len(partitions), partitioner(partitions)  # librdkafka's, too
        self._values = values
        self._first = FirstAlone(self._count, self.partition_of, self._hand_over, keys)

    def send(self, lease: Sequence[Record], *, more: bool) -> tuple[list[Portion], list[Result]]:
        return self._first.send(lease)

    def _hand_over(self, records: Sequence[Record]) -> tuple[list[Portion], list[Result]]:
        return super().send(records, more=False)  # librdkafka sees by itself whether there are more

    def send_as(self, record: Record, payload: bytes, date_ms: int) -> Portion | Refusal:
        delivery = Delivery(record, self._producer)
        try:
            value, headers = self._values.encode(payload), record_headers(record, self._values.content_type)
            key = record.key.encode()
            # it sends an empty key anywhere, as one that is none
            partition = _ANY if key else self._partition_of(key)
        except Exception as exc:
            return refusal_of(exc)
        until_s: float | None = None
        while True:
            try:
                self._producer.produce(self._topic, value, key, partition, delivery, None, date_ms, headers)
                return delivery
            except BufferError as exc:
                until_s = until_s or time.monotonic() + FULL_S
                if time.monotonic() >= until_s:
                    raise ExportError(TIMEOUT, "librdkafka's queue stays full", retryable=True) from exc
                self._producer.ask(0.1)
            except KafkaException as exc:
                error = error_of(exc)
                if follows_from_another(error):
                    self._producer.find_cause()
                delivery(error, None)
                failure = delivery.error
                # of all else, who looks at the receipt decides
                return delivery if failure is None or not is_refusal(failure) else refusal_of(failure)

    def _count(self) -> int:
        count = self._producer.count_of(self._topic)
        if count != self._partitions:
            self._partitions, self._partition_of = count, partitioner(range(count))
        return count

    def partition_of(self, record: Record) -> int:
        return self._partition_of(record.key.encode())
