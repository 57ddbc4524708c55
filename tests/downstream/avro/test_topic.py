"""A topic with values in Avro, on a real broker and a real registry: who writes, who reads, and a registry that goes."""

from __future__ import annotations

import asyncio
import json
import threading
from itertools import islice
from pathlib import Path

import msgspec
import pytest

import otel_feedback as feedback
from otel_feedback.downstream import AsyncOutcomeConsumer
from otel_feedback.events.avro import avro_schema
from otel_feedback.exporters.kafka import inside
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from otel_feedback.settings import kafka
from otel_feedback.settings.registry import RegistryConfig
from tests.downstream.store.stores import Store
from tests.downstream.topics import QUICK, Topic, event
from tests.stack.kafka import KafkaBroker
from tests.stack.registry import Registry
from tests.stack.waiting import wait_until
from tests.support import run_cli, run_python


@pytest.fixture(autouse=True)
def no_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")


@pytest.fixture
def plain(kafka_broker: KafkaBroker) -> Topic:
    return Topic.make(kafka_broker, partitions=3)


def in_avro(topic: Topic, registry: Registry) -> Topic:
    return topic._replace(registry=RegistryConfig(urls=(registry.url,)))


@pytest.fixture
def topic(plain: Topic, registry: Registry) -> Topic:
    return in_avro(plain, registry)


def variables(topic: Topic) -> dict[str, str]:
    assert topic.registry is not None
    return {
        "KAFKA_BOOTSTRAP_SERVERS": topic.broker.bootstrap_servers, "KAFKA_OUTCOME_TOPIC": topic.name,
        "SCHEMA_REGISTRY_URL": ",".join(topic.registry.urls),
    }  # fmt: skip


def ids(numbers: range) -> set[str]:
    return {f"event-{number:06d}" for number in numbers}


def pipeline_of(topic: Topic, **more: object) -> FeedbackPipeline:
    return feedback.configure(kafka=topic.config, enable_outcome_logging=False, durability="memory", **more)  # type: ignore[arg-type]


@pytest.mark.brief
def test_json_and_avro_on_one_topic_are_read_alike(plain: Topic, topic: Topic, tmp_path: Path) -> None:
    sent = [event(number, tags=("a",), metadata={"n": number, "ok": True, "x": 0.5}) for number in range(60)]
    producers = {plain.send(sent[:20]), topic.send(sent[20:40]), plain.send(sent[40:])}
    values = [record.value or b"" for record in topic.records()]
    assert [sum(value[:1] == kind for value in values) for kind in (b"{", b"\x00")] == [40, 20]
    assert {dict(one.headers)["content-type"] for one in topic.records() if one.value and one.value[:1] == b"\x00"} == {
        b"application/avro"
    }

    with topic.consumer() as consumer:
        read = {one.event_id: one.to_json() for one in islice(consumer, 60)}
    assert read == {one.event_id: one.to_json() for one in sent}

    store = Store(tmp_path / "store", **variables(topic))
    assert store.once()["up_to_date"]
    assert sorted(store.select("event_id, CAST(metadata AS VARCHAR)")) == sorted(
        (one.event_id, json.dumps(one.metadata, separators=(",", ":"))) for one in sent
    )
    told = json.loads(run_cli("verify", "--json", variables=variables(topic)).stdout)
    assert {one["producer_id"]: one["state"] for one in told["producers"]} == dict.fromkeys(producers, "complete")
    assert topic.letters() == []


