"""Records that fail by an error of any name, at a producer that fails as kafka-python does: who is refused, and who is not.

The producer is a fake, so that errors can have any name; `tests/integration/test_kafka_refusals.py` has real brokers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import otel_feedback as feedback
from otel_feedback.errors import ExportError
from otel_feedback.events.record import Origin, Record
from otel_feedback.exporters.interface import Receipt, Refusal
from otel_feedback.exporters.kafka import careful
from otel_feedback.exporters.kafka import producer as kafka_producer
from otel_feedback.exporters.kafka.destination import ClusterSeen
from otel_feedback.exporters.kafka.exporter import MOST_PRODUCERS, KafkaExporter
from tests.unit.exporters.kafka.test_too_large import FakeFuture, record

PARTITIONS = 3
LEASE = 12


class KafkaError(Exception):
    """What kafka-python says of the records beside one that the broker refuses."""


class UnknownError(Exception):
    """What a broker says whose own code failed."""


class CorruptRecordError(Exception):
    """What older brokers say of a record without a key on a compacted topic."""


class InvalidRecordError(Exception):
    """What newer ones say."""


class SomeNewError(Exception):
    """What nobody has heard of yet."""


class TopicAuthorizationFailedError(Exception):
    """About all records."""


NAMES = [UnknownError, CorruptRecordError, InvalidRecordError, SomeNewError]
Fails = Callable[[int, int], Exception | None]
"""By sequence and partition."""


class Never:
    is_done = False
    exception = None

    def add_both(self, f: Callable[[Any], None]) -> None:
        """Nothing will be said."""


class FakeKafka:
    def __init__(self, fails: Fails, *, silent: bool = False) -> None:
        self.fails = fails
        self.silent = silent
        self.sends = 0
        self.arrived: list[tuple[bytes, int]] = []

    def producer(self, config: feedback.KafkaConfig, more: object) -> FakeProducer:
        return FakeProducer(self)


class FakeProducer:
    """Takes at once; the first that fails makes all fail, or for ever silent, that come after it."""

    def __init__(self, kafka: FakeKafka) -> None:
        self.kafka = kafka
        self.failed: Exception | None = None

    def partitions_for(self, topic: str) -> set[int]:
        return set(range(PARTITIONS))

    def cluster_seen(self) -> ClusterSeen:
        return ClusterSeen("fake", ["broker:9092"])

    def send(self, topic: str, value: bytes, key: bytes, headers: Any, partition: int, timestamp_ms: int) -> Any:
        self.kafka.sends += 1
        sequence = int(dict(headers)["sequence"])
        self.failed = self.failed or self.kafka.fails(sequence, partition)
        if self.failed is None:
            self.kafka.arrived.append((key, sequence))
        elif self.kafka.silent:
            return Never()
        return FakeFuture(self.failed)

    def close(self, timeout: float) -> None:
        """Nothing is open."""


def exporter_to(kafka: FakeKafka, patch: pytest.MonkeyPatch, give_up_s: float = 60.0) -> KafkaExporter:
    patch.setattr(kafka_producer, "OutcomeProducer", kafka.producer)
    patch.setattr(careful, "PAUSE_S", 0.0)
    patch.setattr(careful, "HOLD_S", 0.01)
    patch.setattr("otel_feedback.exporters.kafka.connection.ABANDON_WAIT_S", 0.0)
    return KafkaExporter(feedback.KafkaConfig(batch_size=LEASE), give_up_s=give_up_s)


def deliver(exporter: KafkaExporter, records: list[Record], rounds: int) -> dict[int, Refusal | None]:
    """Do what the worker does, until every record is settled, or it went back so often."""
    settled: dict[int, Refusal | None] = {}
    while len(settled) < len(records) and rounds:
        in_flight: list[Receipt] = []
        left = [one for one in records if one.sequence not in settled]
        try:
            while left or in_flight:
                if left:
                    in_flight.append(exporter.export(left[: exporter.lease_events]))
                    left = left[exporter.lease_events :]
                for receipt in in_flight:
                    for one, refusal in receipt.poll():
                        assert one.sequence not in settled, "settled once"
                        settled[one.sequence] = refusal
                in_flight = [receipt for receipt in in_flight if not receipt.done]
        except ExportError:
            exporter.abandon()
            rounds -= 1
    return settled


def refused(settled: dict[int, Refusal | None]) -> dict[int, str]:
    return {sequence: refusal.reason for sequence, refusal in settled.items() if refusal is not None}


def first(kafka: FakeKafka) -> list[tuple[bytes, int]]:
    return list(dict.fromkeys(kafka.arrived))


@settings(max_examples=150, deadline=None)
@given(
    keys=st.lists(st.sampled_from("abcdef"), min_size=1, max_size=40),
    bad=st.sets(st.integers(0, 39), max_size=4),
    error=st.sampled_from(NAMES),
)
def test_those_that_fail_are_found_whatever_their_error_is_called(
    keys: list[str], bad: set[int], error: type[Exception]
) -> None:
    bad = {sequence for sequence in bad if sequence < len(keys)}
    records = [record(sequence, key, 0) for sequence, key in enumerate(keys)]
    records += [record(len(keys) + extra, key, 0) for extra, key in enumerate("abcdef")]  # life goes on
    kafka = FakeKafka(lambda sequence, _: error("no") if sequence in bad else None)
    with pytest.MonkeyPatch.context() as patch:
        settled = deliver(exporter_to(kafka, patch), records, rounds=40)
    assert set(settled) == set(range(len(records)))
    known = error is InvalidRecordError
    assert refused(settled) == dict.fromkeys(bad, "invalid_record" if known else "fails_alone")
    good = [(one.key.encode(), one.sequence) for one in records if settled[one.sequence] is None]
    assert sorted(first(kafka), key=lambda pair: pair[1]) == good
    for key in "abcdef":
        steps = [sequence for of, sequence in first(kafka) if of == key.encode()]
        assert steps == sorted(steps), "nothing overtakes"
    assert kafka.sends <= 4 * len(records) + 60 * (len(bad) + 1), "resends are bounded"


def test_a_record_of_a_batch_with_a_bad_one_is_not_taken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a batch of several each is told something else."""
    kafka = FakeKafka(lambda sequence, _: KafkaError("it was part of a batch") if sequence == 3 else None)
    settled = deliver(exporter_to(kafka, monkeypatch), [record(n, "a", 0) for n in range(20)], rounds=5)
    assert refused(settled) == {3: "fails_alone"}


