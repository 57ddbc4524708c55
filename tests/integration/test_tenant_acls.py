"""The grants of docs/tenants.md on a broker with an authorizer: no tenant reads another's topic, nor writes as another."""

from __future__ import annotations

import os
import re
import shlex
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka.errors import TopicAuthorizationFailedError
from opentelemetry.sdk.trace import TracerProvider

import otel_feedback as feedback
from otel_feedback.downstream import OutcomeConsumer
from otel_feedback.downstream.topic.reading import TopicMissingError, open_reader
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from otel_feedback.settings.kafka import KafkaConfig
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker
from tests.stack.kafka_tools import run_tools
from tests.stack.processes import LOOPBACK, free_port
from tests.stack.waiting import wait_until
from tests.support import ROOT, run_cli

BASE = "agent-outcomes"
OF_EACH = f"{BASE}.{{tenant}}"
USERS = ("platform", "acme", "globex")
ACL = re.compile(r"^kafka-acls\.sh .*$", re.MULTILINE)


class Strict:
    """A broker with an authorizer, and a login for each user, whose password is its name."""

    def __init__(self, broker: KafkaBroker, login: str) -> None:
        self.broker = broker
        self.servers = broker.bootstrap_servers  # all rights
        self.login = login

    def variables(self, user: str, topic: str = OF_EACH) -> dict[str, str]:
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.login, "KAFKA_OUTCOME_TOPIC": topic,
            "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "KAFKA_SASL_MECHANISM": "PLAIN",
            "KAFKA_SASL_PLAIN_USERNAME": user, "KAFKA_SASL_PLAIN_PASSWORD": user,
        }  # fmt: skip

    def config(self, user: str, topic: str = OF_EACH) -> KafkaConfig:
        options = {
            "security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN", "sasl_plain_username": user,
            "sasl_plain_password": user,
        }  # fmt: skip
        sends_by = os.environ.get("KAFKA_SENDER", "thread")
        return KafkaConfig(bootstrap_servers=(self.login,), topic=topic, sender=sends_by, client_options=options)

    def configure(self, user: str, topic: str = OF_EACH, **settings: Any) -> FeedbackPipeline:
        return feedback.configure(
            tracer_provider=TracerProvider(shutdown_on_exit=False), kafka=self.config(user, topic), enable_kafka=True,
            **settings,
        )  # fmt: skip

    def tenants_on(self, topic: str) -> list[str | None]:
        records = kafka_clients.read_to_end(self.servers, topic)
        return [feedback.OutcomeEvent.from_json(record.value or b"").tenant_id for record in records]


@pytest.fixture(scope="module")
def strict() -> Iterator[Strict]:
    login = f"SASL_PLAINTEXT://{LOOPBACK}:{free_port()}"
    open_door = f"PLAINTEXT://{LOOPBACK}:{{broker_port}}"
    users = " ".join(f'user_{user}="{user}"' for user in USERS)
    module = "org.apache.kafka.common.security.plain.PlainLoginModule"
    properties = {
        "listeners": f"{open_door},CONTROLLER://{LOOPBACK}:{{controller_port}},{login}",
        "advertised.listeners": f"{open_door},{login}",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_plaintext.plain.sasl.jaas.config": f"{module} required {users};",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "num.partitions": "2",
    }
    with KafkaBroker.launch_own(properties) as broker:
        for name in (BASE, f"{BASE}-dlq", f"{BASE}-audit", f"{BASE}.acme", f"{BASE}.globex"):
            broker.create_topic(name, 2)
        commands = ACL.findall((ROOT / "docs" / "tenants.md").read_text(encoding="utf-8"))
        assert len(commands) >= 6
        run_tools(broker.bootstrap_servers, [shlex.split(command) for command in commands])
        yield Strict(broker, login.partition("://")[2])


def act(*tenants: str) -> None:
    for tenant in tenants:
        with feedback.action("step", agent="a", tenant_id=tenant):
            pass


