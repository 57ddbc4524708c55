"""A side lane to a fake Kafka; afterwards nothing of it is left."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from otel_feedback.exporters.kafka import producer as kafka_producer
from otel_feedback.exporters.kafka.notices.notices import KafkaNotices
from tests.stack.waiting import wait_until
from tests.unit.exporters.kafka.notices.fakes import CONFIG, FakeKafka, threads


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
