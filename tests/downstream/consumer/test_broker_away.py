"""A broker that comes later, dies and comes back, or is away at the end; and dead letters that nobody takes yet."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

import otel_feedback as feedback
from otel_feedback.downstream import AsyncOutcomeConsumer, OutcomeConsumer, ReceivedEvent
from otel_feedback.downstream.consumer.consuming import END_S
from tests.downstream.topics import QUICK, Topic, event
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker
from tests.stack.processes import LOOPBACK, free_port
from tests.stack.waiting import wait_until

NAME = "outcomes"
IMPATIENT = {**QUICK, "metadata_max_age_ms": 1_000, "reconnect_backoff_max_ms": 1_000}


class Reader:
    """A consumer of either kind on a thread of its own, and the numbers of the events that it has handled."""

    def __init__(self, kind: str, servers: str, **security: Any) -> None:
        self.handled: list[str] = []
        config = feedback.KafkaConfig(bootstrap_servers=(servers,), topic=NAME, client_options=security)
        self.consumer: OutcomeConsumer | AsyncOutcomeConsumer
        if kind == "plain":
            self.consumer = plain = OutcomeConsumer(kind, kafka=config, kafka_options=IMPATIENT, commit_interval_s=0.05)
            self.thread = threading.Thread(target=plain.run, args=[self._handle], daemon=True)
        else:
            self.consumer = other = AsyncOutcomeConsumer(
                kind, kafka=config, kafka_options=IMPATIENT, commit_interval_s=0.05
            )
            self.thread = threading.Thread(target=lambda: asyncio.run(other.run(self._handle_soon)), daemon=True)
        self.thread.start()

    def _handle(self, received: ReceivedEvent) -> None:
        self.handled.append(received.event_id)

    async def _handle_soon(self, received: ReceivedEvent) -> None:
        self._handle(received)

    def stop(self) -> None:
        self.consumer.stop()
        self.thread.join(60)
        assert not self.thread.is_alive()


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def readers(port: int) -> Iterator[list[Reader]]:
    """One of each kind, which look for a broker that may not be there yet."""
    made = [Reader(kind, f"{LOOPBACK}:{port}") for kind in ("plain", "async")]
    yield made
    for reader in made:
        reader.consumer.stop()


def produce(broker: KafkaBroker, numbers: range) -> None:
    encoded = [event(number).to_json().encode() for number in numbers]
    kafka_clients.produce(broker.bootstrap_servers, NAME, encoded)


def wait_for(readers: list[Reader], count: int) -> None:
    wait_until(
        lambda: all(len(set(reader.handled)) == count for reader in readers), timeout_s=90, what=f"{count} events"
    )


@pytest.mark.brief
def test_a_broker_that_comes_later_dies_and_comes_back_costs_no_event(
    readers: list[Reader], port: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Both say what they wait for; begin when it is there, and its topic; and go on where they were after a crash."""
    wait_until(lambda: caplog.text.count("cannot read outcomes yet") == 2, timeout_s=60, what="what is wrong")
    told = [line for line in caplog.text.splitlines() if "cannot read outcomes yet" in line]
    assert all("(KafkaConnectionError: 111 ECONNREFUSED" in line for line in told), "with the reason"
    said = Counter((record.name, record.lineno) for record in caplog.records if record.name.startswith("kafka."))
    assert max(said.values(), default=0) <= 3, "kafka-python says it at each try, and is heard once a minute"
    with KafkaBroker.launch_own(port=port) as broker:
        wait_until(
            lambda: all(reader.consumer.metrics()["rebalances"] for reader in readers), timeout_s=60, what="both"
        )
        broker.create_topic(NAME, 3)  # which reading has not made, with as many partitions as brokers give by default
        produce(broker, range(100))
        wait_for(readers, 100)
        broker.kill()
        time.sleep(1)
        broker.start()
        produce(broker, range(100, 200))
        wait_for(readers, 200)
        for reader in readers:
            reader.stop()
        for group in ("plain", "async"):
            assert sum(kafka_clients.committed(broker.bootstrap_servers, group, NAME).values()) == 200
    assert [len(reader.handled) for reader in readers] == [200, 200], "what came again was known"


