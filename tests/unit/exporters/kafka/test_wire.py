"""Batches that are made here, read back by kafka-python: each record as it was given, with its headers; and splits."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.errors import KafkaError
from kafka.producer.future import FutureProduceResult
from kafka.record.memory_records import MemoryRecords
from kafka.structs import TopicPartition

from otel_feedback.events.model import SCHEMA_VERSION, epoch_us
from otel_feedback.events.record import Origin, Record
from otel_feedback.exporters.kafka.batches import BatchAnswer, BatchPortion, BatchRecords, codec_of
from otel_feedback.exporters.kafka.headers import JSON, record_headers
from otel_feedback.exporters.kafka.wire import encode_record, key_field, varint

ORIGIN = Origin("0" * 32, "a service")
MOST_BYTES = 2**20
NOW = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=timezone.utc)


def one_record(sequence: int = 0, **fields: Any) -> Record:
    given: dict[str, Any] = {
        "origin": ORIGIN, "sequence": sequence, "key": "run-1", "payload": b"{}", "sampled": True,
        "event_id": "é-1", "revision": 1, "timestamp": NOW, "trace_id": "a" * 32, "span_id": "b" * 16, **fields,
    }  # fmt: skip
    return Record(**given)


def batch_of(records: list[Record], compression: str | None = None, content_type: bytes = JSON) -> BatchRecords:
    first_ms = epoch_us(records[0].timestamp) // 1_000
    batch = BatchRecords(first_ms, codec_of(compression), MOST_BYTES)
    for index, record in enumerate(records):
        ms = epoch_us(record.timestamp) // 1_000
        key = key_field(record.key.encode())
        batch.add(encode_record(record, key, record.payload, ms - first_ms, index, content_type), ms)
    return batch


def read_back(batch: BatchRecords) -> list[tuple[Any, ...]]:
    [read] = MemoryRecords(batch.buffer())
    assert read.validate_crc()
    return [(one.offset, one.timestamp, one.key, one.value, [tuple(pair) for pair in one.headers]) for one in read]


def as_given(records: list[Record], content_type: bytes = JSON) -> list[tuple[Any, ...]]:
    return [
        (index, epoch_us(one.timestamp) // 1_000, one.key.encode(), one.payload, record_headers(one, content_type))
        for index, one in enumerate(records)
    ]


@given(
    st.lists(
        st.builds(
            one_record,
            sequence=st.integers(0, 2**62),
            key=st.text(max_size=200),
            payload=st.binary(max_size=20_000),
            sampled=st.booleans(),
            event_id=st.sampled_from(["1", "é" * 100, "x" * 9_000]),
            revision=st.integers(1, 300),
            timestamp=st.timedeltas(timedelta(days=-9_000), timedelta(days=9_000)).map(lambda after: NOW + after),
            trace_id=st.sampled_from([None, "c" * 32]),
            span_id=st.sampled_from([None, "d" * 16]),
            tenant_id=st.sampled_from([None, "acme", "é" * 200, "x" * 9_000]),
            schema_version=st.sampled_from([SCHEMA_VERSION, "0.9", "1.250"]),
            is_feedback=st.booleans(),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_kafka_python_reads_what_was_written(records: list[Record]) -> None:
    for kind in (JSON, b"application/avro"):
        batch = batch_of(records, content_type=kind)
        batch.close()
        assert read_back(batch) == as_given(records, kind)


@pytest.mark.parametrize("compression", [None, "gzip", "snappy", "lz4", "zstd"])
def test_every_compression_and_the_producers_state(compression: str | None) -> None:
    records = [one_record(number, payload=b"the same words " * 9) for number in range(300)]
    batch = batch_of(records, compression)
    assert batch.next_offset() == 300
    batch.set_producer_state(7, 3, 11, is_transactional=False)
    uncompressed = batch.size_in_bytes()
    batch.close()
    assert read_back(batch) == as_given(records)
    [read] = MemoryRecords(batch.buffer())
    assert (read.producer_id, read.producer_epoch, read.base_sequence) == (7, 3, 11)
    assert batch.size_in_bytes() == len(batch.buffer())
    assert (batch.size_in_bytes() == uncompressed) is (compression is None)
    closed = batch.buffer()
    batch.close()  # kafka-python does so again when it sends again
    assert batch.buffer() is closed


def test_what_compression_would_make_larger_goes_as_it_is() -> None:
    batch = batch_of([one_record(event_id="", payload=b"")], "gzip")
    uncompressed = batch.size_in_bytes()
    batch.close()
    assert batch.size_in_bytes() <= uncompressed
    assert len(read_back(batch)) == 1


@given(st.integers(-(2**62), 2**62))
def test_varints_are_zigzag(number: int) -> None:
    zigzag = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(varint(number)))
    assert (zigzag >> 1) ^ -(zigzag & 1) == number


def test_a_full_batch_takes_no_more_but_one_record_always_fits() -> None:
    batch = BatchRecords(0, codec_of(None), 100)
    assert batch.has_room(1_000)
    batch.add(b"x" * 1_000, 0)
    assert not batch.has_room(1)
    assert batch.is_full()


def test_a_batch_goes_when_it_is_full_or_nothing_more_is_expected() -> None:
    batch = BatchRecords(0, codec_of(None), 100)
    batch.add(b"x", 0)
    assert not batch.is_full()
    batch.is_ready = True
    assert batch.is_full()


def a_batch(count: int) -> tuple[FutureProduceResult, BatchAnswer, list[Record]]:
    future = FutureProduceResult(TopicPartition("t", 0))
    records = [one_record(number) for number in range(count)]
    return future, BatchAnswer(future, batch_of(records)), records


def test_a_batch_answers_for_all_of_its_portions() -> None:
    future, answer, records = a_batch(5)
    portions = [BatchPortion(records[:2], answer, 0), BatchPortion(records[2:], answer, 2)]
    assert [portion.is_done for portion in portions] == [False, False]
    future.success((40, -1, None))
    assert [portion.is_done for portion in portions] == [True, True]
    assert [portion.failures() for portion in portions] == [None, None]


def test_a_batch_that_failed_says_why() -> None:
    future, answer, records = a_batch(3)
    error = KafkaError("no")
    future.success((-1, -1, lambda index: error))
    assert BatchPortion(records, answer, 0).failures() == [error] * 3


def test_a_batch_that_was_split_answers_for_each_record() -> None:
    """As kafka-python's `split_and_reenqueue` does it: it rebinds the futures of the records, and maybe again."""
    _, answer, records = a_batch(4)
    early, late = BatchPortion(records[:2], answer, 0), BatchPortion(records[2:], answer, 2)
    left, right = FutureProduceResult(TopicPartition("t", 0)), FutureProduceResult(TopicPartition("t", 0))
    assert len(answer) == 4
    for index, (half, place) in enumerate([(left, 0), (left, 1), (right, 0), (right, 1)]):
        answer[index].rebind(half, place)
    left.success((40, -1, None))
    assert (early.is_done, early.failures()) == (True, [None, None])
    assert not late.is_done
    again = FutureProduceResult(TopicPartition("t", 0))
    answer[3].rebind(again, 0)
    right.success((42, -1, None))
    assert not late.is_done
    error = KafkaError("too large")
    again.success((-1, -1, lambda index: error))
    assert (late.is_done, late.failures()) == (True, [None, error])
