"""A Kafka destination is a cluster and a topic: another way there strands nothing, another cluster inherits nothing."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

import otel_feedback as feedback
from otel_feedback.cli.journal.survey import survey
from otel_feedback.journal.folder import folders
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from tests.journals.command import Made, dead, run, run_json
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker
from tests.stack.kafka_properties import CLUSTER_ID
from tests.stack.processes import free_port
from tests.stack.waiting import wait_for

pytestmark = pytest.mark.usefixtures("client")
OTHER_CLUSTER = "YW5vdGhlci1jbHVzdGVyIQ"
SERVICE = "agents"


@pytest.fixture(scope="module")
def broker() -> Iterator[KafkaBroker]:
    with KafkaBroker.launch_own() as running:
        yield running


@pytest.fixture(scope="module")
def other_broker() -> Iterator[KafkaBroker]:
    with KafkaBroker.launch_own(cluster_id=OTHER_CLUSTER) as running:
        yield running


@pytest.fixture
def topic(broker: KafkaBroker) -> str:
    name = f"outcomes-{uuid.uuid4().hex[:8]}"
    broker.create_topic(name)
    return name


@pytest.fixture
def directory() -> Path:
    return feedback.get_settings(service_name=SERVICE).journal_dir


def configured(servers: str, topic: str, monkeypatch: pytest.MonkeyPatch) -> FeedbackPipeline:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", servers)
    monkeypatch.setenv("KAFKA_OUTCOME_TOPIC", topic)
    monkeypatch.setenv("ENABLE_OUTCOME_LOGGING", "false")
    monkeypatch.setenv("OTEL_SERVICE_NAME", SERVICE)
    monkeypatch.delenv("OTEL_FEEDBACK_LOG_FILE", raising=False)
    return feedback.configure(tracer_provider=TracerProvider(shutdown_on_exit=False), journal_rescan_s=0.5)


def act(count: int) -> None:
    for _ in range(count):
        with feedback.action("step"):
            pass


def kafka(pipeline: FeedbackPipeline) -> dict[str, Any]:
    return pipeline.metrics()["exporters"]["kafka"]


def arrived(broker: KafkaBroker, topic: str) -> int:
    return len(kafka_clients.read_to_end(broker.bootstrap_servers, topic))


def by_name(servers: str) -> str:
    return servers.replace("127.0.0.1", "localhost")


def test_a_destination_is_the_cluster_from_the_first_connection_on(
    broker: KafkaBroker, topic: str, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.kill()
    pipeline = configured(broker.bootstrap_servers, topic, monkeypatch)
    act(3)
    assert kafka(pipeline)["destination"] == f"{broker.bootstrap_servers}/{topic}", "nobody has been reached"
    broker.start()
    assert pipeline.force_flush(120) is True
    assert kafka(pipeline)["destination"] == f"{CLUSTER_ID}/{topic}"

    def written_down() -> list[tuple[str, str]] | None:
        (folder,) = folders(directory)
        seen = survey(folder)
        names = [] if seen is None else [(cursor.destination, cursor.address) for cursor in seen.cursors or ()]
        return names if names[0][0].startswith(CLUSTER_ID) else None

    assert wait_for(written_down, timeout_s=60, what="the cursors file") == [
        (f"{CLUSTER_ID}/{topic}", f"{broker.bootstrap_servers}/{topic}")
    ]
    assert pipeline.shutdown(30) is True


@pytest.mark.parametrize("ways", ["by name", "more servers", "new address", "as it was"])
@pytest.mark.parametrize("is_bound", [True, False], ids=["of a cluster", "of an address"])
def test_another_way_to_the_same_cluster_strands_nothing(
    ways: str, is_bound: bool, broker: KafkaBroker, topic: str, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an address only are journals of older versions, and of processes that never reached the cluster."""
    servers = broker.bootstrap_servers
    before, after = {
        "by name": (by_name(servers), servers),
        "more servers": (servers, f"127.0.0.1:{free_port()},{servers}"),
        "new address": ("gone.invalid:9092" if is_bound else f"{servers},gone.invalid:9092", servers),
        "as it was": (servers, servers),
    }[ways]
    left = _left(directory, CLUSTER_ID if is_bound else None, before, topic, events=5)
    pipeline = configured(after, topic, monkeypatch)
    wait_for(lambda: not left.folder.exists() or None, timeout_s=120, what="what is pending to be delivered")
    assert arrived(broker, topic) == 5
    assert pipeline.metrics()["elsewhere"] == []
    assert pipeline.shutdown(30) is True