def test_the_end_waits_for_no_broker_that_never_came() -> None:
    """There is nothing to commit and no group to leave: the end waits for no attempt that is under way."""
    config = feedback.KafkaConfig(bootstrap_servers=(f"{LOOPBACK}:{free_port()}",), topic=NAME)
    consumer = OutcomeConsumer("plain", kafka=config, kafka_options={"bootstrap_timeout_ms": 600_000})
    with consumer:
        wait_until(
            lambda: any("kafka-io" in thread.name for thread in threading.enumerate()), timeout_s=60, what="a try"
        )
        began = time.monotonic()
        consumer.stop()
        assert list(consumer) == []
    assert time.monotonic() - began < END_S / 2, "an end that waits takes as long as it may"


def test_a_broker_that_is_away_at_the_end_keeps_nobody(readers: list[Reader], port: int) -> None:
    """They end within what a commit and a farewell may take; what could not be committed is read again."""
    with KafkaBroker.launch_own(port=port) as broker:
        broker.create_topic(NAME, 3)
        produce(broker, range(100))
        wait_for(readers, 100)
        broker.kill()
        for reader in readers:
            reader.stop()
        broker.start()
        again = Reader("plain", broker.bootstrap_servers)
        produce(broker, range(100, 150))
        wait_until(
            lambda: {f"event-{number:06d}" for number in range(100, 150)} <= set(again.handled),
            timeout_s=90,
            what="more",
        )
        again.stop()
        assert sum(kafka_clients.committed(broker.bootstrap_servers, "plain", NAME).values()) == 150


LOGIN = {
    "security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN", "sasl_plain_username": "reader",
    "sasl_plain_password": "right",
}  # fmt: skip


def launch_strict(login: str) -> KafkaBroker:
    """Start a broker that makes no topics on demand, with a second door, by login; what nobody has rights to is open."""
    plain_module = "org.apache.kafka.common.security.plain.PlainLoginModule"
    open_door = f"PLAINTEXT://{LOOPBACK}:{{broker_port}}"
    return KafkaBroker.launch_own(
        {
            "listeners": f"{open_door},CONTROLLER://{LOOPBACK}:{{controller_port}},SASL_PLAINTEXT://{login}",
            "advertised.listeners": f"{open_door},SASL_PLAINTEXT://{login}",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_plaintext.plain.sasl.jaas.config": f'{plain_module} required user_reader="right";',
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            "allow.everyone.if.no.acl.found": "true",
            "auto.create.topics.enable": "false",
        }
    )


@pytest.mark.parametrize("kind", [pytest.param("missing", marks=pytest.mark.brief), "forbidden"])
def test_a_dead_letter_that_its_topic_does_not_take_waits_and_says_so(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody has made the topic, or granted it: what comes after is not committed, and it goes out once somebody has."""
    login = f"{LOOPBACK}:{free_port()}"
    letters = f"{NAME}-dlq"
    why = {"missing": f"there is no topic {letters}", "forbidden": f"this client may not write to {letters}"}[kind]
    todo = {"missing": "create it: `otel-feedback topics`", "forbidden": "grant it WRITE and DESCRIBE"}[kind]
    with launch_strict(login) as broker:
        servers = broker.bootstrap_servers
        topic = Topic(broker, NAME)
        broker.create_topic(NAME, 1)
        if kind == "forbidden":
            broker.create_topic(letters, 1)
            kafka_clients.allow(servers, "somebody-else", "ALL", letters)
        values = [event(1).to_json().encode(), b"no event", event(2).to_json().encode()]
        kafka_clients.produce(servers, NAME, values)
        first = Reader("plain", login, **LOGIN)
        wait_until(lambda: first.consumer.metrics()["letters_waiting"] == 1, timeout_s=60, what="a letter that waits")
        wait_until(lambda: f"records wait for {letters}, 1 by now: {why}" in caplog.text, timeout_s=60, what="why")
        assert todo in caplog.text
        first.stop()
        assert first.handled == ["event-000001"]
        assert topic.committed("plain") == {0: 1}, "the end gives it up, and the next reader has it again"
        second = Reader("plain", login, **LOGIN)
        wait_until(lambda: second.consumer.metrics()["letters_waiting"] == 1, timeout_s=60, what="a letter that waits")
        if kind == "missing":
            broker.create_topic(letters, 1)
        else:
            kafka_clients.allow(servers, "reader", "ALL", letters)
        wait_until(lambda: second.handled == ["event-000002"], timeout_s=60, what="what comes after it")
        second.stop()
        told = second.consumer.metrics()
        assert (told["letters_waiting"], told["dead_letters"]) == (0, 1)
        assert [letter.value for letter in topic.letters()] == [b"no event"]
        assert topic.committed("plain") == {0: 3}
