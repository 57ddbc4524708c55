"""The side lane on real brokers: what arrives where, and what happens when a topic or the broker is not as it should be."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec
import pytest

import otel_feedback as feedback
from otel_feedback.events import codec
from otel_feedback.events.record import Record
from otel_feedback.exporters.interface import Refusal
from otel_feedback.exporters.kafka.headers import record_headers
from otel_feedback.exporters.kafka.notices.notices import KafkaNotices
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker
from tests.stack.processes import free_port
from tests.stack.waiting import wait_until
from tools.sample import sample_record

REFUSAL = Refusal("policy", "PolicyViolationError: no")


class Side(NamedTuple):
    """A side lane and the topics around it."""

    notices: KafkaNotices
    servers: str
    topic: str

    def read(self, kind: str) -> list[kafka_clients.Record]:
        """Return what is on one of the topics, repeats dropped: the lane is at least once."""
        first: dict[Any, kafka_clients.Record] = {}
        for record in kafka_clients.read_to_end(self.servers, f"{self.topic}-{kind}"):
            first.setdefault((record.key, record.value, record.headers), record)
        return list(first.values())

    def values(self, kind: str) -> list[bytes | None]:
        return [record.value for record in self.read(kind)]


@contextmanager
def side(servers: str, *, login: str | None = None, **config: Any) -> Generator[Side]:
    topic = f"outcomes-{uuid.uuid4().hex[:12]}"
    made = KafkaNotices(feedback.KafkaConfig(bootstrap_servers=(login or servers,), topic=topic, **config))
    try:
        yield Side(made, servers, topic)
    finally:
        made.close(10)


def record(sequence: int, **fields: Any) -> Record:
    event = feedback.OutcomeEvent(action_type="a", status=feedback.OutcomeStatus.FAILURE, **fields)
    return msgspec.structs.replace(sample_record(), sequence=sequence, payload=codec.encode(event))


def test_dead_letters_and_the_account_arrive_on_topics_of_their_own(kafka_broker: KafkaBroker) -> None:
    """The topics come by themselves where the broker creates them."""
    with side(kafka_broker.bootstrap_servers) as lane:
        kafka_broker.create_topic(lane.topic)
        dead = sample_record()
        lane.notices.dead_letter(dead, Refusal("too_large", "MessageSizeTooLargeError: 10"))
        for number in range(3):
            lane.notices.audit("0" * 32, b'{"type":"loss","number":%d}' % number)
        assert lane.notices.flush(30) is True
        assert lane.notices.account() == {"sent": 4, "pending": 0, "lost": 0}

        [letter] = lane.read("dlq")
        assert (letter.key, letter.value) == (dead.key.encode(), dead.payload)
        assert list(letter.headers) == [
            *record_headers(dead),
            ("error.reason", b"too_large"),
            ("error.detail", b"MessageSizeTooLargeError: 10"),
            ("error.culprit", b"kafka"),
            ("original.topic", lane.topic.encode()),
        ]
        told = lane.read("audit")
        assert [(one.key, json.loads(one.value or b"")["number"]) for one in told] == [(b"0" * 32, n) for n in range(3)]
        assert {tuple(one.headers) for one in told} == {(("content-type", b"application/json"),)}
        assert kafka_clients.read_to_end(lane.servers, lane.topic) == [], "nothing goes to the outcome topic"


def test_a_dead_letter_dated_long_ago_is_kept(kafka_broker: KafkaBroker) -> None:
    """Kafka deletes by date, and its date may be why it was refused."""
    with side(kafka_broker.bootstrap_servers) as lane:
        kafka_broker.create_topic(f"{lane.topic}-dlq", 1, {"message.timestamp.before.max.ms": "3600000"})
        year_ago = sample_record().timestamp.replace(year=2001)
        lane.notices.dead_letter(msgspec.structs.replace(sample_record(), timestamp=year_ago), REFUSAL)
        assert lane.notices.flush(30) is True
        assert lane.values("dlq") == [sample_record().payload]


def test_dead_letters_that_are_too_large_there_as_well(kafka_broker: KafkaBroker) -> None:
    with side(kafka_broker.bootstrap_servers, compression="none") as lane:
        kafka_broker.create_topic(f"{lane.topic}-dlq", 1, {"max.message.bytes": "3000"})
        numbers: dict[str, Any] = {f"key-{i}": [10**15] * 64 for i in range(8)}
        dead = [record(0), record(1, stack_trace="x" * 9_000), record(2), record(3, metadata=numbers), record(4)]
        for one in dead:
            lane.notices.dead_letter(one, REFUSAL)
        lane.notices.audit("p", b"{}")
        assert lane.notices.flush(60) is True
        assert lane.notices.account() == {"sent": 6, "pending": 0, "lost": 0}

        letters = lane.read("dlq")
        assert [dict(letter.headers)["sequence"] for letter in letters] == [b"%d" % n for n in range(5)]
        values = [letter.value for letter in letters]
        assert [values[n] for n in (0, 2, 4)] == [dead[n].payload for n in (0, 2, 4)]
        trimmed = codec.decode(values[1] or b"")
        assert trimmed.metadata == {"otel_feedback.truncated": ["stack_trace"]}
        assert 0 < len(trimmed.stack_trace or "") < 9_000
        assert values[3] == b"", "the headers say what it was"


def test_what_is_refused_for_good_is_lost_and_counted(
    kafka_broker: KafkaBroker, caplog: pytest.LogCaptureFixture
) -> None:
    with side(kafka_broker.bootstrap_servers, compression="none") as lane:
        kafka_broker.create_topic(f"{lane.topic}-audit", 1, {"max.message.bytes": "1000"})
        for number in range(6):
            lane.notices.audit("p", b'"%d"' % number + b" " * (2_000 if number % 3 == 1 else 0))
        lane.notices.flush(60)
        assert lane.notices.account() == {"sent": 4, "pending": 0, "lost": 2}
        assert lane.values("audit") == [b'"0"', b'"2"', b'"3"', b'"5"']
        assert [line for line in ours(caplog) if "does not take a record (too_large" in line]


def ours(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.name.startswith("otel_feedback")]


# -- topics that are missing or shut -----------------------------------------------------------------------


class Guarded(NamedTuple):
    """A broker that creates no topics by itself; `login` is the listener where not everybody may do everything."""

    broker: KafkaBroker
    login: str


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    login = f"127.0.0.1:{free_port()}"
    plain = "PLAINTEXT://127.0.0.1:{broker_port}"
    module = "org.apache.kafka.common.security.plain.PlainLoginModule"
    properties = {
        "listeners": f"{plain},CONTROLLER://127.0.0.1:{{controller_port}},LOGIN://{login}",
        "advertised.listeners": f"{plain},LOGIN://{login}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,LOGIN:SASL_PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.login.plain.sasl.jaas.config": f'{module} required user_guest="right";',
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "auto.create.topics.enable": "false",
    }
    with KafkaBroker.launch_own(properties) as broker:
        yield Guarded(broker, login)


GUEST = {
    "security_protocol": "SASL_PLAINTEXT",
    "sasl_mechanism": "PLAIN",
    "sasl_plain_username": "guest",
    "sasl_plain_password": "right",
}


@pytest.mark.parametrize("missing", ["dlq", "audit"])
def test_a_topic_that_is_missing_is_told_and_waited_for(
    missing: str, guarded: Guarded, caplog: pytest.LogCaptureFixture
) -> None:
    there = "audit" if missing == "dlq" else "dlq"
    servers = guarded.broker.bootstrap_servers
    with side(servers) as lane:
        kafka_clients.create_topic(servers, f"{lane.topic}-{there}", 1, {}, 1)
        lane.notices.dead_letter(sample_record(), REFUSAL)
        lane.notices.audit("p", b"{}")
        wait_until(lambda: bool(ours(caplog)), timeout_s=30, what="the log line")
        assert lane.notices.flush(0) is False
        wait_until(lambda: lane.notices.account()["sent"] == 1, timeout_s=30, what="the other topic")
        assert len(lane.values(there)) == 1
        [line] = ours(caplog)
        assert line == (
            f"records wait for {lane.topic}-{missing}, 1 by now: there is no topic {lane.topic}-{missing}, or this "
            "client may not see it: create it: `otel-feedback topics`"
        )
        assert {one.levelno for one in caplog.records if one.name.startswith("otel_feedback")} == {logging.WARNING}
        kafka_clients.create_topic(servers, f"{lane.topic}-{missing}", 1, {}, 1)
        assert lane.notices.flush(30) is True
        assert len(lane.values(missing)) == 1


@pytest.mark.parametrize("granted", [(), ("DESCRIBE",)])
def test_a_topic_that_may_not_be_written_is_told_and_waited_for(
    granted: tuple[str, ...], guarded: Guarded, caplog: pytest.LogCaptureFixture
) -> None:
    servers = guarded.broker.bootstrap_servers
    with side(servers, login=guarded.login, client_options=GUEST) as lane:
        for kind in ("dlq", "audit"):
            kafka_clients.create_topic(servers, f"{lane.topic}-{kind}", 1, {}, 1)
        kafka_clients.allow(servers, "guest", "WRITE", f"{lane.topic}-audit")
        for operation in granted:
            kafka_clients.allow(servers, "guest", operation, f"{lane.topic}-dlq")
        lane.notices.dead_letter(sample_record(), REFUSAL)
        lane.notices.audit("p", b"{}")
        wait_until(lambda: bool(ours(caplog)), timeout_s=30, what="the log line")
        wait_until(lambda: lane.notices.account()["sent"] == 1, timeout_s=30, what="the other topic")
        assert len(lane.values("audit")) == 1
        [line] = ours(caplog)
        # without DESCRIBE a broker does not say whether there is such a topic
        assert ("may not write" in line) or ("may not see it" in line)
        if granted:
            assert f"this client may not write to {lane.topic}-dlq: grant it WRITE and DESCRIBE" in line
        kafka_clients.allow(servers, "guest", "WRITE", f"{lane.topic}-dlq")
        assert lane.notices.flush(30) is True
        assert len(lane.values("dlq")) == 1
