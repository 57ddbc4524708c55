"""Both ways into kafka-python, on a real broker: whole batches, and `send()` where its inside is not as expected."""

from __future__ import annotations

import logging
import os
from typing import Any

import pytest

import otel_feedback as feedback
from otel_feedback.events.record import Record
from otel_feedback.exporters.kafka import inside
from otel_feedback.exporters.kafka.confluent.exporter import ConfluentExporter
from otel_feedback.exporters.kafka.confluent.line import ConfluentLine
from otel_feedback.exporters.kafka.exporter import KafkaExporter, OutcomeExporter
from otel_feedback.exporters.kafka.headers import record_headers
from otel_feedback.exporters.kafka.line import Line
from otel_feedback.exporters.kafka.lines import BatchLine, RecordLine
from otel_feedback.exporters.kafka.producer import OutcomeProducer
from otel_feedback.journal.memory import MemoryJournal
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from tests.integration.test_kafka import by_sequence, new_topic
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker

EVENTS = 500
LINES: dict[str, type[Line]] = {
    "whole batches": BatchLine,
    "unknown version": RecordLine,
    "a name is missing": RecordLine,
    "confluent": ConfluentLine,
}


@pytest.fixture(params=LINES)
def expected(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type[Line]:
    monkeypatch.setenv("KAFKA_CLIENT", "confluent" if request.param == "confluent" else "kafka-python")
    if request.param == "unknown version":
        monkeypatch.setattr(inside, "KNOWN_VERSIONS", ("0.",))
    if request.param == "a name is missing":
        monkeypatch.setattr(inside, "_OF_ACCUMULATOR", ("_no_such_name",))
    return LINES[request.param]


def exporter_to(broker: KafkaBroker, topic: str, **more: Any) -> OutcomeExporter:
    config = feedback.KafkaConfig(bootstrap_servers=(broker.bootstrap_servers,), topic=topic, **more)
    return (ConfluentExporter if os.environ["KAFKA_CLIENT"] == "confluent" else KafkaExporter)(config)


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_the_same_arrives_whichever_way_it_goes(
    expected: type[Line], compression: str, kafka_broker: KafkaBroker
) -> None:
    topic = new_topic(kafka_broker, partitions=3)
    exporter = exporter_to(kafka_broker, topic, compression=compression)
    journal = MemoryJournal(10**9, "a service")
    pipeline = FeedbackPipeline(new_journal=lambda: journal, exporters=[exporter])
    events = [
        feedback.OutcomeEvent(action_type="tool", status=feedback.OutcomeStatus.SUCCESS, run_id=f"run-{number // 7}")
        for number in range(EVENTS)
    ]
    for event in events:
        assert pipeline.record_outcome(event)
    assert pipeline.force_flush(60) is True, pipeline.metrics()
    line = exporter._line  # pyright: ignore[reportPrivateUsage]
    assert line is not None
    assert isinstance(line.line, expected)

    records = by_sequence(kafka_clients.read_topic(kafka_broker.bootstrap_servers, topic, EVENTS))
    assert [feedback.OutcomeEvent.from_json(record.value or b"") for record in records] == events
    assert [record.key for record in records] == [(event.run_id or "").encode() for event in events]
    headers = [dict(record.headers) for record in records]
    assert [header["sequence"] for header in headers] == [b"%d" % number for number in range(EVENTS)]
    sent = Record.of(events[0], journal.origin, 0, "", b"", sampled=False)
    assert [tuple(pair) for pair in records[0].headers] == record_headers(sent)
    partition_of = {record.key: record.partition for record in records}
    assert [record.partition for record in records] == [partition_of[record.key] for record in records]
    for partition in range(3):
        in_order = [int(dict(record.headers)["sequence"]) for record in records if record.partition == partition]
        assert in_order == sorted(in_order)


def test_a_batch_that_is_too_large_for_the_broker_is_split(
    expected: type[Line], kafka_broker: KafkaBroker, caplog: pytest.LogCaptureFixture
) -> None:
    """By kafka-python, and nothing fails: each record is small enough. librdkafka says no, once, and makes smaller ones then."""
    topic = new_topic(kafka_broker, partitions=1, max_message_bytes="8000")
    exporter = exporter_to(kafka_broker, topic, compression="none", batch_size=200)
    pipeline = FeedbackPipeline(new_journal=lambda: MemoryJournal(10**9, "a service"), exporters=[exporter])
    with caplog.at_level(logging.WARNING, "otel_feedback"):
        for number in range(400):
            assert pipeline.record_outcome(
                feedback.OutcomeEvent(
                    action_type="tool", status=feedback.OutcomeStatus.SUCCESS, run_id="one", metadata={"step": number}
                )
            )
            if number == 199:
                assert pipeline.force_flush(60) is True, pipeline.metrics()
        assert pipeline.force_flush(60) is True, pipeline.metrics()
    said = [record for record in caplog.records if record.name.startswith("otel_feedback")]
    assert len(said) == (expected is ConfluentLine), [record.getMessage() for record in said]
    records = kafka_clients.read_topic(kafka_broker.bootstrap_servers, topic, 400)
    assert [feedback.OutcomeEvent.from_json(record.value or b"").metadata["step"] for record in records] == list(
        range(400)
    )


def test_a_producer_that_is_no_kafka_producer_has_no_inside() -> None:
    assert inside.Inside.of(object(), "topic") is None


def test_the_inside_is_as_expected(kafka_broker: KafkaBroker) -> None:
    """Fails with the first kafka-python that is not: then look at `inside.py`."""
    producer = OutcomeProducer(feedback.KafkaConfig(bootstrap_servers=(kafka_broker.bootstrap_servers,)))
    try:
        assert inside.Inside.of(producer, "topic") is not None
    finally:
        producer.close()
