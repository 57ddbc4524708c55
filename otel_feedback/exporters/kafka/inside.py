"""The one place that touches names of kafka-python that are not public: a whole batch goes to its sender at once, and comes
apart at once; and a member of a group that has begun to join it goes on until it has.

kafka-python's public `send()` takes one record. It checks and measures it, asks for the topic's partitions, formats two
log lines that nobody reads, encodes it byte by byte, and makes a future for it: some 45 µs a record. A batch that is
made here and put into its queue costs 6 µs a record, and its answer is one future. Where a name is missing, or the
version is one that was not looked at, `Inside.of()` says None, and records go by `send()`: as right, only dearer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

from kafka.producer.producer_batch import ProducerBatch
from kafka.structs import TopicPartition
from kafka.version import __version__

from otel_feedback.exporters.kafka.batches import MAGIC, BatchAnswer, BatchRecords

__all__ = ["Inside", "join_to_the_end", "unpack_by"]

KNOWN_VERSIONS = ("3.0.",)
"""Beginnings of the versions whose insides are as they are expected here."""

_OF_ACCUMULATOR = ("_batches", "_incomplete", "_tp_lock")
_OF_BATCH = ("_record_futures", "produce_future")


class Inside:
    """The queues of batches inside a producer, and its sender. Made by `Inside.of()`."""

    def __init__(self, accumulator: Any, wake: Callable[[], None], topic: str) -> None:
        self._accumulator = accumulator
        self._topic = topic
        self.wake = wake

    @classmethod
    def of(cls, producer: Any, topic: str) -> Inside | None:
        """Return a producer's inside; None where it is not as expected."""
        if not __version__.startswith(KNOWN_VERSIONS):
            return None
        accumulator: Any = getattr(producer, "_accumulator", None)
        sender: Any = getattr(producer, "_sender", None)
        if not all(hasattr(accumulator, name) for name in _OF_ACCUMULATOR) or not hasattr(sender, "wakeup"):
            return None
        sample = ProducerBatch(TopicPartition(topic, 0), BatchRecords(0, (0, None), 0))
        if not all(hasattr(sample, name) for name in _OF_BATCH):
            return None
        if producer.max_usable_produce_magic(producer.config["api_version"]) != MAGIC:
            return None
        return cls(accumulator, sender.wakeup, topic)

    def lock(self, partition: int) -> threading.Lock:
        """Return the lock of a partition's queue: held while a batch is filled, taken out, and closed."""
        return self._accumulator._tp_lock(TopicPartition(self._topic, partition))

    def put(self, partition: int, records: BatchRecords) -> tuple[Any, BatchAnswer]:
        """Put a batch at the end of a partition's queue, whose lock is held; return its future, and the answer."""
        place = TopicPartition(self._topic, partition)
        batch: Any = ProducerBatch(place, records)
        answer = BatchAnswer(batch.produce_future, records)
        batch._record_futures = answer
        self._accumulator._batches[place].append(batch)
        self._accumulator._incomplete.add(batch)
        return batch.produce_future, answer


def join_to_the_end(consumer: Any) -> None:
    """Have a consumer that has begun to join its group again go on with that until it has joined.

    To be called when partitions are revoked. kafka-python (3.0.12) asks at each poll() whether it has to join. Where the
    reason is that the topic has other partitions than before, the answer is no as soon as the group's leader has dealt them
    out, which it does in the background: a poll() that began the joining and ended before that never hears what came of it.
    Then the member sends no heartbeats and reads nothing, for good. What is asked for here stays until it has joined.
    """
    request = getattr(getattr(consumer, "_coordinator", None), "request_rejoin", None)
    if request is not None:
        request()


def unpack_by(consumer: Any, unpacked: Callable[..., list[Any] | None]) -> None:
    """Have a consumer's batches taken apart by another function than kafka-python's own, where its inside is as expected.

    Args:
        consumer: One without deserializers and metrics; others go on as they are.
        unpacked: Takes what `otel_feedback.downstream.topic.unpacking.unpacked` takes; None: kafka-python is to do it.
    """
    fetcher: Any = getattr(consumer, "_fetcher", None)
    theirs: Any = getattr(fetcher, "PartitionRecords", None)
    if not __version__.startswith(KNOWN_VERSIONS) or not hasattr(theirs, "_unpack_records"):
        return
    config = fetcher.config
    if any(config.get(name) for name in ("key_deserializer", "value_deserializer", "metrics")):
        return
    if config.get("isolation_level") != "read_uncommitted":
        return
    from kafka.consumer.fetcher import ConsumerRecord

    make = ConsumerRecord._make

    class Records(theirs):
        def _unpack_records(self, tp: Any, records: Any, *deserializers: None) -> Iterator[Any]:
            last: Any = None
            while (batch := records.next_batch()) is not None:
                packed = batch._buffer
                found = None
                if (
                    batch.magic == MAGIC
                    and not batch.is_control_batch
                    and (not self.check_crcs or batch.validate_crc())
                ):
                    batch._maybe_uncompress()
                    stamp_ms = batch.max_timestamp if batch.timestamp_type else None
                    found = unpacked(
                        bytes(memoryview(batch._buffer)[batch._pos :]), batch.records_count,
                        (tp.topic, tp.partition, batch.leader_epoch), batch.base_offset, batch.first_timestamp,
                        (stamp_ms, batch.timestamp_type), make,
                    )  # fmt: skip
                if found is None:
                    anew = batch if batch.magic != MAGIC else type(batch)(packed)
                    yield from super()._unpack_records(tp, _Rest(anew, records), *deserializers)
                    return
                self.leader_epoch = batch.leader_epoch
                for record in found:
                    self.next_fetch_offset = record.offset + 1
                    yield record
                last = batch
            if last is not None:  # compaction may have taken the last records of a batch
                self.next_fetch_offset = last.next_offset
            self.drain()

    fetcher.PartitionRecords = Records


class _Rest:
    """Batches of which the first was looked at already."""

    def __init__(self, first: Any, others: Any) -> None:
        self._first = first
        self._others = others

    def next_batch(self) -> Any:
        """Return the next one; None at the end."""
        first, self._first = self._first, None
        return self._others.next_batch() if first is None else first
