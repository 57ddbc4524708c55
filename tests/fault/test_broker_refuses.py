"""A broker that is there and says no: to large records, to an unknown topic, to a user without the right to write."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

import pytest

import otel_feedback as feedback
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from tests.fault.stream import (
    DELIVERY_TIMEOUT_S,
    SLOWER_AT_MOST,
    Stream,
    account,
    arrivals,
    assert_everything_arrived,
    configure,
    median_without_kafka_s,
)
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker
from tests.stack.processes import LOOPBACK, free_port
from tests.stack.waiting import wait_for, wait_until

pytestmark = pytest.mark.usefixtures("client")
MOST_BYTES = 2_000
PATIENT_TOPIC = {"max.message.bytes": "1048588"}
USER = "agent"
PAUSE_S = 0.01


class Strict(NamedTuple):
    """A broker with an authorizer, small records, no topics on demand, and two doors: all rights, and a login."""

    broker: KafkaBroker
    login: str

    @property
    def bootstrap_servers(self) -> str:
        return self.broker.bootstrap_servers

    def configure_as_user(self, topic: str) -> FeedbackPipeline:
        return configure(
            self.login,
            topic,
            kafka_security_protocol="SASL_PLAINTEXT",
            kafka_sasl_mechanism="PLAIN",
            kafka_sasl_plain_username=USER,
            kafka_sasl_plain_password="right",
        )

    def allow(self, operation: str, topic: str) -> None:
        kafka_clients.allow(self.bootstrap_servers, USER, operation, topic)

    def disallow(self, operation: str, topic: str) -> None:
        kafka_clients.disallow(self.bootstrap_servers, USER, operation, topic)


@pytest.fixture(scope="module")
def strict() -> Iterator[Strict]:
    login = f"SASL_PLAINTEXT://{LOOPBACK}:{free_port()}"
    open_door = f"PLAINTEXT://{LOOPBACK}:{{broker_port}}"
    plain_module = "org.apache.kafka.common.security.plain.PlainLoginModule"
    properties = {
        "listeners": f"{open_door},CONTROLLER://{LOOPBACK}:{{controller_port}},{login}",
        "advertised.listeners": f"{open_door},{login}",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl_plaintext.plain.sasl.jaas.config": f'{plain_module} required user_{USER}="right";',
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "auto.create.topics.enable": "false",
        "message.max.bytes": str(MOST_BYTES),
    }
    with KafkaBroker.launch_own(properties) as broker:
        yield Strict(broker, login.partition("://")[2])


def wait_for_error(pipeline: FeedbackPipeline) -> str:
    def last_error() -> str | None:
        return account(pipeline)["last_error"]

    return wait_for(last_error, timeout_s=30, what="an error to be told")


# -- records that are too large ----------------------------------------------------------------------------------


def fail_deep_down(depth: int) -> None:
    # in turns, since a stack trace abridges a function that calls itself
    if depth == 0:
        raise RuntimeError("deep down")
    fail_deeper_down(depth - 1)


def fail_deeper_down(depth: int) -> None:
    fail_deep_down(depth)


def large_metadata(act: feedback.Action, text: str) -> None:
    act.set_metadata(text=text)


def large_message(act: feedback.Action, text: str) -> None:
    act.fail(RuntimeError(text))


def large_stack(act: feedback.Action, text: str) -> None:
    try:
        fail_deep_down(60)
    except RuntimeError as exc:
        act.fail(exc)


def large_numbers(act: feedback.Action, text: str) -> None:
    """There is no text to cut here: numbers stay, and so do the names of fields."""
    act.set_metadata({f"a measure with a long name {i:02}": 10**17 + i for i in range(60)})


GROW = (large_metadata, large_message, large_stack, large_numbers)


class MixedActions:
    """Small events and, in every fourth step, large ones: by metadata, error message, stack trace or many numbers."""

    def __init__(self) -> None:
        self.large: dict[str, int] = {}  # event id to bytes
        self.small: dict[str, int] = {}

    def __call__(self, run: str, number: int) -> str:
        is_large = number % 4 == 1
        with feedback.action("step", run_id=run, metadata={"step": number}) as act:
            if is_large:
                grow = GROW[len(self.large) % len(GROW)]
                grow(act, random.Random(f"{run} {number}").randbytes(MOST_BYTES).hex())
        assert act.event is not None
        (self.large if is_large else self.small)[act.event_id] = len(act.event.to_json())
        return act.event_id


def test_records_that_are_too_large_block_no_others(strict: Strict, client: str) -> None:
    """Each is on the topic, cut to fit or not, or counted as lost; small ones all arrive, in order."""
    topic = f"small-records-{client}"
    strict.broker.create_topic(topic, partitions=3)
    mixed = MixedActions()
    pipeline = configure(strict.bootstrap_servers, topic, kafka_compression="none")
    with Stream(pause_s=PAUSE_S, act=mixed) as stream:
        stream.wait_for_steps(8)
    assert min(mixed.large.values()) > MOST_BYTES
    assert max(mixed.small.values()) < MOST_BYTES / 2
    pipeline.force_flush(DELIVERY_TIMEOUT_S)  # false where something is lost

    kafka = account(pipeline)
    assert (kafka["appended"], kafka["pending"]) == (len(stream.sent), 0)
    assert set(kafka["lost"]) <= {"too_large"}
    arrived = arrivals(stream.sent, strict.bootstrap_servers, topic)
    assert (len(arrived.seen), len(arrived.missing)) == (kafka["delivered"], sum(kafka["lost"].values()))
    assert arrived.missing <= mixed.large.keys(), "only large ones are missing"
    print(f"\n{len(stream.sent)} events, {len(mixed.large)} large, {arrived.repeats} sent twice, {kafka['lost']}")
    pipeline.shutdown(10)


# -- a topic that is not there -----------------------------------------------------------------------------------


@pytest.mark.brief
def test_events_wait_for_a_topic_that_comes_later(strict: Strict, client: str) -> None:
    topic = f"comes-later-{client}"
    off_s = median_without_kafka_s(100, PAUSE_S)
    pipeline = configure(strict.bootstrap_servers, topic)
    with Stream(pause_s=PAUSE_S) as stream:
        stream.wait_for_steps(100)
        wait_for_error(pipeline)
        without_topic_s = stream.median_s
        kafka = account(pipeline)
        assert (kafka["delivered"], kafka["lost"], kafka["healthy"]) == (0, {}, False)
        assert kafka["pending"] >= 100
        strict.broker.create_topic(topic, partitions=3, config=PATIENT_TOPIC)
        stream.wait_for_steps(100)
    assert_everything_arrived(pipeline, stream, strict.bootstrap_servers, topic)
    assert pipeline.shutdown(10) is True
    ratio = without_topic_s / off_s
    print(f"action without its topic / with Kafka off: {ratio:.2f}")
    assert ratio < SLOWER_AT_MOST


def test_the_error_names_the_topic_that_is_not_there(strict: Strict) -> None:
    pipeline = configure(strict.bootstrap_servers, "never-comes")
    with feedback.action("step"):
        pass
    error = wait_for_error(pipeline)
    pipeline.shutdown(0)
    assert "never-comes" in error


# -- a user without the right to write ---------------------------------------------------------------------------


@pytest.mark.parametrize("may", ["nothing", "DESCRIBE"])
def test_events_wait_for_the_right_to_write(may: str, strict: Strict, client: str) -> None:
    topic = f"user-may-{may.lower()}-{client}"
    strict.broker.create_topic(topic, partitions=3, config=PATIENT_TOPIC)
    if may != "nothing":
        strict.allow(may, topic)
    pipeline = strict.configure_as_user(topic)
    with Stream() as stream:
        assert "AuthorizationFailed" in wait_for_error(pipeline)
        stream.wait_for_steps(50)
        kafka = account(pipeline)
        assert (kafka["delivered"], kafka["lost"], kafka["healthy"]) == (0, {}, False)
        strict.allow("WRITE", topic)
        stream.wait_for_steps(50)
    assert_everything_arrived(pipeline, stream, strict.bootstrap_servers, topic)
    assert pipeline.shutdown(10) is True


def test_a_right_that_is_taken_away_and_given_back(strict: Strict, client: str) -> None:
    topic = f"user-may-again-{client}"
    strict.broker.create_topic(topic, partitions=3, config=PATIENT_TOPIC)
    strict.allow("WRITE", topic)
    pipeline = strict.configure_as_user(topic)
    with Stream() as stream:
        wait_until(lambda: account(pipeline)["delivered"] > 100, timeout_s=30, what="events to be delivered")
        strict.disallow("WRITE", topic)
        assert "AuthorizationFailed" in wait_for_error(pipeline)
        kafka = account(pipeline)
        assert kafka["pending"] > 0
        strict.allow("WRITE", topic)
        stream.wait_for_steps(50)
    assert_everything_arrived(pipeline, stream, strict.bootstrap_servers, topic)
    assert pipeline.shutdown(10) is True