def _left(directory: Path, cluster_id: str | None, servers: str, topic: str, *, events: int) -> Made:
    """Make a journal that a dead process left, for a cluster, or for an address alone."""
    address = f"{servers}/{topic}"
    if cluster_id is None:
        return dead(directory, ("kafka", address), events=events)
    return dead(directory, ("kafka", f"{cluster_id}/{topic}"), events=events, addresses=[address])


@pytest.mark.parametrize("is_same_address", [True, False], ids=["same address", "another address"])
def test_another_cluster_inherits_nothing_without_the_command(
    is_same_address: bool,
    broker: KafkaBroker,
    other_broker: KafkaBroker,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    topic = f"outcomes-{uuid.uuid4().hex[:8]}"
    other_broker.create_topic(topic)
    servers = other_broker.bootstrap_servers
    old = f"{CLUSTER_ID}/{topic}"
    left = _left(directory, CLUSTER_ID, servers if is_same_address else broker.bootstrap_servers, topic, events=5)
    pipeline = configured(servers, topic, monkeypatch)
    act(2)
    assert pipeline.force_flush(120) is True
    (waiting,) = wait_for(lambda: pipeline.metrics()["elsewhere"] or None, timeout_s=60, what="the look elsewhere")
    command = f"otel-feedback journal replay --take {old}"
    assert (waiting["exporter"], waiting["destination"], waiting["journals"], waiting["events"]) == ("kafka", old, 1, 5)
    assert waiting["command"] == command
    said = [line for line in caplog.messages if command in line]
    assert len(said) == 1, "at the start, once"
    assert "5 events" in said[0]
    assert pipeline.metrics()["adopted"] == {}
    assert pipeline.shutdown(30) is True
    assert arrived(other_broker, topic) == 2

    from otel_feedback.cli.main import main

    assert main(["doctor", "--json"]) in (0, 1)
    shown = capsys.readouterr().out
    assert command in shown

    with caplog.at_level(logging.CRITICAL):
        code, shown = run_json(capsys, "replay")
        assert (code, shown["delivered"], left.folder.exists()) == (0, 0, True)
        assert [foreign["destination"] for foreign in shown["not_touched"]] == [old]
        _, text, _ = run(capsys, "replay")
        assert f"--take {old}" in text
        code, shown = run_json(capsys, "replay", "--take", old)
    assert (code, shown["taken"], shown["delivered"], left.folder.exists()) == (0, 1, 5, False)
    assert arrived(other_broker, topic) == 7


def test_a_cluster_that_is_replaced_while_a_process_runs(
    directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    topic = f"outcomes-{uuid.uuid4().hex[:8]}"
    port = free_port()
    with KafkaBroker.launch_own(port=port) as first:
        first.create_topic(topic)
        pipeline = configured(first.bootstrap_servers, topic, monkeypatch)
        act(1)
        assert pipeline.force_flush(120) is True
        first.kill()
    with KafkaBroker.launch_own(cluster_id=OTHER_CLUSTER, port=port) as second:
        second.create_topic(topic)

        def error() -> str | None:
            act(1)
            told = kafka(pipeline)["last_error"] or ""
            return told if "another_cluster" in told else None

        told = wait_for(error, timeout_s=100, poll_s=0.5, what="the other cluster to be noticed")
        assert f"--take {CLUSTER_ID}/{topic}" in told
        waiting = kafka(pipeline)["pending"]
        assert (kafka(pipeline)["healthy"], waiting >= 1) == (False, True)
        before = arrived(second, topic)
        assert pipeline.shutdown(1) is False
        assert arrived(second, topic) == before
        assert len(folders(directory)) == 1
