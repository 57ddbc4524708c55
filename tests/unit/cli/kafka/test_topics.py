"""`otel-feedback topics` where there is no broker: one line of what is wrong, one of what to do, exit code 1."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from otel_feedback import KafkaConfig
from otel_feedback.cli.kafka.topics import topic_names
from tests.pace import slowness
from tests.support import run_cli


def test_the_outcome_topic_and_those_beside_it_are_named_by_the_setting() -> None:
    streams = ("agent-metrics", "agent-metrics-refused", "agent-outcomes-latest", "agent-alerts")
    side = ("agent-outcomes-dlq", "agent-outcomes-audit")
    assert topic_names(KafkaConfig()) == ("agent-outcomes", "agent-feedback", *side, *streams)
    mine = KafkaConfig(topic="mine", feedback_topic="ours.{tenant}")
    assert topic_names(mine) == ("mine", "ours", "mine-dlq", "mine-audit", *streams)
    assert topic_names(KafkaConfig(topic="agent-alerts"))[0] == "agent-alerts"
    assert topic_names(KafkaConfig(topic="agent-alerts")).count("agent-alerts") == 1


@pytest.mark.parametrize(
    ("variables", "found", "todo"),
    [
        ({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}, "127.0.0.1:1: connection refused", "docker compose up -d"),
        (
            {"KAFKA_BOOTSTRAP_SERVERS": "kafka.invalid:9092"},
            "the name kafka.invalid does not resolve", "correct KAFKA_BOOTSTRAP_SERVERS",
        ),
        ({"KAFKA_BATCH_SIZE": "many"}, "KAFKA_BATCH_SIZE='many': expected a whole number", "correct it"),
        ({"KAFKA_BOOTSTRAP_SERVERS": "kafka"}, "KAFKA_BOOTSTRAP_SERVERS='kafka': expected host:port", "correct it"),
    ],
)  # fmt: skip
def test_what_is_wrong_and_what_to_do(tmp_path: Path, variables: dict[str, str], found: str, todo: str) -> None:
    done = run_cli("topics", variables=variables, folder=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    error, advice = done.stderr.splitlines()
    assert error.startswith("error: ")
    assert found in error
    assert advice.startswith("  -> ")
    assert todo in advice


def test_something_that_listens_and_never_answers(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        done = run_cli("topics", "--bootstrap-servers", address, folder=tmp_path)
        assert time.monotonic() - began < 10 * slowness()
    assert done.returncode == 1
    assert "does not answer" in done.stderr
    assert (done.stdout, "Traceback" in done.stderr) == ("", False)


def test_an_option_that_cannot_be_used_is_what_has_to_be_corrected(tmp_path: Path) -> None:
    done = run_cli("topics", "--bootstrap-servers", "here", folder=tmp_path)
    assert done.stderr.splitlines()[1] == "  -> correct --bootstrap-servers"