@pytest.mark.parametrize("error", [*NAMES[:2], SomeNewError])
def test_a_partition_that_takes_nothing_loses_nothing_and_stops_no_other(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken: set[int] = {1}
    kafka = FakeKafka(lambda _, partition: error("disk") if partition in broken else None)
    records = [record(n, "abcdef"[n % 6], 0) for n in range(60)]
    exporter = exporter_to(kafka, monkeypatch)
    settled = deliver(exporter, records, rounds=30)
    there = {one.sequence for one in records if exporter.partition_of(one) == 1}
    assert there
    assert refused(settled) == {}
    assert set(settled) == set(range(60)) - there
    broken.clear()
    later = deliver(exporter, [one for one in records if one.sequence in there], rounds=5)
    assert (set(later), refused(later)) == (there, {})
    steps = [sequence for _, sequence in first(kafka) if sequence in there]
    assert steps == sorted(steps)


def test_what_concerns_all_is_not_tried_record_by_record(monkeypatch: pytest.MonkeyPatch) -> None:
    kafka = FakeKafka(lambda *_: TopicAuthorizationFailedError("mine"))
    monkeypatch.setattr("otel_feedback.exporters.kafka.receipt._OF_ALL_NAMES", {"TopicAuthorizationFailedError"})
    assert deliver(exporter_to(kafka, monkeypatch), [record(n, "a", 0) for n in range(LEASE)], rounds=10) == {}
    assert kafka.sends == 10 * LEASE


def test_a_record_that_nothing_is_said_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection breaks at it each time, and kafka-python tries for ever."""
    kafka = FakeKafka(lambda sequence, _: SomeNewError() if sequence == 7 else None, silent=True)
    records = [record(n, "ab"[n % 2], 0) for n in range(30)]
    settled = deliver(exporter_to(kafka, monkeypatch, give_up_s=0.05), records, rounds=10)
    assert (len(settled), refused(settled)) == (30, {7: "fails_alone"})


def test_what_is_known_of_dead_processes_does_not_grow_with_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    kafka = FakeKafka(lambda _sequence, _partition: None)
    exporter = exporter_to(kafka, monkeypatch)
    one = record(0, "a", 1)
    for number in range(MOST_PRODUCERS + 200):
        theirs = msgspec.structs.replace(one, origin=Origin(f"{number:032x}", "agents"))
        assert deliver(exporter, [theirs], 1) == {0: None}
    assert len(exporter._highest) == MOST_PRODUCERS  # pyright: ignore[reportPrivateUsage]
