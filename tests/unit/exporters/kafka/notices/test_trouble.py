"""The side lane while Kafka, a topic or the interpreter is not as it should be, and its end.

`tests/integration/test_kafka_notices*.py` show the same on real brokers.
"""

from __future__ import annotations

import threading
from typing import Any

import msgspec
import pytest

from otel_feedback.exporters.interface import Refusal
from otel_feedback.exporters.kafka.notices.notices import KafkaNotices
from tests.stack.waiting import wait_until
from tests.unit.exporters.kafka.notices.fakes import (
    CONFIG,
    REFUSAL,
    FakeFuture,
    FakeKafka,
    FakeProducer,
    TopicAuthorizationFailedError,
    record,
    threads,
)


@pytest.mark.parametrize("missing", ["mine-dlq", "mine-audit"])
def test_a_topic_that_is_missing_holds_up_only_its_own(
    missing: str, notices: KafkaNotices, kafka: FakeKafka, caplog: pytest.LogCaptureFixture
) -> None:
    kafka.topics.discard(missing)
    [there] = kafka.topics
    for _ in range(2):
        notices.audit("p", b"a")
        notices.dead_letter(record(), REFUSAL)
        assert notices.flush(0.5) is False
    assert len(kafka.values(there)) == 2
    assert notices.account() == {"sent": 2, "pending": 2, "lost": 0}
    [line] = [one.getMessage() for one in caplog.records]
    assert f"there is no topic {missing}" in line
    assert "`otel-feedback topics`" in line
    kafka.topics.add(missing)
    assert notices.flush(5) is True
    assert len(kafka.values(missing)) == 2


