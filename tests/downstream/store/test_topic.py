"""The topic as a source: what is no event, other topics and clusters, new partitions, what retention took, the group's lag."""

from __future__ import annotations

import json
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

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


@pytest.fixture
def store(topic: Topic, tmp_path: Path) -> Store:
    return Store.of(topic, tmp_path / "store")


def test_told_to_end_while_a_broker_says_nothing_it_ends_in_time(tmp_path: Path) -> None:
    """Who tells it, an orchestrator of containers for one, waits 30 s before it kills."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = Store(tmp_path / "store", KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{silent.getsockname()[1]}")
        writer = store.follow()
        silent.accept()  # it is connecting
        told_s = time.monotonic()
        code, _, said = ended(writer, signal.SIGTERM)
    assert (code, "Traceback" in said) == (0, False)
    assert time.monotonic() - told_s < 25  # a busy machine does not make it longer: it waits for an answer


def produce(topic: Topic, *values: bytes, **headers: str) -> None:
    given = [(name, text.encode()) for name, text in headers.items()]
    kafka_clients.produce(topic.broker.bootstrap_servers, topic.name, values, key=b"run-0", headers=given)


def once_refused(store: Store) -> str:
    done = run_cli("store", "--store", str(store.path), "--once", variables=store.variables)
    assert done.returncode == 1
    return done.stderr


@pytest.mark.brief
def test_a_row_is_the_event_and_where_it_came_from(topic: Topic, store: Store) -> None:
    sent = [
        event(number, tenant_id="acme", tags=("a", "b"), metadata={"k": [1, "é"]}, depth=3) for number in range(300)
    ]
    producer = topic.send(sent)
    assert store.once()["up_to_date"]
    [first] = [row for row in store.select("event_id, status, tenant_id, tags, CAST(metadata AS VARCHAR), depth")
               if row[0] == "event-000000"]  # fmt: skip
    assert first[1:] == ("success", "acme", ["a", "b"], '{"k":[1,"é"]}', 3)
    records = {(record.partition, record.offset): dict(record.headers) for record in topic.records()}
    for whose, sequence, source, partition, offset in store.select(
        "producer_id, sequence, source, source_partition, source_position"
    ):
        headers = records.pop((partition, offset))
        assert (whose, source) == (producer, topic.name)
        assert b"%d" % sequence == headers["sequence"]
    assert not records
    assert topic.committed("otel-feedback-store") == {
        number: len([1 for record in topic.records() if record.partition == number])
        for number in {record.partition for record in topic.records()}
    }


def test_what_is_no_event_goes_to_the_dead_letters(topic: Topic, store: Store) -> None:
    produce(topic, b"\xff{", b"", b"[1]", event(1).to_json().encode().replace(b'"revision":1', b'"revision":1e30'))
    produce(topic, event(2).to_json().encode(), schema_version="2.0")
    produce(topic, event(3).to_json().encode(), producer_id="p\"'", sequence="007")
    told = store.once()
    assert (told["written"], told["no_events"]) == (1, 5)
    assert store.select("event_id, producer_id, sequence") == [("event-000003", None, None)]
    letters = [dict(letter.headers) for letter in topic.letters()]
    assert {letter["error.reason"] for letter in letters} == {b"invalid_event"}
    assert {letter["error.group"] for letter in letters} == {b"otel-feedback-store"}
    assert sorted(int(letter["original.offset"]) for letter in letters) == [0, 1, 2, 3, 4]
    assert store.once()["no_events"] == 0


def test_new_partitions_are_read(topic: Topic, store: Store) -> None:
    import kafka

    library: Any = kafka
    topic.send([event(number) for number in range(50)])
    writer = store.follow("--flush-interval", "0.05")
    store.wait_for_rows(50)
    admin = library.KafkaAdminClient(bootstrap_servers=topic.broker.bootstrap_servers)
    admin.create_partitions({topic.name: 9})
    admin.close()
    wait_until(
        lambda: kafka_clients.partition_count(topic.broker.bootstrap_servers, topic.name) == 9,
        timeout_s=60, what="new partitions",
    )  # fmt: skip
    topic.send([event(number) for number in range(50, 200)])
    store.wait_for_rows(200)
    assert ended(writer, signal.SIGTERM)[0] == 0
    assert {partition for partition, _ in store.places()} >= {6, 7, 8}
    assert store.ids() == ids(range(200))


def test_what_the_topics_retention_took_is_said(topic: Topic, store: Store) -> None:
    topic.send([event(number, run_id="run") for number in range(10)])
    store.once()
    topic.send([event(number, run_id="run") for number in range(10, 30)])
    [partition] = {partition for partition, _ in store.places()}
    kafka_clients.delete_below(topic.broker.bootstrap_servers, topic.name, partition, 25)
    done = run_cli("store", "--store", str(store.path), "--once", "--json", variables=store.variables)
    assert f"15 records of partition {partition} were deleted before the store had read them" in done.stderr
    assert (json.loads(done.stdout)["missed"], json.loads(done.stdout)["written"]) == (15, 5)


def test_another_topic_under_the_same_name_is_refused(topic: Topic, store: Store) -> None:
    """Its offsets mean something else: going on would skip some records, or take some twice."""
    import kafka

    library: Any = kafka
    topic.send([event(number, run_id="run") for number in range(30)])
    store.once()
    admin = library.KafkaAdminClient(bootstrap_servers=topic.broker.bootstrap_servers)
    admin.delete_topics([topic.name])
    wait_until(lambda: topic.name not in admin.list_topics(), timeout_s=60, what="the topic to go")
    admin.close()
    topic.broker.create_topic(topic.name, 6)
    topic.send([event(number, run_id="run") for number in range(5)])
    assert "was made anew" in once_refused(store)
    told = store.folder.manifest.read_text()
    store.folder.manifest.write_text(told.replace('"cluster":"', '"cluster":"X'))
    assert "is now on another cluster" in once_refused(store)
    assert store.once("--rebuild")["rows"] == 5


def test_it_goes_on_after_the_broker_was_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    with KafkaBroker.launch_own() as broker:
        topic = Topic.make(broker)
        store = Store.of(topic, tmp_path / "store")
        topic.send([event(number) for number in range(20)])
        writer = store.follow("--flush-interval", "0.05")
        store.wait_for_rows(20)
        broker.kill()
        broker.start()
        topic.send([event(number) for number in range(20, 40)])
        store.wait_for_rows(40)
        assert ended(writer, signal.SIGTERM)[0] == 0
        assert store.ids() == ids(range(40))


def test_without_kafka_a_script_is_told_at_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", KAFKA_BOOTSTRAP_SERVERS="localhost:1")
    assert "localhost:1" in once_refused(store)


def test_it_ends_by_a_signal_with_all_that_it_has_read(topic: Topic, store: Store) -> None:
    """Long before its interval is over; the dead letter tells that what was before it has been read."""
    produce(topic, *(event(number).to_json().encode() for number in range(20)), b"no event")
    writer = store.follow("--flush-interval", "3600")
    wait_until(lambda: bool(topic.letters()), timeout_s=60, what="the dead letter")
    code, out, err = ended(writer, signal.SIGTERM)
    assert code == 0, err
    assert "20 rows written, 1 no event" in out
    assert store.ids() == ids(range(20))
    assert store.once()["written"] == 0
