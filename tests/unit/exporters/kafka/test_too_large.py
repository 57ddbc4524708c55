"""Records that are too large, at a producer that fails as kafka-python does: each settled once, in order, the rest whole.

The producer is a fake, so that the connection can break at any point; `tests/integration/test_kafka_too_large.py`
shows the same on a real broker.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import otel_feedback as feedback
from otel_feedback.errors import ExportError
from otel_feedback.events import codec
from otel_feedback.events.record import Origin, Record
from otel_feedback.events.trim import smaller_forms
from otel_feedback.exporters.interface import Refusal
from otel_feedback.exporters.kafka import producer as kafka_producer
from otel_feedback.exporters.kafka.destination import ClusterSeen
from otel_feedback.exporters.kafka.exporter import KafkaExporter

ORIGIN = Origin("0" * 32, "test")


class MessageSizeTooLargeError(Exception):
    """Known by its name, as kafka-python's own is."""


class PolicyViolationError(Exception):
    """As above."""


class FakeFuture:
    is_done = True

    def __init__(self, exception: Exception | None = None) -> None:
        self.exception = exception

    def add_both(self, f: Callable[[Any], None]) -> None:
        f(self.exception)


class FakeBroker:
    """What arrived, and what is refused; `breaks` are the numbers of the sends at which the connection breaks."""

    def __init__(self, limit: int, client_limit: int, breaks: set[int], *, policy: bytes = b"") -> None:
        self.limit = limit
        self.client_limit = client_limit
        self.breaks = breaks
        self.policy = policy
        self.sends = 0
        self.arrived: list[tuple[bytes, int, bytes]] = []

    def producer(self, config: feedback.KafkaConfig, more: object) -> FakeProducer:
        return FakeProducer(self)


class FakeProducer:
    def __init__(self, broker: FakeBroker) -> None:
        self.broker = broker
        self.failed: Exception | None = None

    def partitions_for(self, topic: str) -> set[int]:
        return {0, 1}

    def cluster_seen(self) -> ClusterSeen:
        return ClusterSeen("fake", ["broker:9092"])

    def send(self, topic: str, value: bytes, key: bytes, headers: Any, partition: int, timestamp_ms: int) -> FakeFuture:
        broker = self.broker
        if len(value) > broker.client_limit:
            raise MessageSizeTooLargeError("larger than max_request_size")
        broker.sends += 1
        if self.failed is None:
            if broker.sends in broker.breaks:
                self.failed = ConnectionError("gone")
            elif broker.policy and broker.policy in value:
                self.failed = PolicyViolationError("no")
            elif len(value) > broker.limit:
                self.failed = MessageSizeTooLargeError("refused")
        if self.failed is None:
            broker.arrived.append((key, int(dict(headers)["sequence"]), value))
        return FakeFuture(self.failed)  # after one refusal an idempotent producer fails everything with its error

    def close(self, timeout: float) -> None:
        self.failed = self.failed or ConnectionError("closed")


def record(sequence: int, key: str, text: int, numbers: int = 0) -> Record:
    metadata: dict[str, Any] = {"numbers": [7] * numbers}
    event = feedback.OutcomeEvent(
        action_type="tool", status=feedback.OutcomeStatus.FAILURE, run_id=key,
        stack_trace="x" * text, metadata=metadata,
    )  # fmt: skip
    return Record.of(event, ORIGIN, sequence, key, codec.encode(event), sampled=True)


def deliver(exporter: KafkaExporter, records: list[Record]) -> dict[int, Refusal | None]:
    """Do what the worker does, until every record is settled."""
    settled: dict[int, Refusal | None] = {}
    while len(settled) < len(records):
        lease = [one for one in records if one.sequence not in settled][: exporter.lease_events]
        try:
            receipt = exporter.export(lease)
            while not receipt.done:
                for one, refusal in receipt.poll():
                    assert one is records[one.sequence], "the record itself is settled"
                    assert one.sequence not in settled, "and once"
                    settled[one.sequence] = refusal
        except ExportError:
            exporter.abandon()
    return settled


def exporter_to(broker: FakeBroker, monkeypatch: pytest.MonkeyPatch, lease_events: int) -> KafkaExporter:
    monkeypatch.setattr(kafka_producer, "OutcomeProducer", broker.producer)
    return KafkaExporter(feedback.KafkaConfig(batch_size=lease_events))


def refused(settled: dict[int, Refusal | None]) -> dict[int, str]:
    return {sequence: refusal.reason for sequence, refusal in settled.items() if refusal is not None}


@settings(max_examples=300, deadline=None)
@given(
    shapes=st.lists(
        st.tuples(
            st.sampled_from("ab"),
            st.sampled_from([0, 10, 900, 3_000, 20_000]) | st.integers(0, 5_000),
            st.sampled_from([0, 0, 0, 900]),
        ),
        min_size=1,
        max_size=25,
    ),
    limit=st.integers(600, 6_000),
    client_limit=st.integers(600, 6_000),
    breaks=st.sets(st.integers(1, 60), max_size=6),
    lease_events=st.integers(1, 12),
)
def test_each_is_settled_once_in_order_and_as_large_as_can_be(
    shapes: list[tuple[str, int, int]], limit: int, client_limit: int, breaks: set[int], lease_events: int
) -> None:
    broker = FakeBroker(limit, client_limit, breaks)
    records = [record(sequence, key, text, numbers) for sequence, (key, text, numbers) in enumerate(shapes)]
    with pytest.MonkeyPatch.context() as patch:
        settled = deliver(exporter_to(broker, patch, lease_events), records)

    most = min(limit, client_limit)
    assert refused(settled) == {
        one.sequence: "too_large"
        for one in records
        if min((len(one.payload), *map(len, smaller_forms(one.payload)))) > most
    }
    first: dict[int, bytes] = {}
    for key, sequence, payload in broker.arrived:
        assert key.decode() == records[sequence].key
        first.setdefault(sequence, payload)
    assert set(first) == {sequence for sequence, refusal in settled.items() if refusal is None}
    for key in "ab":
        in_order = [sequence for sequence in first if records[sequence].key == key]
        assert in_order == sorted(in_order), "nothing overtakes"
    for sequence, payload in first.items():
        whole = records[sequence].payload
        if len(whole) <= most:
            assert payload == whole, "a neighbour is untouched"
        else:
            assert payload == next(form for form in smaller_forms(whole) if len(form) <= most)


def test_what_is_refused_for_another_reason_on_the_way_is_refused_for_that(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = FakeBroker(1_000, 10**6, set(), policy=b"otel_feedback.truncated")
    records = [record(0, "a", 0), record(1, "a", 3_000), record(2, "a", 0)]
    assert refused(deliver(exporter_to(broker, monkeypatch, 10), records)) == {1: "policy"}
    assert [sequence for _, sequence, _ in broker.arrived] == [0, 2]


@pytest.mark.parametrize(("limit", "client_limit"), [(1_000, 10**6), (10**6, 1_000)])
def test_it_is_said_once_a_minute_without_content(
    limit: int, client_limit: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broker = FakeBroker(limit, client_limit, set())
    deliver(exporter_to(broker, monkeypatch, 10), [record(sequence, "key-a", 3_000) for sequence in range(5)])
    [line] = [one.getMessage() for one in caplog.records if one.name == "otel_feedback.exporters.kafka.exporter"]
    assert "too large for agent-outcomes and is sent with less text" in line
    assert "xxx" not in line
    assert "key-a" not in line
