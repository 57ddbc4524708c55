"""`otel-feedback journal replay` to a real broker: what a killed process left arrives as that process's own."""

from __future__ import annotations

import json
import signal
import uuid
from pathlib import Path
from typing import Any

from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker
from tests.stack.kafka_clients import Record
from tests.stack.processes import free_port
from tests.support import run_cli, run_python

ACTIONS = 20

KILLED = f"""
    import os, signal
    import otel_feedback as feedback
    pipeline = feedback.configure(service_name="agents")
    for step in range({ACTIONS}):
        with feedback.action("step", run_id="run-1", metadata={{"step": step}}): pass
    feedback.action("open", run_id="run-1").__enter__()
    print(pipeline.producer_id, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def variables(servers: str, topic: str) -> dict[str, str]:
    return {
        "KAFKA_BOOTSTRAP_SERVERS": servers, "KAFKA_OUTCOME_TOPIC": topic, "ENABLE_OUTCOME_LOGGING": "false",
        "OTEL_SERVICE_NAME": "agents", "OTEL_TRACES_EXPORTER": "none",
    }  # fmt: skip


def die_without_kafka(servers: str, topic: str) -> str:
    """Act where nothing listens, then die; return the producer id."""
    killed = run_python(KILLED, variables(servers, topic))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    return killed.stdout.strip()


def journal(folder: Path, *arguments: str, **given: str) -> tuple[int, dict[str, Any]]:
    done = run_cli("journal", *arguments, "--json", variables=given, folder=folder)
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout)


def assert_its_own(records: list[Record], producer_id: str) -> None:
    """Everything is there once, in order, numbered by the process that died; the open action ended as lost."""
    headers = [dict(record.headers) for record in records]
    assert [header["producer_id"].decode() for header in headers] == [producer_id] * (ACTIONS + 1)
    assert [int(header["sequence"]) for header in headers] == list(range(ACTIONS + 1))
    events = [json.loads(record.value or b"") for record in records]
    assert [event["metadata"]["step"] for event in events[:-1]] == list(range(ACTIONS))
    assert (events[-1]["action_type"], events[-1]["error_type"]) == ("open", "process_lost")
    assert {record.key for record in records} == {b"run-1"}


def test_replay_when_the_broker_is_back(tmp_path: Path) -> None:
    topic = f"outcomes-{uuid.uuid4().hex[:8]}"
    with KafkaBroker.launch_own() as broker:
        broker.create_topic(topic, partitions=3)
        given = variables(broker.bootstrap_servers, topic)
        broker.kill()
        producer_id = die_without_kafka(broker.bootstrap_servers, topic)

        code, shown = journal(tmp_path, "replay", "--timeout", "1", **given)
        assert (code, shown["delivered"], shown["left"]) == (1, 0, ACTIONS + 1)
        (destination,) = shown["destinations"]
        assert destination["destination"] == f"{broker.bootstrap_servers}/{topic}"

        broker.start()
        code, shown = journal(tmp_path, "replay", **given)
        (row,) = shown["producers"]
        assert (code, row["producer_id"], row["delivered"], row["left"]) == (0, producer_id, ACTIONS + 1, 0)
        assert_its_own(kafka_clients.read_to_end(broker.bootstrap_servers, topic), producer_id)
        _, shown = journal(tmp_path, "inspect", **given)
        assert shown["services"][0]["journals"] == []


def test_replay_to_kafka_under_its_new_address(kafka_broker: KafkaBroker, tmp_path: Path) -> None:
    topic = f"outcomes-{uuid.uuid4().hex[:8]}"
    kafka_broker.create_topic(topic, partitions=3)
    old_servers = f"127.0.0.1:{free_port()}"
    producer_id = die_without_kafka(old_servers, topic)
    given = variables(kafka_broker.bootstrap_servers, topic)

    code, shown = journal(tmp_path, "replay", **given)
    (foreign,) = shown["not_touched"]
    assert (code, foreign["destination"], foreign["events"]) == (0, f"{old_servers}/{topic}", ACTIONS + 1)
    code, shown = journal(tmp_path, "replay", "--take", foreign["destination"], **given)
    assert (code, shown["taken"], shown["delivered"], shown["left"]) == (0, 1, ACTIONS + 1, 0)
    assert_its_own(kafka_clients.read_to_end(kafka_broker.bootstrap_servers, topic), producer_id)
