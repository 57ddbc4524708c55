"""A batch that is made here, as kafka-python's sender wants it: the records in it, and what became of each.

    add() ──► records ──► close(): compressed, with the producer's id and sequence ──► the wire     kafka-python's thread
                 │
              portions: the records of one lease in this batch ──► delivered, or failed             the worker's thread

kafka-python asks for the answer record by record, with a future for each; here a batch has one. Only when kafka-python
splits a batch that the broker found too large, there is one for each record. Records are added, and the batch is
closed, with the partition's lock held.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from kafka.codec import lz4_encode, snappy_encode, zstd_encode
from kafka.record.util import calc_crc32c

from otel_feedback.events.record import Record
from otel_feedback.exporters.kafka.wire import BATCH_HEAD_BYTES

__all__ = ["BatchAnswer", "BatchPortion", "BatchRecords", "codec_of"]

Compress = Callable[[bytes], bytes]

MAGIC = 2
_OUTER = struct.Struct(">qiibI")  # base offset, length, leader epoch, magic, checksum
_INNER = struct.Struct(">hiqqqhii")  # attributes … count of records: with the records, what the checksum is of
_LENGTH_AFTER = 9
"""What the length counts of the outer part."""


def _gzip(data: bytes) -> bytes:
    # level 6, as Kafka's own producer; kafka-python's 9 takes twice the time for 2 % less
    compressor = zlib.compressobj(6, zlib.DEFLATED, 31)
    return compressor.compress(data) + compressor.flush()


_CODECS: dict[str | None, tuple[int, Compress | None]] = {
    None: (0, None),
    "gzip": (1, _gzip),
    "snappy": (2, snappy_encode),
    "lz4": (3, lz4_encode),
    "zstd": (4, zstd_encode),
}


def codec_of(compression: str | None) -> tuple[int, Compress | None]:
    """Return the number of a codec in Kafka's format, and what compresses."""
    return _CODECS[compression]


class BatchRecords:
    """The records of one batch, in place of kafka-python's `MemoryRecordsBuilder`.

    Args:
        first_ms: The time of the first record, in milliseconds since 1970.
        codec: From `codec_of()`.
        most_bytes: Beyond which the batch is full.
    """

    def __init__(self, first_ms: int, codec: tuple[int, Compress | None], most_bytes: int) -> None:
        self.first_ms = self._max_ms = first_ms
        self.count = 0
        self.is_closed = False
        self.is_ready = False  # nothing more is to be expected soon: it goes as it is
        self.producer_id = self.producer_epoch = self.base_sequence = -1
        self._codec, self._compress = codec
        self._most_bytes = most_bytes
        self._encoded: list[bytes] = []
        self._size = BATCH_HEAD_BYTES
        self._buffer = b""

    def has_room(self, size: int) -> bool:
        """Tell whether so many more bytes fit in; the first record always does."""
        return self._size + size <= self._most_bytes or not self.count

    def add(self, encoded: bytes, timestamp_ms: int) -> None:
        """Add a record, whose deltas are to `first_ms` and of `count`."""
        self._encoded.append(encoded)
        self._size += len(encoded)
        self.count += 1
        self._max_ms = max(self._max_ms, timestamp_ms)

    # -- what kafka-python's accumulator and sender ask for ------------------------------------------------

    def append(self, timestamp: Any, key: Any, value: Any, headers: Any = None) -> None:
        """Take nothing that kafka-python encodes: it begins a batch of its own."""

    def next_offset(self) -> int:
        return self.count

    def size_in_bytes(self) -> int:
        return len(self._buffer) if self.is_closed else self._size

    def is_full(self) -> bool:
        return self.is_ready or self.is_closed or self._size >= self._most_bytes

    def set_producer_state(
        self, producer_id: int, producer_epoch: int, base_sequence: int, is_transactional: bool
    ) -> None:
        self.producer_id, self.producer_epoch, self.base_sequence = producer_id, producer_epoch, base_sequence

    def close(self) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        data, codec = b"".join(self._encoded), self._codec
        self._encoded = []
        if self._compress is not None:
            compressed = self._compress(data)
            if len(compressed) < len(data):
                data = compressed
            else:
                codec = 0
        inner = _INNER.pack(
            codec, self.count - 1, self.first_ms, self._max_ms,
            self.producer_id, self.producer_epoch, self.base_sequence, self.count,
        ) + data  # fmt: skip
        self._buffer = _OUTER.pack(0, _LENGTH_AFTER + len(inner), 0, MAGIC, calc_crc32c(inner)) + inner

    def buffer(self) -> bytes:
        return self._buffer


class BatchAnswer:
    """What became of a batch. kafka-python takes it for the futures of the records, which it needs for a split only.

    Args:
        future: Of the batch; its value is the offset, the time, and what tells the error of a record, if any.
    """

    __slots__ = ("_future", "_records", "_split")

    def __init__(self, future: Any, records: BatchRecords) -> None:
        self._future = future
        self._records = records
        self._split: dict[int, _RecordFuture] = {}

    def __len__(self) -> int:
        return self._records.count

    def __getitem__(self, index: int) -> _RecordFuture:
        """Return the future of a record: asked for when the batch is split, in order."""
        return self._split.setdefault(index, _RecordFuture())

    def is_done(self, first: int, count: int) -> bool:
        """Tell whether it is known what became of some records."""
        if not self._split:
            return self._future.is_done
        split = self._split
        return all(index in split and split[index].is_done for index in range(first, first + count))

    def failures(self, first: int, count: int) -> Sequence[Exception | None] | None:
        """Return the error of each record, None for one that was taken; None when all were."""
        if not self._split:
            error = _error(self._future, first)
            return None if error is None else [error] * count
        return [self._split[index].error for index in range(first, first + count)]


class _RecordFuture:
    """The future of a record whose batch was split; kafka-python says which batch it is in now."""

    __slots__ = ("_future", "_index")

    def __init__(self) -> None:
        self._future: Any = None
        self._index = 0

    def rebind(self, new_produce_future: Any, new_batch_index: int) -> None:
        self._index = new_batch_index
        self._future = new_produce_future

    @property
    def is_done(self) -> bool:
        return self._future is not None and self._future.is_done

    @property
    def error(self) -> Exception | None:
        return _error(self._future, self._index)


def _error(future: Any, index: int) -> Exception | None:
    if future.exception is not None:
        return future.exception
    error_of: Callable[[int], Exception] | None = future.value[2]
    return None if error_of is None else error_of(index)


class BatchPortion:
    """Some records of one lease that follow each other in a batch."""

    __slots__ = ("_answer", "_first", "records")

    def __init__(self, records: list[Record], answer: BatchAnswer, first: int) -> None:
        self.records = records
        self._answer = answer
        self._first = first

    @property
    def is_done(self) -> bool:
        return self._answer.is_done(self._first, len(self.records))

    def failures(self) -> Sequence[Exception | None] | None:
        """Return the error of each record, None for one that was taken; None when all were."""
        return self._answer.failures(self._first, len(self.records))
