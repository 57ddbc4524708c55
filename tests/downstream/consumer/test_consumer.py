"""A consumer on a real broker: what it gives, drops, skips and puts aside, and how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
from typing import Any

import pytest

import otel_feedback as feedback
from otel_feedback.downstream import AsyncOutcomeConsumer, OutcomeConsumer, ReceivedEvent
from otel_feedback.events.model import SCHEMA_VERSION
from tests.downstream.topics import QUICK, Topic, event
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker
from tests.support import ROOT, environment


@pytest.fixture
def topic(kafka_broker: KafkaBroker, monkeypatch: pytest.MonkeyPatch) -> Topic:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    return Topic.make(kafka_broker)


def take(consumer: OutcomeConsumer, count: int) -> list[ReceivedEvent]:
    """Return the next events, all of them handled."""
    with consumer:
        taken: list[ReceivedEvent] = []
        for one in consumer:
            taken.append(one)
            if len(taken) == count:
                break
    return taken


def produce(topic: Topic, *values: Any, **headers: str) -> None:
    """Put records on the topic that no program of ours would."""
    encoded = [value if isinstance(value, bytes) else json.dumps(value).encode() for value in values]
    given = [(name, text.encode()) for name, text in headers.items()]
    kafka_clients.produce(topic.broker.bootstrap_servers, topic.name, encoded, key=b"run-0", headers=given)


def fields(number: int, **more: Any) -> dict[str, Any]:
    return {**event(number).to_dict(), **more}


def test_a_group_goes_on_where_it_ended_and_another_begins_anew(topic: Topic) -> None:
    sent = [event(number, tenant_id="acme") for number in range(50)]
    topic.send(sent)
    first, second = take(topic.consumer(), 20), take(topic.consumer(), 30)
    assert sorted(one.event_id for one in first + second) == [one.event_id for one in sent]
    assert {one.event_id: one.to_dict() for one in first + second} == {one.event_id: one.to_dict() for one in sent}
    assert len(take(topic.consumer("other"), 50)) == 50
    places = {one.position for one in first + second}
    assert places == {(topic.name, record.partition, record.offset) for record in topic.records()}


def test_repeats_and_revisions_that_are_not_newer_are_dropped(topic: Topic) -> None:
    produce(topic, *(fields(1, revision=revision) for revision in (0, 1, 1, 2, 1, 0)), fields(2))
    consumer = topic.consumer()
    assert [(one.event_id[-1], one.revision) for one in take(consumer, 4)] == [("1", 0), ("1", 1), ("1", 2), ("2", 1)]
    told = consumer.metrics()
    assert (told["handled"], told["repeated"], told["superseded"]) == (4, 1, 2)
    assert len(take(topic.consumer("all", window=0), 7)) == 7


def test_another_tenants_events_are_skipped_before_they_are_decoded(topic: Topic) -> None:
    produce(topic, b"not even JSON", schema_version="1.0", tenant_id="other")
    produce(topic, b"nor this", schema_version="1.0")
    produce(topic, fields(1, tenant_id="acme"), schema_version="1.0", tenant_id="acme")
    produce(topic, fields(2, tenant_id="acme"), fields(3, tenant_id="other"))  # an older producer's
    produce(topic, fields(4, tenant_id="acme"), schema_version="1.0", tenant_id="acme")
    consumer = topic.consumer(tenant_id="acme")
    assert [one.event_id[-1] for one in take(consumer, 3)] == ["1", "2", "4"]
    assert (consumer.metrics()["skipped"], consumer.metrics()["dead_letters"]) == (3, 0)


def test_the_headers_of_the_producer_tell_tenant_and_version(topic: Topic) -> None:
    topic.send([event(1, tenant_id="acme"), event(2)])
    told = {received.event_id[-1]: received.headers for received in take(topic.consumer(), 2)}
    assert (told["1"]["tenant_id"], told["1"]["schema_version"]) == (b"acme", SCHEMA_VERSION.encode())
    assert "tenant_id" not in told["2"]


@pytest.mark.brief
def test_what_cannot_be_used_goes_to_the_dead_letters_and_the_others_go_on(topic: Topic) -> None:
    """Neither JSON, nor an event, nor of this version; one for which the handler raises; one that it rejects."""
    deep = b'{"event_id": "e", "new": ' + b"[" * 10**5 + b"]" * 10**5 + b"}"
    produce(topic, fields(0), b"\xff{", fields(1, status="fine"), deep)
    produce(topic, fields(2), schema_version="2.0", tenant_id="acme")
    produce(topic, fields(3), fields(4), fields(5))
    consumer = topic.consumer()
    handled: list[str] = []

    def handle(received: ReceivedEvent) -> None:
        if received.event_id.endswith("3"):
            raise LookupError("no such customer")
        if received.event_id.endswith("4"):
            consumer.reject("not ours")
            return
        handled.append(received.event_id[-1])
        if received.event_id.endswith("5"):
            consumer.stop()

    consumer.run(handle)
    assert handled == ["0", "5"]
    letters = topic.letters()
    told = [
        tuple(dict(letter.headers)[f"error.{name}"].decode() for name in ("reason", "detail", "culprit", "group"))
        for letter in letters
    ]
    assert [one[0] for one in told] == [*["invalid_event"] * 4, "handler_raised", "rejected"]
    assert "status" in told[1][1]
    assert "schema_version='2.0'" in told[3][1]
    assert told[4][1] == "LookupError('no such customer')"
    assert told[5][1:] == ("not ours", "consumer", "group")
    originals = {record.offset: record for record in topic.records()}
    for letter in letters:
        headers = dict(letter.headers)
        original = originals[int(headers["original.offset"])]
        assert (letter.key, letter.value) == (original.key, original.value)
        assert list(letter.headers)[: len(original.headers)] == list(original.headers)
        assert (headers["original.topic"], headers["original.partition"]) == (
            topic.name.encode(), b"%d" % original.partition,
        )  # fmt: skip
    assert sum(topic.committed().values()) == 8, "all of them are done with"
    assert consumer.metrics()["dead_letters"] == 6


PROGRAM = """
    import asyncio, sys
    from otel_feedback import KafkaConfig
    from otel_feedback.downstream import AsyncOutcomeConsumer, OutcomeConsumer
    from tests.downstream.topics import QUICK
    kind, servers, topic = sys.argv[1:]
    given = dict(kafka=KafkaConfig(bootstrap_servers=(servers,), topic=topic), kafka_options=QUICK)

    def plain():
        with OutcomeConsumer("group", **given) as consumer:
            for event in consumer:
                print(event.event_id, flush=True)

    async def concurrent():
        async with AsyncOutcomeConsumer("group", **given) as consumer:
            async for event in consumer:
                print(event.event_id, flush=True)

    plain() if kind == "plain" else asyncio.run(concurrent())
    print("ended", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("kind", ["plain", "async"])
def test_a_signal_ends_the_loop_and_what_was_handled_is_committed(kind: str, number: int, topic: Topic) -> None:
    topic.send([event(number) for number in range(300)])
    program = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), kind, topic.broker.bootstrap_servers, topic.name],
        cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert program.stdout is not None
    said = [program.stdout.readline().strip() for _ in range(300)]
    os.kill(program.pid, number)
    rest = program.communicate()[0].split()
    assert (program.returncode, rest) == (0, ["ended"])
    assert len(set(said)) == 300
    assert sum(topic.committed().values()) == 300


