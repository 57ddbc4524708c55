"""The side lane at a producer that does as told: callers never wait, each notice is accounted for, nobody blocks anybody.

`tests/integration/test_kafka_notices.py` shows the same on real brokers.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import otel_feedback as feedback
from otel_feedback.events import codec
from otel_feedback.events.record import Record
from otel_feedback.exporters import kafka_producer, notice_lane
from otel_feedback.exporters.interface import Refusal
from otel_feedback.exporters.kafka_notices import KafkaNotices
from otel_feedback.exporters.notice_lane import Notice, NoticeLane
from tests.stack.waiting import wait_until
from tools.sample import sample_record

CONFIG = feedback.KafkaConfig(topic="mine")
REFUSAL = Refusal("policy", "not today")


class MessageSizeTooLargeError(Exception):
    """Known by its name, as kafka-python's own is."""


class PolicyViolationError(Exception):
    """As above."""


class KafkaTimeoutError(Exception):
    """As above."""


class TopicAuthorizationFailedError(Exception):
    """As above."""


class FakeFuture:
    is_done = True

    def __init__(self, exception: Exception | None = None) -> None:
        self.exception = exception

    def get(self, timeout: float) -> None:
        """Nothing to wait for."""


class NeverFuture:
    is_done = False
    exception = None

    def get(self, timeout: float) -> None:
        threading.Event().wait(0.01)
        raise KafkaTimeoutError


class FakeKafka:
    """What arrived, by topic; `judge` says what becomes of a record: an exception for "refused"."""

    def __init__(self) -> None:
        self.arrived: dict[str, list[tuple[bytes, bytes, dict[str, bytes]]]] = {}
        self.topics = {"mine-dlq", "mine-audit"}
        self.judge: Callable[[str, bytes], Exception | None] = lambda topic, value: None
        self.answers = True
        self.client_limit = 10**9
        self.down: Exception | None = None
        self.may_connect = threading.Event()
        self.may_connect.set()
        self.built = 0
        self.open: set[FakeProducer] = set()

    def producer(self, config: feedback.KafkaConfig, options: Any) -> FakeProducer:
        self.may_connect.wait()
        if self.down is not None:
            raise self.down
        self.built += 1
        return FakeProducer(self)

    def values(self, topic: str) -> list[bytes]:
        return [value for _, value, _ in self.arrived.get(topic, [])]


class FakeProducer:
    def __init__(self, kafka: FakeKafka) -> None:
        self.kafka = kafka
        self.failed: Exception | None = None
        kafka.open.add(self)

    def partitions_for(self, topic: str) -> set[int]:
        if topic not in self.kafka.topics:
            raise KafkaTimeoutError("Failed to update metadata")
        return {0}

    def send(self, topic: str, value: bytes, key: bytes, headers: list[tuple[str, bytes]]) -> FakeFuture | NeverFuture:
        if not self.kafka.answers:
            return NeverFuture()
        if len(value) > self.kafka.client_limit:
            raise MessageSizeTooLargeError("larger than max_request_size")
        self.failed = self.failed or self.kafka.judge(topic, value)
        if self.failed is None:
            self.kafka.arrived.setdefault(topic, []).append((key, value, dict(headers)))
        return FakeFuture(self.failed)

    def close(self, timeout: float) -> None:
        self.kafka.open.discard(self)

    def disown(self) -> None:
        self.kafka.open.discard(self)


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> FakeKafka:
    fake = FakeKafka()
    monkeypatch.setattr(kafka_producer, "OutcomeProducer", fake.producer)
    return fake


@pytest.fixture
def notices(kafka: FakeKafka) -> Iterator[KafkaNotices]:
    made = KafkaNotices(CONFIG)
    yield made
    kafka.may_connect.set()
    made.close(5)
    assert made.account()["pending"] == 0
    wait_until(lambda: not threads(), timeout_s=10, what="the thread to end")
    assert kafka.open == set(), "no connection is left"


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "otel-feedback-notices"]


def record(text: int = 0, numbers: int = 0) -> Record:
    metadata: dict[str, Any] = {"numbers": [7] * numbers}
    event = feedback.OutcomeEvent(
        action_type="a", status=feedback.OutcomeStatus.FAILURE, stack_trace="x" * text, metadata=metadata
    )
    return msgspec.structs.replace(sample_record(), payload=codec.encode(event))