@pytest.mark.parametrize("where", ["metadata", "send"])
def test_a_topic_that_may_not_be_written(
    where: str, notices: KafkaNotices, kafka: FakeKafka, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    denied = {"mine-dlq"}

    def partitions_for(self: FakeProducer, topic: str) -> set[int]:
        if where == "metadata" and topic in denied:
            raise TopicAuthorizationFailedError(topic)
        return {0}

    monkeypatch.setattr(FakeProducer, "partitions_for", partitions_for)
    kafka.judge = lambda topic, value: TopicAuthorizationFailedError(topic) if topic in denied else None
    notices.dead_letter(record(), REFUSAL)
    notices.audit("p", b"a")
    assert notices.flush(0.5) is False
    assert notices.account() == {"sent": 1, "pending": 1, "lost": 0}
    [line] = [one.getMessage() for one in caplog.records]
    assert "this client may not write to mine-dlq" in line
    denied.clear()
    assert notices.flush(5) is True


def test_while_kafka_is_away_it_is_tried_again(
    notices: KafkaNotices, kafka: FakeKafka, caplog: pytest.LogCaptureFixture
) -> None:
    kafka.down = ConnectionError("refused")
    for number in range(700):
        notices.audit("p", b"%d" % number)
    assert notices.flush(0.5) is False
    kafka.down = None
    wait_until(lambda: notices.account()["pending"] == 0, timeout_s=20, what="the next try")
    assert kafka.values("mine-audit") == [b"%d" % number for number in range(700)], "in their order"
    [line] = [one.getMessage() for one in caplog.records]
    assert line.endswith("Kafka does not take them (unavailable: ConnectionError: refused)")


def test_a_connection_that_breaks_in_the_middle(notices: KafkaNotices, kafka: FakeKafka) -> None:
    breaks = iter([False] * 3 + [True])
    kafka.judge = lambda topic, value: ConnectionError("gone") if next(breaks, False) else None
    for number in range(10):
        notices.audit("p", b"%d" % number)
    wait_until(lambda: notices.account()["pending"] == 0, timeout_s=20, what="the next try")
    assert kafka.values("mine-audit") == [b"%d" % number for number in range(10)]
    assert kafka.built == 2


def test_a_broker_that_never_answers_is_given_up_and_the_end_does_not_wait_for_it(
    kafka: FakeKafka, caplog: pytest.LogCaptureFixture
) -> None:
    kafka.answers = False
    notices = KafkaNotices(CONFIG)
    notices.audit("p", b"a")
    notices.dead_letter(record(), REFUSAL)
    wait_until(lambda: kafka.built == 1, timeout_s=5, what="the connection")
    notices.close(0.2)
    assert notices.account() == {"sent": 0, "pending": 0, "lost": 2}
    wait_until(lambda: not threads(), timeout_s=10, what="the thread to end")
    said = [one.getMessage() for one in caplog.records]
    assert said == [f"1 record not delivered to mine-{side} before the end" for side in ("dlq", "audit")]


def test_close_does_not_wait_for_a_connection(kafka: FakeKafka) -> None:
    kafka.may_connect.clear()
    notices = KafkaNotices(CONFIG)
    notices.audit("p", b"a")
    notices.close(0.1)
    assert threads(), "still connecting"
    assert notices.account() == {"sent": 0, "pending": 0, "lost": 1}
    kafka.may_connect.set()
    wait_until(lambda: not threads(), timeout_s=10, what="the thread to end")
    assert (notices.account(), kafka.values("mine-audit")) == ({"sent": 0, "pending": 0, "lost": 1}, [])
    assert kafka.open == set()


def test_close_tries_a_missing_topic_once_and_does_not_wait_for_somebody_to_create_it(kafka: FakeKafka) -> None:
    """Otherwise every script would wait for its whole timeout where the topic is missing."""
    kafka.topics.clear()
    notices = KafkaNotices(CONFIG)
    notices.audit("p", b"a")
    notices.close(10**6)
    assert notices.account() == {"sent": 0, "pending": 0, "lost": 1}


def test_close_sends_what_is_waiting(kafka: FakeKafka) -> None:
    notices = KafkaNotices(CONFIG)
    for number in range(1_200):
        notices.audit("p", b"%d" % number)
    notices.close(30)
    assert notices.account() == {"sent": 1_200, "pending": 0, "lost": 0}
    assert kafka.values("mine-audit") == [b"%d" % number for number in range(1_200)]
    notices.close(5)
    notices.prepare()
    notices.audit("p", b"late")
    assert notices.account() == {"sent": 1_200, "pending": 0, "lost": 1}
    assert notices.flush(1) is True, "nothing is pending"
    assert threads() == []


def test_where_no_thread_can_be_started(kafka: FakeKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the interpreter goes down."""
    monkeypatch.setattr(threading.Thread, "start", no_start)
    notices = KafkaNotices(CONFIG)
    notices.audit("p", b"a")
    assert notices.flush(0.01) is False
    notices.close(1)
    assert notices.account() == {"sent": 0, "pending": 0, "lost": 1}


def test_a_dead_letter_that_cannot_be_made_is_counted(notices: KafkaNotices, kafka: FakeKafka) -> None:
    """One whose ids are no text, which is why it was refused, goes without them."""
    broken: Any = "not a record"
    notices.dead_letter(broken, REFUSAL)
    notices.dead_letter(msgspec.structs.replace(record(), event_id="\ud800"), REFUSAL)
    notices.dead_letter(msgspec.structs.replace(record(), key="\ud800"), Refusal("policy", "\ud800"))
    assert notices.flush(5) is True
    assert notices.account() == {"sent": 2, "pending": 0, "lost": 1}
    headers = kafka.arrived["mine-dlq"][0][2]
    assert (headers["sequence"], headers["error.reason"]) == (b"41", b"policy")
    assert "ce_id" not in headers


def test_a_defect_does_not_end_the_thread(
    notices: KafkaNotices, kafka: FakeKafka, caplog: pytest.LogCaptureFixture
) -> None:
    calls = iter([RuntimeError("a bug")])

    def judge(topic: str, value: bytes) -> Exception | None:
        error = next(calls, None)
        if error is not None:
            monkey.undo()
        return error

    monkey = pytest.MonkeyPatch()

    def broken(self: FakeFuture, timeout: float) -> None:
        raise AssertionError

    monkey.setattr("otel_feedback.exporters.kafka.notices.sender.refusal_of", broken)
    kafka.judge = judge
    notices.audit("p", b"a")
    wait_until(lambda: notices.account()["sent"] == 1, timeout_s=10, what="the next try")
    monkey.undo()


def test_after_a_fork_what_is_pending_is_the_parents(kafka: FakeKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child has no thread of the parent's, as here; the integration test forks."""
    notices = KafkaNotices(CONFIG)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_start)
        notices.audit("p", b"the parent's")
    notices.after_fork()
    assert notices.account() == {"sent": 0, "pending": 0, "lost": 0}
    notices.audit("p", b"the child's")
    assert notices.flush(5) is True
    assert kafka.values("mine-audit") == [b"the child's"]
    notices.close(5)


def no_start(thread: threading.Thread) -> None:
    raise RuntimeError("can't create new thread at interpreter shutdown")