def test_a_tenant_writes_as_no_other_and_its_own_events_go_on(strict: Strict, tmp_path: Path) -> None:
    pipeline = strict.configure("acme", service_name="of-acme", journal_dir=str(tmp_path))
    kafka_clients.allow(strict.servers, "acme", "WRITE", f"{BASE}.nowhere")  # which is not there, and it may make none
    act("globex", *["acme"] * 20, "nowhere", "globex")

    def kafka() -> dict[str, Any]:
        return pipeline.metrics()["exporters"]["kafka"]

    wait_until(lambda: kafka()["delivered"] == 20, timeout_s=60, what="what is its own to be delivered")
    wait_until(lambda: not kafka()["pending"], timeout_s=60, what="what is not to be refused")
    assert kafka()["lost"] == {"topic_forbidden": 2, "topic_missing": 1}
    act("globex", "acme")  # it is known by now
    assert pipeline.force_flush(60) is False
    assert (kafka()["delivered"], kafka()["lost"]) == (21, {"topic_forbidden": 3, "topic_missing": 1})
    pipeline.shutdown(1)
    assert strict.tenants_on(f"{BASE}.acme") == ["acme"] * 21
    assert strict.tenants_on(f"{BASE}.globex") == []

    strict.broker.create_topic(f"{BASE}.nowhere")
    kafka_clients.allow(strict.servers, "acme", "WRITE", f"{BASE}.globex")
    try:
        variables = {**strict.variables("acme"), "OTEL_FEEDBACK_JOURNAL_DIR": str(tmp_path), "ENABLE_KAFKA": "true"}
        done = run_cli("journal", "replay", "--quarantine", variables={**variables, "OTEL_SERVICE_NAME": "of-acme"})
        assert done.returncode == 0, done.stdout + done.stderr
        assert strict.tenants_on(f"{BASE}.globex") == ["globex"] * 3
        assert strict.tenants_on(f"{BASE}.nowhere") == ["nowhere"]
    finally:
        for name in ("globex", "nowhere"):
            kafka_clients.disallow(strict.servers, "acme", "WRITE", f"{BASE}.{name}")


def test_a_tenant_reads_no_other(strict: Strict) -> None:
    """Neither what it asks for by name, nor by the pattern; one who may read all does."""
    pipeline = strict.configure("platform")
    act("acme", "globex")
    assert pipeline.force_flush(60), pipeline.metrics()
    with open_reader(strict.config("acme"), "test", lambda *_: None) as reader:
        assert {place.topic for place in reader.partitions(OF_EACH)} == {f"{BASE}.acme"}
        assert {
            feedback.OutcomeEvent.from_json(record.value).tenant_id
            for record in reader.read(reader.partitions(OF_EACH))
        } == {"acme"}
        with pytest.raises(TopicMissingError):
            reader.partitions(f"{BASE}.globex")
        kafka_clients.allow(strict.servers, "acme", "DESCRIBE", f"{BASE}.globex")
        try:  # to see that it is there, and how far it goes, is not to read it
            places = reader.partitions(f"{BASE}.globex")
            with pytest.raises(TopicAuthorizationFailedError):
                list(reader.read(places))
        finally:
            kafka_clients.disallow(strict.servers, "acme", "DESCRIBE", f"{BASE}.globex")
    with open_reader(strict.config("platform"), "test", lambda *_: None) as reader:
        assert {place.topic for place in reader.partitions(OF_EACH)} >= {BASE, f"{BASE}.acme", f"{BASE}.globex"}


def test_what_a_tenant_says_of_another_on_its_own_topic_counts_for_nobody(strict: Strict) -> None:
    pipeline = strict.configure("acme", f"{BASE}.acme")
    act("globex")
    pipeline.force_flush(60)
    pipeline.shutdown(1)
    given: list[tuple[str, str | None]] = []
    consumer = OutcomeConsumer("readers", kafka=strict.config("platform"), stop_on_signals=False)
    reading = threading.Thread(
        target=consumer.run, args=(lambda event: given.append((event.position.topic, event.tenant_id)),)
    )
    reading.start()
    try:
        wait_until(lambda: consumer.metrics()["dead_letters"] == 1, timeout_s=60, what="a dead letter")
    finally:
        consumer.stop()
        reading.join()
    assert all(topic in (BASE, f"{BASE}.{tenant}") for topic, tenant in given)
    letters = [dict(record.headers) for record in kafka_clients.read_to_end(strict.servers, f"{BASE}-dlq")]
    assert any(
        told["original.topic"] == f"{BASE}.acme".encode() and b"globex" in told["error.detail"] for told in letters
    )
