"""The side lane: callers never wait, each notice is accounted for, and what is refused holds up nobody.

`tests/integration/test_kafka_notices*.py` show the same on real brokers.
"""

from __future__ import annotations

import logging
import threading

import pytest

from otel_feedback.events import codec
from otel_feedback.exporters.interface import Refusal
from otel_feedback.exporters.kafka.notices import lane as notice_lane
from otel_feedback.exporters.kafka.notices.notices import KafkaNotices
from tests.stack.waiting import wait_until
from tests.unit.exporters.kafka.notices.fakes import (
    CONFIG,
    REFUSAL,
    FakeKafka,
    MessageSizeTooLargeError,
    PolicyViolationError,
    record,
    threads,
)
from tools.sample import sample_record


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
    assert connected.wait()
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
