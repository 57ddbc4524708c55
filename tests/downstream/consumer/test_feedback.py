"""A consumer of feedback on a real broker: what it gives, drops and puts aside."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest

from otel_feedback import Feedback
from otel_feedback.downstream import AsyncFeedbackConsumer, FeedbackConsumer, Position, ReceivedFeedback
from tests.downstream.topics import QUICK, Topic
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker

AT = datetime(2026, 3, 2, tzinfo=timezone.utc)
OPTIONS: dict[str, Any] = {"kafka_options": QUICK, "commit_interval_s": 0.05}


@pytest.fixture
def topic(kafka_broker: KafkaBroker, monkeypatch: pytest.MonkeyPatch) -> Topic:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    topic = Topic.make(kafka_broker)
    kafka_broker.create_topic(topic.feedback, 1)
    return topic


def said(number: int, **fields: Any) -> Feedback:
    more: dict[str, Any] = {"timestamp": AT, "score": 0.5, **fields}
    return Feedback(
        feedback_id=f"id-{number}", target="run", run_id="run-1", name="user_rating", source="human", **more
    )


def take(consumer: FeedbackConsumer, last: str) -> list[ReceivedFeedback]:
    taken: list[ReceivedFeedback] = []
    with consumer:
        for one in consumer:
            taken.append(one)
            if one.feedback_id == last:
                break
    return taken


def test_the_newest_of_each_id_comes_and_nothing_twice(topic: Topic) -> None:
    changed = msgspec.structs.replace(said(1), score=0.0, timestamp=AT + timedelta(microseconds=1))
    topic.give([said(1), said(1), changed, said(1), said(2, tenant_id="acme"), said(3)])
    consumer = FeedbackConsumer("group", kafka=topic.config, **OPTIONS)
    taken = take(consumer, "id-3")
    assert [(one.feedback_id, one.score) for one in taken] == [
        ("id-1", 0.5),
        ("id-1", 0.0),
        ("id-2", 0.5),
        ("id-3", 0.5),
    ]
    assert taken[1].position == Position(topic.feedback, 0, 2)
    assert taken[1].to_dict() == changed.to_dict()
    metrics = consumer.metrics()
    assert (metrics["handled"], metrics["repeated"], metrics["superseded"]) == (4, 1, 1)
    topic.give([said(4)])
    again = FeedbackConsumer("group", kafka=topic.config, **OPTIONS)
    assert [one.feedback_id for one in take(again, "id-4")] == ["id-4"], "it goes on where it ended"
    of_acme = FeedbackConsumer("acme", tenant_id="acme", kafka=topic.config, **OPTIONS)
    assert [one.feedback_id for one in take(of_acme, "id-2")] == ["id-2"]


def test_what_is_no_feedback_goes_to_the_dead_letters_and_the_rest_comes(topic: Topic) -> None:
    bad = {**said(1).to_dict(), "score": 2}
    kafka_clients.produce(
        topic.broker.bootstrap_servers, topic.feedback, [b"nothing", json.dumps(bad).encode()], key=b"run-1"
    )
    topic.give([said(2)])

    async def first() -> ReceivedFeedback:
        async with AsyncFeedbackConsumer("group", kafka=topic.config, **OPTIONS) as consumer:
            async for one in consumer:
                return one
        raise AssertionError

    assert asyncio.run(first()).feedback_id == "id-2"
    letters = topic.letters()
    assert [letter.value for letter in letters] == [b"nothing", json.dumps(bad).encode()]
    told = dict(letters[1].headers)
    assert told["original.topic"] == topic.feedback.encode()
    assert b"score" in told["error.detail"]
