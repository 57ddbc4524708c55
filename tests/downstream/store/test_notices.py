"""The account and the dead letters in the store: as they are on their topics, once each, and never in the way of events."""

from __future__ import annotations

import json
import signal
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from otel_feedback.events.audit import HighWaterRecord, LossRecord, decode
from tests.downstream.store.stores import Store, ended, ids
from tests.downstream.topics import Topic, event
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker
from tests.stack.waiting import wait_until
from tests.support import run_cli


@pytest.fixture
def topic(kafka_broker: KafkaBroker, monkeypatch: pytest.MonkeyPatch) -> Topic:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    return Topic.make(kafka_broker)


def produce(topic: Topic, kind: str, *values: bytes, headers: list[tuple[str, bytes]] | None = None) -> None:
    name = topic.name + kind
    kafka_clients.produce(topic.broker.bootstrap_servers, name, values, key=b"k", headers=headers or [])


def asked(store: Store, question: str) -> list[dict[str, Any]]:
    """Return what `otel-feedback sql` answers."""
    done = run_cli("sql", question, "--from", str(store.path), "--json", variables=store.variables)
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


@pytest.mark.brief
def test_they_are_rows_as_they_are_on_their_topics(topic: Topic, tmp_path: Path) -> None:
    store = Store.of(topic, tmp_path / "store")
    producer = topic.send([event(number) for number in range(40)])
    lost = LossRecord(
        producer_id=producer, service_name="bot", exporter="kafka", destination="c/t", reason="retention",
        first_sequence=3, last_sequence=9, count=5, timestamp=datetime.now(timezone.utc),
    )  # fmt: skip
    produce(topic, "-audit", lost.encode(), b"no account", lost.encode().replace(b":5,", b":9223372036854775808,"))
    letter = [("error.reason", b"raised"), ("error.group", b"views"), ("original.offset", b"7"), ("sequence", b"\xff")]
    produce(topic, "-dlq", b"a text of somebody", headers=letter)
    began = datetime.now(timezone.utc)
    assert store.once()["up_to_date"]
    [loss] = asked(store, "SELECT * FROM accounts WHERE type = 'loss'")
    assert (loss["producer_id"], loss["reason"], loss["events"], loss["last_sequence"]) == (producer, "retention", 5, 9)
    told = [decode(record.value or b"") for record in topic.audit()[:-3]]
    marks = asked(store, "SELECT * FROM accounts WHERE type = 'high_water' ORDER BY source_position")
    assert [(mark["next_sequence"], mark["delivered"], mark["closed"]) for mark in marks] == [
        (each.end, each.delivered, each.closed) for each in told if isinstance(each, HighWaterRecord)
    ]
    [found] = asked(store, "SELECT * FROM dead_letters")
    assert (found["reason"], found["reader"], found["original_offset"], found["sequence"]) == (
        "raised",
        "views",
        7,
        None,
    )
    assert "somebody" not in str(found)
    [reading] = asked(store, "SELECT * FROM reading")
    assert reading["behind"] == 0
    assert datetime.fromisoformat(reading["until"].replace("Z", "+00:00")) >= began
    assert store.once()["written"] == 0
    assert len(asked(store, "FROM accounts")) == len(told) + 1, "each once"


def test_a_dead_letter_of_the_store_itself_is_in_it(topic: Topic, tmp_path: Path) -> None:
    store = Store.of(topic, tmp_path / "store")
    produce(topic, "", b"no event")
    store.once()
    store.once()
    [found] = asked(store, "SELECT reason, reader, original_topic FROM dead_letters")
    assert found == {"reason": "invalid_event", "reader": "otel-feedback-store", "original_topic": topic.name}


def test_without_these_topics_events_are_stored_and_later_they_are_found(
    kafka_broker: KafkaBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    topic = Topic(kafka_broker, "outcomes-alone")
    kafka_broker.create_topic(topic.name, 2)
    store = Store.of(topic, tmp_path / "store")
    records = [event(number).to_json().encode() for number in range(10)]
    produce(topic, "", *records)
    assert store.once()["up_to_date"]
    assert store.ids() == ids(range(10))
    for kind in ("-audit", "-dlq"):
        kafka_broker.create_topic(topic.name + kind, 1)
    topic.send([event(number) for number in range(10, 20)])
    assert store.once()["up_to_date"]
    assert store.ids() == ids(range(20))
    assert asked(store, "SELECT DISTINCT closed FROM accounts WHERE closed") == [{"closed": True}]


def test_the_manifest_says_until_when_all_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on where nothing arrives, and stands still where nobody knows what has."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    with KafkaBroker.launch_own() as broker:
        topic = Topic.make(broker)
        store = Store.of(topic, tmp_path / "store")
        topic.send([event(number) for number in range(20)])
        writer = store.follow("--flush-interval", "0.05")
        store.wait_for_rows(20)

        def told() -> tuple[datetime | None, datetime | None]:
            reading = store.manifest().reading
            return (None, None) if reading is None else (reading.until, reading.at)

        wait_until(lambda: told()[0] is not None, timeout_s=60, what="a moment until which all is read")
        first = told()[0]
        assert first is not None
        wait_until(lambda: (told()[0] or first) > first, timeout_s=60, what="the next one, though nothing arrived")
        broker.kill()
        known, at = told()
        assert known is not None
        assert at is not None
        wait_until(
            lambda: (told()[1] or at) > at, timeout_s=90, what="the writer to say how far it is, without a broker"
        )
        stood, _ = told()
        wait_until(lambda: (told()[1] or at) > at, timeout_s=90, what="and again")
        assert told()[0] == stood
        broker.start()
        wait_until(lambda: (told()[0] or known) > known, timeout_s=90, what="the broker to be asked again")
        assert ended(writer, signal.SIGTERM)[0] == 0