def test_nothing_is_started_before_the_first_notice(notices: KafkaNotices, kafka: FakeKafka) -> None:
    assert threads() == []
    assert notices.flush(1) is True
    assert threads() == []
    notices.audit("p", b"{}")
    assert notices.flush(5) is True
    [thread] = threads()
    assert thread.daemon
    assert kafka.built == 1
    notices.close(10**6)  # has nothing to wait for
    wait_until(lambda: not threads(), timeout_s=10, what="the thread to end")


def test_prepare_connects(kafka: FakeKafka) -> None:
    connected = threading.Event()
    notices = KafkaNotices(CONFIG, connected=connected.set)
    notices.prepare()
    assert connected.wait(5)
    notices.audit("p", b"{}")
    assert notices.flush(5) is True
    assert kafka.built == 1
    notices.close(5)


def test_a_dead_letter_says_what_it_was_and_who_refused_it(notices: KafkaNotices, kafka: FakeKafka) -> None:
    notices.dead_letter(sample_record(), Refusal("policy", "nö"), culprit="a broker")
    assert notices.flush(5) is True
    [(key, value, headers)] = kafka.arrived["mine-dlq"]
    assert (key, value) == (b"run-17", sample_record().payload)
    added = {"error.reason": b"policy", "error.detail": "nö".encode(), "error.culprit": b"a broker"}
    assert headers.items() >= {**added, "original.topic": b"mine", "sequence": b"41"}.items()