def test_the_commands_read_both(plain: Topic, topic: Topic, tmp_path: Path) -> None:
    plain.send([event(number) for number in range(5)])
    topic.send([event(number) for number in range(5, 12)])
    tail = run_cli("tail", "--from", "topic", "--json", "-n", "all", "--once", variables=variables(topic))
    assert {json.loads(line)["event_id"] for line in tail.stdout.splitlines()} == ids(range(12)), tail.stderr
    counted = run_cli(
        "sql", "SELECT count(*) AS n FROM events", "--from", "topic", "--json", variables=variables(topic)
    )
    assert json.loads(counted.stdout)[0]["n"] == 12, counted.stderr
    less = {name: value for name, value in variables(topic).items() if name != "SCHEMA_REGISTRY_URL"}
    for command in (["sql", "SELECT count(*) FROM events", "--from", "topic"], ["store", "--once"]):
        refused = run_cli(*command, variables={**less, "OTEL_FEEDBACK_STORE_DIR": str(tmp_path / "store")})
        assert refused.returncode == 1
        assert "SCHEMA_REGISTRY_URL" in refused.stderr, refused.stderr


def test_an_async_consumer_reads_avro(topic: Topic) -> None:
    topic.send([event(number) for number in range(10)])

    async def read() -> set[str]:
        async with AsyncOutcomeConsumer("async", kafka=topic.config, kafka_options=QUICK) as consumer:
            found: set[str] = set()
            async for one in consumer:
                found.add(one.event_id)
                if len(found) == 10:
                    break
            return found

    assert asyncio.run(read()) == ids(range(10))