def test_async_the_loop_stays_free_and_what_raises_is_put_aside(topic: Topic) -> None:
    async def main() -> tuple[list[str], int]:
        consumer = AsyncOutcomeConsumer("group", kafka=topic.config, kafka_options=QUICK)
        handled: list[str] = []
        turns, free = 0, asyncio.Event()

        async def handle(received: ReceivedEvent) -> None:
            await asyncio.sleep(0)
            if received.event_id.endswith("7"):
                raise ValueError("seven")
            handled.append(received.event_id)

        async def turn() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0.01)
                turns += 1
                if turns == 20:
                    free.set()
                told = consumer.metrics()
                if (told["handled"], told["dead_letters"]) == (18, 2):
                    consumer.stop()

        beside = asyncio.create_task(turn())
        reading = asyncio.create_task(consumer.run(handle))
        await free.wait()
        await asyncio.to_thread(topic.send, [event(number) for number in range(20)])
        await reading
        beside.cancel()
        return handled, consumer.metrics()["dead_letters"]

    handled, dead = asyncio.run(main())
    assert (len(handled), dead) == (18, 2)
    assert [dict(letter.headers)["error.detail"] for letter in topic.letters()] == [b"ValueError('seven')"] * 2
    assert sum(topic.committed().values()) == 20


def test_async_a_consumer_belongs_to_one_loop(topic: Topic) -> None:
    topic.send([event(1), event(2)])
    consumer = AsyncOutcomeConsumer("group", kafka=topic.config, kafka_options=QUICK)

    async def first() -> str:
        return (await anext(aiter(consumer))).event_id

    assert asyncio.run(first()).startswith("event-")
    with pytest.raises(RuntimeError, match="another event loop"):
        asyncio.run(first())
    asyncio.run(consumer.close())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"group": ""}, "group=''"),
        ({"start": "first"}, "start='first': expected one of earliest, latest"),
        ({"window": -1}, "window=-1"),
        ({"commit_interval_s": 0}, "commit_interval_s=0"),
        ({"tenant_id": " "}, "tenant_id=' '"),
        ({"kafka_options": {"enable_auto_commit": True}}, "enable_auto_commit"),
        ({"kafka_options": {"partition_assignment_strategy": []}}, "partition_assignment_strategy"),
        ({"kafka_bootstrap_servers": "nowhere"}, "nowhere"),
    ],
)
def test_arguments_that_cannot_be_used_are_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(feedback.ConfigError, match=message.replace("[", ".")):
        OutcomeConsumer(given.pop("group", "g"), **given)


def test_an_option_that_kafka_python_does_not_know_is_named(kafka_broker: KafkaBroker) -> None:
    config = feedback.KafkaConfig(bootstrap_servers=(kafka_broker.bootstrap_servers,))
    consumer = OutcomeConsumer("g", kafka=config, kafka_options={"colour": "red"})
    with pytest.raises(feedback.ConfigError, match="colour"), consumer:
        next(iter(consumer))


def test_closed_is_closed_and_rejecting_nothing_is_an_error(topic: Topic) -> None:
    consumer = topic.consumer()
    with pytest.raises(RuntimeError, match="no event in hand"):
        consumer.reject("why not")
    consumer.close()
    consumer.close()
    assert "closed" in repr(consumer)
    assert list(consumer) == []
    with pytest.raises(RuntimeError, match="closed"), consumer:
        pass
