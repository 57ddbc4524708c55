"""Batches of Kafka's taken apart by us and by kafka-python: the same records, positions and errors, whatever they are made of."""

from __future__ import annotations

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError
from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder
from kafka.structs import TopicPartition

from otel_feedback.downstream.topic.unpacking import unpacked
from otel_feedback.exporters.kafka.inside import unpack_by

PLACE = TopicPartition("outcomes", 3)
NONE, GZIP, ZSTD = 0, 1, 4
Reader = Callable[[bytes], Any]
Record = tuple[int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]

TEXTS = st.one_of(st.none(), st.binary(max_size=3), st.binary(min_size=60, max_size=70), st.just(b"x" * 9_000))
# few names of few lengths: headers as long as others, and yet otherwise
HEADERS = st.lists(
    st.tuples(st.sampled_from(["a", "b", "ab", "ä", "", "n" * 70]), st.one_of(st.none(), st.binary(max_size=2))),
    max_size=4,
)
RECORDS = st.lists(st.tuples(st.integers(0, 2**41), TEXTS, TEXTS, HEADERS), min_size=1, max_size=8)


def read_by(unpack: Callable[..., Any] | None, **options: Any) -> Reader:
    """Return what takes bytes apart as a consumer does: kafka-python's own way, or with ours in it."""
    fetcher = SimpleNamespace(PartitionRecords=Fetcher.PartitionRecords, config={**Fetcher.DEFAULT_CONFIG, **options})
    if unpack is not None:
        unpack_by(SimpleNamespace(_fetcher=fetcher), unpack)
    checks: bool = fetcher.config["check_crcs"]
    return lambda data: fetcher.PartitionRecords(0, PLACE, MemoryRecords(data), check_crcs=checks)


THEIRS, OURS = read_by(None), read_by(unpacked)


def batch(records: list[Record], kind: int = NONE, offset: int = 0, magic: int = 2) -> bytes:
    made: Any = MemoryRecordsBuilder(magic, kind, 10**7, offset=offset)
    for timestamp, key, value, headers in records:
        assert made.append(timestamp, key, value, headers if magic == 2 else []) is not None
    made.close()
    return bytes(made.buffer())


def taken(reader: Reader, data: bytes, at_once: int | None = None) -> list[Any]:
    """Return all that is read, with the positions on the way, and how it ends."""
    part: Any = reader(data)
    told: list[Any] = []
    try:
        while part:
            told += [part.take(at_once), part.next_fetch_offset, part.leader_epoch]
    except Exception as exc:
        told.append((type(exc), str(exc)))
    return told


@given(RECORDS, RECORDS, st.sampled_from([NONE, GZIP, ZSTD]), st.sampled_from([None, 1, 3]))
def test_records_are_the_same(first: list[Record], second: list[Record], kind: int, at_once: int | None) -> None:
    data = batch(first, kind) + batch(second, kind, offset=len(first) + 5)
    found = taken(OURS, data, at_once)
    assert found == taken(THEIRS, data, at_once)
    assert not isinstance(found[-1], tuple)


@given(RECORDS, st.randoms(use_true_random=False))
def test_what_is_harmed_is_as_wrong(records: list[Record], lot: random.Random) -> None:
    """Whether a checksum tells it, or, where nobody looks at that, what the bytes say."""
    data = bytearray(batch(records) + batch(records, offset=len(records)))
    for _ in range(lot.choice((1, 1, 3))):
        data[lot.randrange(12, len(data))] ^= 1 << lot.randrange(8)
    for options in ({}, {"check_crcs": False}):
        theirs, ours = read_by(None, **options), read_by(unpacked, **options)
        assert taken(ours, bytes(data)) == taken(theirs, bytes(data))


def test_a_wrong_checksum_is_told() -> None:
    data = bytearray(batch([(0, b"key", b"value", [])]))
    data[-3] ^= 1
    with pytest.raises(CorruptRecordError, match="crc"):
        OURS(bytes(data)).take()


@pytest.mark.parametrize("magic", [0, 1])
def test_older_formats_are_left_to_kafka_python(magic: int) -> None:
    data = batch([(5, b"key", b"one", []), (6, None, b"two", [])], magic=magic)
    assert taken(OURS, data) == taken(THEIRS, data)
    assert [record.value for record in OURS(data).take()] == [b"one", b"two"]


def test_marks_of_transactions_are_no_records() -> None:
    mark = bytearray(batch([(0, b"\0\0\0\1", b"\0\0\0\0\0\0", [])], offset=1))
    mark[22] |= 0x20  # of the attributes
    records: list[Record] = [(0, None, b"one", [("a", b"1"), ("b", b"2")])]
    data = batch(records) + bytes(mark) + batch(records, offset=2)
    unchecked = {"check_crcs": False}
    found = taken(read_by(unpacked, **unchecked), data)
    assert found == taken(read_by(None, **unchecked), data)
    assert [record.offset for record in found[0]] == [0, 2]


@pytest.mark.parametrize(
    "options", [{"isolation_level": "read_committed"}, {"value_deserializer": object()}, {"metrics": object()}]
)
def test_a_consumer_that_wants_more_is_left_alone(options: dict[str, Any]) -> None:
    fetcher = SimpleNamespace(PartitionRecords=Fetcher.PartitionRecords, config={**Fetcher.DEFAULT_CONFIG, **options})
    unpack_by(SimpleNamespace(_fetcher=fetcher), unpacked)
    assert fetcher.PartitionRecords is Fetcher.PartitionRecords


def test_another_inside_is_left_alone() -> None:
    for consumer in (SimpleNamespace(), SimpleNamespace(_fetcher=SimpleNamespace())):
        unpack_by(consumer, unpacked)


def test_each_batch_is_taken_apart_by_us_once() -> None:
    """Or nothing would be saved, and nobody would see it."""
    counts: list[int] = []

    def counting(data: bytes, count: int, *others: Any) -> Any:
        counts.append(count)
        return unpacked(data, count, *others)

    records: list[Record] = [(0, b"k", b"v", [("name", b"%d" % number), ("other", None)]) for number in range(5)]
    part = read_by(counting)(batch(records, ZSTD) + batch(records[:2], ZSTD, offset=5))
    assert len(part.take()) == 7
    assert counts == [5, 2]