@pytest.mark.parametrize("line", ["whole batches", "send()"])
def test_what_does_not_fit_is_a_dead_letter_in_json(line: str, topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    if line == "send()":
        monkeypatch.setattr(inside, "KNOWN_VERSIONS", ("0.",))
    pipeline = pipeline_of(topic)
    for number in range(10):
        more = {"tokens_used": 2**63} if number == 4 else {}
        assert pipeline.record_outcome(event(number, **more))
    assert pipeline.shutdown(60) is False, "one was not delivered"
    kafka = pipeline.metrics()["exporters"]["kafka"]
    assert (kafka["delivered"], kafka["lost"]) == (9, {"invalid_record": 1})
    [letter] = topic.letters()
    headers = dict(letter.headers)
    assert json.loads(letter.value or b"")["tokens_used"] == 2**63
    assert headers["content-type"] == b"application/json"
    assert b"tokens_used" in headers["error.detail"]


@pytest.mark.parametrize("line", ["whole batches", "send()"])
def test_too_large_an_event_is_trimmed_by_its_size_in_avro(
    line: str, topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that fits in Avro alone goes whole; one that does not with as much text as the limit takes."""
    if line == "send()":
        monkeypatch.setattr(inside, "KNOWN_VERSIONS", ("0.",))
    quotes = '"' * 3_000  # two bytes each in JSON, one in Avro
    config = msgspec.structs.replace(topic.config, max_request_bytes=6_000, compression="none")
    pipeline = feedback.configure(kafka=config, enable_outcome_logging=False, durability="memory")
    assert pipeline.record_outcome(event(1, stack_trace=quotes))
    assert pipeline.record_outcome(event(2, stack_trace="x" * 16_000))
    assert pipeline.shutdown(60)
    with topic.consumer() as consumer:
        first, second = sorted(islice(consumer, 2), key=lambda one: one.event_id)
    assert first.stack_trace == quotes
    assert first.metadata == {}
    assert second.metadata == {"otel_feedback.truncated": ["stack_trace"]}
    assert second.stack_trace


def test_a_registry_that_is_away_at_the_start_is_said_and_waited_for(
    plain: Topic, caplog: pytest.LogCaptureFixture
) -> None:
    registry = Registry.described()
    try:
        topic = in_avro(plain, registry)
        pipeline = pipeline_of(topic)
        assert pipeline.record_outcome(event(0))
        wait_until(lambda: not pipeline.metrics()["exporters"]["kafka"]["healthy"], timeout_s=60, what="trouble")
        told = pipeline.metrics()["exporters"]["kafka"]
        assert told["pending"] == 1
        assert registry.url in str(told["last_error"])
        assert "correct SCHEMA_REGISTRY_URL" in caplog.text
        doctor = run_cli("doctor", variables={**variables(topic), "KAFKA_VALUE_FORMAT": "avro", "COLUMNS": "200"})
        assert doctor.returncode == 1
        assert "Kafka schemas" in doctor.stdout
        assert registry.url in doctor.stdout
        registry.start()
        assert pipeline.shutdown(60), pipeline.metrics()
        assert registry.subjects() == [f"{topic.name}-value"]
    finally:
        registry.stop()


def test_a_registry_that_goes_later_is_not_missed(plain: Topic) -> None:
    with Registry.launch_own() as registry:
        topic = in_avro(plain, registry)
        pipeline = pipeline_of(topic)
        assert pipeline.record_outcome(event(0))
        assert pipeline.force_flush(60)
        with topic.consumer() as consumer:
            assert next(consumer).event_id == "event-000000"
            registry.kill()
            for number in range(1, 50):
                assert pipeline.record_outcome(event(number))
            assert pipeline.shutdown(60)
            rest = {one.event_id for one in islice(consumer, 49)}
        assert rest == ids(range(1, 50))


def test_a_schema_that_is_not_compatible_is_said_and_events_wait(
    topic: Topic, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    other = avro_schema()
    for field in other["fields"]:
        if field["name"] == "depth":
            field["type"] = ["null", "string"]
    registry.put(f"{topic.name}-value", other, "BACKWARD")
    pipeline = pipeline_of(topic)
    assert pipeline.record_outcome(event(0))
    wait_until(lambda: "not compatible" in caplog.text, timeout_s=60, what="a line")
    assert f"{topic.name}-value" in caplog.text
    assert pipeline.metrics()["exporters"]["kafka"]["pending"] == 1
    doctor = run_cli("doctor", variables={**variables(topic), "KAFKA_VALUE_FORMAT": "avro", "COLUMNS": "200"})
    assert "not compatible" in doctor.stdout
    registry.allow(f"{topic.name}-value", "NONE")
    assert pipeline.shutdown(60), pipeline.metrics()


def test_readers_wait_for_a_registry_that_is_away(
    topic: Topic, registry: Registry, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """They make no dead letters of good records, and go on when it is back."""
    topic.send([event(number) for number in range(10)])
    [wanted] = {int.from_bytes((record.value or b"")[1:5], "big") for record in topic.records()}
    away = Registry.described()
    try:
        later = in_avro(topic, away)
        consumer = later.consumer()
        writer = Store(tmp_path / "store", **variables(later)).follow()
        with consumer:
            found: set[str] = set()
            thread = threading.Thread(
                target=lambda: found.update(one.event_id for one in islice(consumer, 10)),
                daemon=True,
            )
            thread.start()
            wait_until(lambda: "waits for a schema" in caplog.text, timeout_s=60, what="a line")
            assert not found
            away.start()
            for number in range(1, wanted):  # until it has this one under the same id
                away.put(f"filler-{number}", {"type": "fixed", "name": "Filler", "size": number})
            assert away.put(f"{topic.name}-value", json.loads(registry.schema(wanted))) == wanted
            thread.join(60)
            assert found == ids(range(10))
        store = Store(tmp_path / "store")
        store.wait_for_rows(10)
        writer.terminate()
        writer.communicate()
        assert topic.letters() == []
    finally:
        away.stop()


def test_without_the_extra_configure_says_so(topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "find_spec", lambda name: None if name == "fastavro" else object())  # type: ignore[misc]
    with pytest.raises(feedback.ConfigError, match=r"otel-feedback\[avro\]"):
        pipeline_of(topic)


def test_nothing_of_avro_is_imported_by_configure() -> None:
    program = """
        import sys
        import otel_feedback as feedback
        feedback.configure(enable_kafka=True, kafka_value_format="avro", schema_registry_url="http://127.0.0.1:1",
            durability="memory", shutdown_timeout_s=0)
        print("fastavro" in sys.modules, "otel_feedback.exporters.kafka.avro.writing" in sys.modules)
    """
    done = run_python(program, {"OTEL_TRACES_EXPORTER": "none"})
    assert done.stdout.strip() == "False True", done.stderr