def test_a_caller_never_waits_and_the_oldest_go_when_there_are_too_many(
    notices: KafkaNotices, kafka: FakeKafka, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If it did wait, this test would not end: nothing connects before all are put."""
    monkeypatch.setattr(notice_lane, "MOST_NOTICES", 50)
    kafka.may_connect.clear()
    notices.prepare()
    for number in range(120):
        notices.audit("p", b"%d" % number)
    assert notices.account() == {"sent": 0, "pending": 50, "lost": 70}
    kafka.may_connect.set()
    assert notices.flush(5) is True
    arrived = kafka.values("mine-audit")
    assert arrived[-49:] == [b"%d" % number for number in range(71, 120)], "the first may have been in flight"
    assert notices.account() == {"sent": 50, "pending": 0, "lost": 70}
    assert [one.levelno for one in caplog.records] == [logging.WARNING], "said once a minute"


@pytest.mark.parametrize("who", ["broker", "client"])
def test_a_dead_letter_that_is_too_large_again_goes_with_less_text_at_last_empty(
    who: str, notices: KafkaNotices, kafka: FakeKafka
) -> None:
    if who == "broker":
        kafka.judge = lambda topic, value: MessageSizeTooLargeError() if len(value) > 1_000 else None
    else:
        kafka.client_limit = 1_000
    for one in (record(), record(text=5_000), record(numbers=900), record()):
        notices.dead_letter(one, Refusal("too_large", "x"))
    assert notices.flush(5) is True
    first, trimmed, empty, last = kafka.values("mine-dlq")
    assert first == record_like(first)
    assert last == record_like(last)
    assert empty == b""
    assert codec.decode(trimmed).metadata["otel_feedback.truncated"] == ["stack_trace"]
    assert notices.account() == {"sent": 4, "pending": 0, "lost": 0}


def test_a_dead_letter_whose_value_is_refused_again_goes_without(notices: KafkaNotices, kafka: FakeKafka) -> None:
    seen: list[bytes] = []

    def judge(topic: str, value: bytes) -> Exception | None:
        seen.append(value)
        return PolicyViolationError("no value that is an event") if value else None

    kafka.judge = judge
    dead = record(text=5_000)
    notices.dead_letter(dead, REFUSAL)
    assert notices.flush(5) is True
    [(_, value, headers)] = kafka.arrived["mine-dlq"]
    assert (value, headers["error.reason"]) == (b"", b"policy")
    assert set(seen) == {dead.payload, b""}, "less text would not help"


def record_like(value: bytes) -> bytes:
    return codec.encode(codec.decode(value))


def test_what_is_refused_again_is_lost_and_holds_up_nobody(
    notices: KafkaNotices, kafka: FakeKafka, caplog: pytest.LogCaptureFixture
) -> None:
    kafka.judge = lambda topic, value: PolicyViolationError("no b") if b"b" in value else None
    for value in (b"a", b"b", b"a", b"b", b"a"):
        notices.audit("p", value)
    notices.flush(5)
    assert kafka.values("mine-audit") == [b"a"] * 3
    assert notices.account() == {"sent": 3, "pending": 0, "lost": 2}
    [line] = [one.getMessage() for one in caplog.records]
    assert line.startswith("mine-audit does not take a record (policy: PolicyViolationError: no b)")


def test_an_audit_record_is_never_cut(notices: KafkaNotices, kafka: FakeKafka) -> None:
    kafka.judge = lambda topic, value: MessageSizeTooLargeError() if len(value) > 100 else None
    notices.audit("p", record(text=500).payload)
    notices.flush(5)
    assert notices.account() == {"sent": 0, "pending": 0, "lost": 1}
    assert kafka.values("mine-audit") == []


def test_flush_is_false_when_something_is_lost_meanwhile(notices: KafkaNotices, kafka: FakeKafka) -> None:
    kafka.judge = lambda topic, value: PolicyViolationError()
    kafka.may_connect.clear()
    notices.audit("p", b"a")
    later = threading.Timer(0.5, kafka.may_connect.set)
    later.start()
    assert notices.flush(30) is False
    assert notices.flush(5) is True, "a loss before does not count"
    later.join()


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
    assert said == [f"1 records were not delivered to mine-{side} before the end" for side in ("dlq", "audit")]


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


def test_a_dead_letter_that_cannot_be_made_is_counted(notices: KafkaNotices) -> None:
    broken: Any = "not a record"
    notices.dead_letter(broken, REFUSAL)
    notices.dead_letter(msgspec.structs.replace(record(), event_id="\ud800"), REFUSAL)
    notices.dead_letter(msgspec.structs.replace(record(), key="\ud800"), Refusal("policy", "\ud800"))
    assert notices.flush(5) is True
    assert notices.account() == {"sent": 1, "pending": 0, "lost": 2}


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

    monkey.setattr("otel_feedback.exporters.notice_sender.refusal_of", broken)
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


# -- the lane ----------------------------------------------------------------------------------------------


class LaneMachine(RuleBasedStateMachine):
    """The lane against a model: plain lists."""

    def __init__(self) -> None:
        super().__init__()
        self.lane = NoticeLane("t")
        self.waiting: list[Notice] = []
        self.flying: list[Notice] = []
        self.put_count = self.sent = self.lost = 0

    def teardown(self) -> None:
        assert self.lane.give_up() == len(self.waiting) + len(self.flying)
        assert self.lane.settled == self.put_count

    def bound(self) -> int:
        gone = 0
        while len(self.waiting) + len(self.flying) > 8 or (
            sum(len(one.value) for one in [*self.waiting, *self.flying]) > 100 and len(self.waiting) > 1
        ):
            self.waiting.pop(0)
            gone += 1
        self.lost += gone
        return gone

    @rule(size=st.sampled_from([0, 1, 10, 60, 200]))
    def put(self, size: int) -> None:
        notice = Notice(b"k", b"x" * size, [], is_event=False)
        self.put_count += 1
        self.waiting.append(notice)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(notice_lane, "MOST_NOTICES", 8)
            patch.setattr(notice_lane, "MOST_BYTES", 100)
            gone = self.lane.put(notice)
        assert gone == self.bound()

    @precondition(lambda self: not self.flying)
    @rule(most=st.integers(1, 5))
    def take(self, most: int) -> None:
        self.flying, self.waiting = self.waiting[:most], self.waiting[most:]
        assert all(one is other for one, other in zip(self.lane.take(most), self.flying, strict=True))

    @precondition(lambda self: self.flying)
    @rule(is_sent=st.booleans(), data=st.data())
    def settle(self, is_sent: bool, data: Any) -> None:
        notice = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        self.lane.settle(notice, is_sent=is_sent)
        self.lane.settle(notice, is_sent=not is_sent)  # twice is once
        self.sent += is_sent
        self.lost += not is_sent

    @rule()
    def put_back(self) -> None:
        self.waiting, self.flying = [*self.flying, *self.waiting], []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(notice_lane, "MOST_NOTICES", 8)
            patch.setattr(notice_lane, "MOST_BYTES", 100)
            assert self.lane.put_back() == self.bound()

    @invariant()
    def accounts_agree(self) -> None:
        lane = self.lane
        assert (lane.sent, lane.lost, lane.pending) == (self.sent, self.lost, len(self.waiting) + len(self.flying))
        assert lane.sent + lane.lost + lane.pending == self.put_count


TestLane = LaneMachine.TestCase
TestLane.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


@settings(deadline=None, max_examples=30)
@given(text=st.integers(0, 5_000))
def test_the_values_of_a_dead_letter_end_with_nothing(text: int) -> None:
    values = list(Notice(b"k", record(text).payload, [], is_event=True).values())
    assert values[0] == record_like(values[0])
    assert values[-1] == b""
    assert [len(value) for value in values] == sorted({len(value) for value in values}, reverse=True)
