"""Whoever reads takes the setting of a topic for each tenant, and then has all of them: consumer, store, verify, commands."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.downstream.store.stores import Store
from tests.downstream.topics import QUICK, Topic, event
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker
from tests.stack.waiting import wait_until
from tests.support import run_cli

TENANTS = ("acme", "globex", None)


class Tenants(NamedTuple):
    """Topics of tenants that have events, and the ids of these by tenant."""

    base: str
    topic: Topic
    sent: dict[str | None, set[str]]

    @property
    def all_ids(self) -> set[str]:
        return {each for ids in self.sent.values() for each in ids}

    @property
    def variables(self) -> dict[str, str]:
        servers = self.topic.broker.bootstrap_servers
        return {"KAFKA_BOOTSTRAP_SERVERS": servers, "KAFKA_OUTCOME_TOPIC": self.topic.name}

    def told(self, *arguments: str) -> str:
        done = run_cli(*arguments, variables=self.variables)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def tenants(kafka_broker: KafkaBroker, monkeypatch: pytest.MonkeyPatch) -> Tenants:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    base = Topic.make(kafka_broker).name
    topic = Topic(kafka_broker, f"{base}.{{tenant}}")
    sent = {tenant: {f"event-{n:06d}" for n in range(90) if TENANTS[n % 3] == tenant} for tenant in TENANTS}
    topic.send([event(n, tenant_id=TENANTS[n % 3]) for n in range(90)])
    return Tenants(base, topic, sent)


def test_a_consumer_reads_the_topics_of_all_and_those_that_come(tenants: Tenants) -> None:
    seen: dict[str, str] = {}
    consumer = tenants.topic.consumer(stop_on_signals=False, kafka_options={**QUICK, "metadata_max_age_ms": 500})
    reading = threading.Thread(target=consumer.run, args=(lambda one: seen.update({one.event_id: one.position.topic}),))
    reading.start()
    try:
        wait_until(lambda: set(seen) == tenants.all_ids, timeout_s=60, what="all events")
        tenants.topic.send([event(900, tenant_id="late")])
        wait_until(lambda: "event-000900" in seen, timeout_s=60, what="the event of a new tenant")
    finally:
        consumer.stop()
        reading.join()
    assert {seen[each] for each in tenants.sent["acme"]} == {f"{tenants.base}.acme"}
    assert {seen[each] for each in tenants.sent[None]} == {tenants.base}
    assert seen["event-000900"] == f"{tenants.base}.late"


def test_a_store_has_them_all_once_and_goes_on_where_it_was(tenants: Tenants, tmp_path: Path) -> None:
    store = Store.of(tenants.topic, tmp_path / "store")
    assert store.once()["up_to_date"]
    # one says of another what it likes
    servers, value = tenants.topic.broker.bootstrap_servers, event(800, tenant_id="globex").to_json().encode()
    kafka_clients.produce(servers, f"{tenants.base}.acme", [value], key=b"run", headers=[])
    tenants.topic.send([event(900, tenant_id="late"), event(901, tenant_id="acme")])
    told = store.once()
    assert told["up_to_date"]
    rows = dict(store.select("event_id, (tenant_id, source)"))
    expected = {each: tenant for tenant, ids in tenants.sent.items() for each in ids}
    expected |= {"event-000900": "late", "event-000901": "acme"}
    assert rows == {
        each: (tenant, tenants.base if tenant is None else f"{tenants.base}.{tenant}")
        for each, tenant in expected.items()
    }
    [letter] = kafka_clients.read_to_end(servers, f"{tenants.base}-dlq")
    assert b"the topic is that of 'acme'" in dict(letter.headers)["error.detail"]
    assert len(store.select("event_id")) == len(rows), "nothing twice"


def test_verify_and_the_commands_have_them_all(tenants: Tenants) -> None:
    report = json.loads(tenants.told("verify", "--json"))
    assert report["complete"]
    assert [one["delivered"] for one in report["producers"]] == [90]
    lines = tenants.told(
        "tail", "--lines", "all", "--once", "--json", "--from", "topic", "--tenant", "acme"
    ).splitlines()
    assert {json.loads(line)["event_id"] for line in lines} == tenants.sent["acme"]
    stats = tenants.told("stats", "--from", "topic", "--by", "tenant", "--csv")
    assert {line.split(",")[0] for line in stats.splitlines()[1:]} >= {"acme", "globex"}
    made = tenants.told("topics", "--tenant", "new", "--tenant", "acme", "--partitions", "2")
    assert f"{tenants.base}.new" in made
    assert kafka_clients.partition_count(tenants.topic.broker.bootstrap_servers, f"{tenants.base}.new") == 2
    done = run_cli("topics", "--tenant", "a.b", variables=tenants.variables)
    assert (done.returncode, "--tenant" in done.stdout + done.stderr) == (1, True)
