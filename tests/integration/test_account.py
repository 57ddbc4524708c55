"""The account on Kafka: with headers and audit topic a reader can prove that nothing is missing; dead letters."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import otel_feedback as feedback
from otel_feedback.events import audit
from tests.logs import lines_in
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker
from tests.stack.waiting import wait_until
from tests.support import run_python

TOPICS = ("agent-outcomes", "agent-outcomes-dlq", "agent-outcomes-audit")


@pytest.fixture(scope="module")
def broker() -> Iterator[KafkaBroker]:
    """One of its own: the topics have the default names."""
    with KafkaBroker.launch_own() as own:
        for topic in TOPICS:
            own.create_topic(topic, partitions=3 if topic == TOPICS[0] else 1, config={"max.message.bytes": "20000"})
        yield own


@pytest.fixture(autouse=True)
def no_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")


class Topic:
    """What a reader of all partitions knows of one producer."""

    def __init__(self, broker: KafkaBroker, producer_id: str) -> None:
        self.sequences: set[int] = set()
        for record in kafka_clients.read_to_end(broker.bootstrap_servers, TOPICS[0]):
            headers = dict(record.headers)
            if headers["producer_id"] == producer_id.encode():
                self.sequences.add(int(headers["sequence"]))
        self.losses: list[audit.LossRecord] = []
        self.high_water: list[audit.HighWaterRecord] = []
        for record in kafka_clients.read_to_end(broker.bootstrap_servers, TOPICS[2]):
            told = audit.decode(record.value or b"")
            assert record.key == told.producer_id.encode()
            if told.producer_id != producer_id:
                continue
            if isinstance(told, audit.LossRecord):
                self.losses.append(told)
            else:
                self.high_water.append(told)

    @property
    def missing(self) -> set[int]:
        """Sequences that neither the topic nor a loss record accounts for."""
        end = max(told.end for told in self.high_water)
        explained = {
            number
            for loss in self.losses
            if loss.exporter == "kafka"
            for number in range(loss.first_sequence, loss.last_sequence + 1)
        }
        return set(range(end)) - self.sequences - explained


def act(count: int, **metadata: Any) -> None:
    for step in range(count):
        with feedback.action("step", run_id="run-1", metadata={"step": step, **metadata}):
            pass


def test_a_closed_producer_tells_how_far_it_was(broker: KafkaBroker) -> None:
    pipeline = feedback.configure(kafka_bootstrap_servers=broker.bootstrap_servers, enable_outcome_logging=False)
    act(25)
    assert pipeline.shutdown(30) is True
    seen = Topic(broker, pipeline.producer_id)
    last = seen.high_water[-1]
    assert (last.exporter, last.end, last.delivered, last.pending, last.lost, last.closed) == (
        "kafka", 25, 25, 0, {}, True,
    )  # fmt: skip
    assert seen.missing == set()
    assert pipeline.metrics()["notices"]["lost"] == 0


def test_high_water_marks_come_at_intervals(broker: KafkaBroker) -> None:
    pipeline = feedback.configure(
        kafka_bootstrap_servers=broker.bootstrap_servers, enable_outcome_logging=False, audit_interval_s=1
    )

    def open_marks() -> list[int]:
        return [told.end for told in Topic(broker, pipeline.producer_id).high_water if not told.closed]

    act(5)
    wait_until(lambda: 5 in open_marks(), timeout_s=20, what="a mark at 5")
    act(3)
    wait_until(lambda: 8 in open_marks(), timeout_s=20, what="a mark at 8")
    pipeline.shutdown(30)


def test_what_is_lost_is_told_with_its_sequences(broker: KafkaBroker, caplog: pytest.LogCaptureFixture) -> None:
    """The broker comes too late: a small journal has dropped its oldest by then. People are told, too."""
    pipeline = feedback.configure(
        kafka=feedback.KafkaConfig(bootstrap_servers=(broker.bootstrap_servers,), linger_ms=60_000, batch_size=10_000),
        enable_outcome_logging=False,
        journal_max_bytes=65_536,
        audit_interval_s=3600,
    )
    act(1_000)
    told = pipeline.metrics()["exporters"]["kafka"]
    assert told["lost"]["retention"] > 100
    assert pipeline.shutdown(30) is False
    account = pipeline.metrics()["exporters"]["kafka"]
    seen = Topic(broker, pipeline.producer_id)
    assert sum(loss.count for loss in seen.losses) == account["lost"]["retention"] == 1_000 - account["delivered"]
    assert {loss.reason for loss in seen.losses} == {"retention"}
    assert seen.missing == set()
    assert seen.high_water[-1].lost == account["lost"]
    said = [record.getMessage() for record in caplog.records if "and lost: the journal was full" in record.getMessage()]
    assert len(said) == 1
    assert f"events of the process {pipeline.producer_id} not delivered to kafka" in said[0]


KILLED = """
    import os, signal
    import otel_feedback as feedback
    pipeline = feedback.configure(kafka_linger_ms=60_000, service_name="first-life")
    for step in range(12):
        with feedback.action("step", run_id="run-7"): pass
    print(pipeline.producer_id, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_adopted_events_keep_their_producer_and_sequence(broker: KafkaBroker) -> None:
    variables = {"OTEL_TRACES_EXPORTER": "none", "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
                 "ENABLE_OUTCOME_LOGGING": "false", "OTEL_FEEDBACK_JOURNAL_RESCAN_INTERVAL": "0.1"}  # fmt: skip
    variables["OTEL_FEEDBACK_JOURNAL_DIR"] = str(Path(os.environ["XDG_STATE_HOME"]) / "shared")
    killed = run_python(KILLED, variables)
    assert killed.returncode == -signal.SIGKILL
    producer_id = killed.stdout.strip()
    following = run_python(
        """
        import otel_feedback as feedback
        pipeline = feedback.configure(service_name="second-life")
        assert pipeline.shutdown(30)
        """,
        variables,
    )
    assert following.returncode == 0, following.stderr
    seen = Topic(broker, producer_id)
    assert seen.sequences == set(range(12))
    assert (seen.high_water[-1].end, seen.high_water[-1].service_name) == (12, "first-life")
    assert seen.missing == set()
    sources = {
        dict(record.headers)["ce_source"]
        for record in kafka_clients.read_to_end(broker.bootstrap_servers, TOPICS[0])
        if dict(record.headers)["producer_id"] == producer_id.encode()
    }
    assert sources == {b"//otel_feedback/first-life"}


def test_what_kafka_refuses_for_good_is_a_dead_letter_and_in_quarantine(broker: KafkaBroker) -> None:
    """Tags cannot be cut away, nor can ids: such an event stays too large."""
    pipeline = feedback.configure(
        kafka_bootstrap_servers=broker.bootstrap_servers, kafka_compression="none", enable_outcome_logging=False
    )
    act(3)
    culprit = feedback.OutcomeEvent(
        action_type="a", status=feedback.OutcomeStatus.SUCCESS, run_id="run-1", parent_event_id="x" * 30_000
    )
    assert pipeline.record_outcome(culprit)
    act(3)
    assert pipeline.force_flush(30) is False
    account = pipeline.metrics()["exporters"]["kafka"]
    assert (account["delivered"], account["pending"], account["lost"]) == (6, 0, {"too_large": 1})
    journal = Path(pipeline.metrics()["journal"]["path"])
    kept = lines_in(journal.parent / "quarantine" / f"{journal.name}.jsonl")
    assert [(one["kind"], one["reason"], one["sequence"], one["event"]["event_id"]) for one in kept] == [
        ("refused", "too_large", 3, culprit.event_id)
    ]
    pipeline.shutdown(30)
    letters = [
        dict(record.headers) for record in kafka_clients.read_to_end(broker.bootstrap_servers, TOPICS[1])
        if dict(record.headers)["producer_id"] == pipeline.producer_id.encode()
    ]  # fmt: skip
    (letter,) = letters
    assert (letter["error.reason"], letter["error.culprit"], letter["sequence"]) == (b"too_large", b"kafka", b"3")
    seen = Topic(broker, pipeline.producer_id)
    assert [(loss.reason, loss.first_sequence, loss.last_sequence, loss.count) for loss in seen.losses] == [
        ("too_large", 3, 3, 1)
    ]
    assert seen.missing == set()
