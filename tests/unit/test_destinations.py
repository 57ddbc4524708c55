"""Whose what dead processes left is: told when it is known where this process sends, and the numbers said agree."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider

import otel_feedback as feedback
from otel_feedback.errors import ExportError
from otel_feedback.exporters.interface import Identifying
from otel_feedback.exporters.kafka.destination import ClusterSeen, KafkaDestination
from otel_feedback.journal.disk import DiskJournal
from otel_feedback.journal.folder import folders
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from tests.journals.command import dead, to
from tests.logs import lines_in
from tests.stack.waiting import wait_for
from tests.unit.test_worker import ScriptedExporter, deliver, record

TOPIC = "agent-outcomes"
SERVERS = "kafka:9092"


class Cluster(ScriptedExporter):
    """An exporter that has to find out which cluster its address leads to; it is away until `appear()`."""

    def __init__(self, cluster_id: str) -> None:
        super().__init__(deliver, name="kafka")
        self.where = KafkaDestination([SERVERS], TOPIC)
        self.cluster_id = cluster_id
        self.asked = 0
        self._is_there = threading.Event()

    def appear(self) -> None:
        self._is_there.set()

    @property
    def destination(self) -> str:  # type: ignore[override]
        return self.where.name

    @destination.setter
    def destination(self, value: str) -> None:
        """What the base class says is not so."""

    @property
    def address(self) -> str:
        return self.where.address

    @property
    def is_identified(self) -> bool:
        return self.where.is_known

    def identify(self) -> None:
        self.asked += 1
        if not self._is_there.is_set():
            raise ExportError("unavailable", "it is away", retryable=True)
        self.where.learn(ClusterSeen(self.cluster_id, ["broker-1:9092"]))

    def is_same(self, destination: str, address: str) -> bool:
        return self.where.is_same(destination, address)


def pipeline_in(root: Path, exporter: ScriptedExporter) -> FeedbackPipeline:
    return FeedbackPipeline(
        new_journal=lambda: DiskJournal(root, service_name="tested"), exporters=[exporter], rescan_s=0.1
    )


def test_nothing_is_sent_before_it_is_known_where_to(tmp_path: Path) -> None:
    exporter = Cluster("mine")
    assert isinstance(exporter, Identifying)
    pipeline = pipeline_in(tmp_path, exporter)
    record(pipeline, 3)
    wait_for(lambda: exporter.asked >= 2 or None, timeout_s=30, what="two tries")
    assert exporter.leases == []
    assert pipeline.metrics()["exporters"]["kafka"]["healthy"] is False
    exporter.appear()
    assert pipeline.force_flush(30) is True
    assert pipeline.metrics()["exporters"]["kafka"]["destination"] == f"mine/{TOPIC}"


def test_what_turns_out_to_be_anothers_is_let_go(tmp_path: Path) -> None:
    """The address is the same, so it may be ours until the cluster is known; it never is sent there."""
    address = f"{SERVERS}/{TOPIC}"
    theirs = dead(tmp_path, ("kafka", f"another/{TOPIC}"), events=5, addresses=[address])
    ours = dead(tmp_path, ("kafka", f"mine/{TOPIC}"), events=2, addresses=["old.invalid:9092/agent-outcomes"])
    unbound = dead(tmp_path, ("kafka", address), events=3)
    exporter = Cluster("mine")
    pipeline = pipeline_in(tmp_path, exporter)
    wait_for(lambda: exporter.asked or None, timeout_s=30, what="the question, with nothing recorded here")
    assert pipeline.metrics()["elsewhere"] == [], "nobody knows yet"
    exporter.appear()
    wait_for(lambda: not (ours.folder.exists() or unbound.folder.exists()) or None, timeout_s=60, what="ours")
    (waiting,) = wait_for(lambda: pipeline.metrics()["elsewhere"] or None, timeout_s=30, what="the look elsewhere")
    assert (waiting["destination"], waiting["events"]) == (f"another/{TOPIC}", 5)
    assert waiting["command"] == f"otel-feedback journal replay --take another/{TOPIC}"
    adopted = pipeline.metrics()["adopted"]
    assert sorted(adopted) == sorted([ours.producer_id, unbound.producer_id])
    assert len(exporter.sent) == 5
    assert pipeline.shutdown(10) is True
    assert theirs.folder.is_dir()


@pytest.mark.parametrize(
    ("destination", "address", "is_ours"),
    [
        ("mine/agent-outcomes", "anything:1/agent-outcomes", True),
        ("another/agent-outcomes", "kafka:9092/agent-outcomes", False),
        ("mine/other-topic", "kafka:9092/other-topic", False),
        ("kafka:9092/agent-outcomes", "", True),
        ("kafka:9092/agent-outcomes", "kafka:9092/agent-outcomes", True),
        ("x:1,KAFKA:9092/agent-outcomes", "", True),
        ("kafka/agent-outcomes", "", True),
        ("broker-1:9092/agent-outcomes", "", True),
        ("kafka:9093/agent-outcomes", "", False),
        ("kafka:9092/other-topic", "", False),
        ("localhost:19092/agent-outcomes", "", True),
        ("[::1]:19092/agent-outcomes", "", True),
    ],
)
def test_what_was_written_down_by_address_is_ours_where_a_server_is(
    destination: str, address: str, is_ours: bool
) -> None:
    where = KafkaDestination([SERVERS, "127.0.0.1:19092"], TOPIC)
    where.learn(ClusterSeen("mine", ["broker-1:9092"]))
    assert where.is_same(destination, address) is is_ours


def test_a_cluster_without_an_id_goes_by_its_address() -> None:
    where = KafkaDestination([SERVERS], TOPIC)
    assert where.learn(ClusterSeen(None, ["broker-1:9092"])) is None
    assert where.name == f"{SERVERS}/{TOPIC}"
    assert where.is_same(f"{SERVERS}/{TOPIC}", "")
    assert not where.is_same(f"another/{TOPIC}", f"{SERVERS}/{TOPIC}")


def test_what_is_said_to_be_undelivered_is_what_is_delivered(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = tmp_path / "outcomes.jsonl"
    directory = feedback.get_settings(service_name="agents").journal_dir
    left = {dead(directory, to(log), events=number % 3 + 1).producer_id: number % 3 + 1 for number in range(20)}
    feedback.configure(tracer_provider=TracerProvider(), service_name="agents", log_file=str(log))
    wait_for(lambda: not folders(directory) or None, timeout_s=60, what="all journals to be delivered")
    said = [re.search(r"process (\w+) ended with (\d+) events? undelivered", line) for line in caplog.messages]
    assert {match[1]: int(match[2]) for match in said if match} == left
    assert len(lines_in(log)) == sum(left.values())
