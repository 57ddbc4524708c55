"""Kafka under the options of the interpreter that change how libraries behave: each delivers, and the doctor says so."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.integration.test_kafka import new_topic
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker
from tests.support import environment

PROGRAM = """
import otel_feedback as feedback
pipeline = feedback.configure()
for step in range(20):
    with feedback.action("step"): pass
assert pipeline.force_flush(40) or 1
print(pipeline.metrics()["exporters"]["kafka"])
pipeline.shutdown(5)
"""


@pytest.mark.parametrize(
    "options", [["-O"], ["-OO"], ["-W", "error"], ["-X", "dev"], ["-O", "-W", "error"]], ids=" ".join
)
def test_events_arrive(options: list[str], client: str, kafka_broker: KafkaBroker) -> None:
    topic = new_topic(kafka_broker, partitions=2)
    kafka_broker.create_topic(f"{topic}-dlq")
    kafka_broker.create_topic(f"{topic}-audit")
    given = environment(
        KAFKA_BOOTSTRAP_SERVERS=kafka_broker.bootstrap_servers, KAFKA_OUTCOME_TOPIC=topic,
        KAFKA_CLIENT=client, OTEL_TRACES_EXPORTER="none", ENABLE_OUTCOME_LOGGING="false",
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, *options, "-c", PROGRAM], env=given, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert len(kafka_clients.read_to_end(kafka_broker.bootstrap_servers, topic)) == 20
    doctor = subprocess.run(
        [sys.executable, *options, "-m", "otel_feedback", "doctor"],
        env=given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
