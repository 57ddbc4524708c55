"""Feedback in the store: the same as on the topic and in the log, through kills, repeats, erasure and retention."""

from __future__ import annotations

import json
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest

from otel_feedback import Feedback, OutcomeEvent
from otel_feedback.downstream.tables.opening import open_log
from otel_feedback.downstream.tables.stored import open_store
from otel_feedback.downstream.tables.tables import Tables
from otel_feedback.events.feedback import feedback_id_of
from tests.downstream.store.stores import Store, append, line
from tests.downstream.store.test_kills import kill_again_and_again
from tests.downstream.tables import given as givens
from tests.downstream.tables import made
from tests.downstream.topics import Topic, event
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker
from tests.support import run_cli

NOW = datetime.now(timezone.utc)
_MEASURES = "feedback_score, feedback_count, feedback_coverage"
QUESTIONS = (
    "SELECT event_id, feedback_score, feedback_count FROM outcomes ORDER BY ALL",
    f"SELECT window_start, tenant_id, agent_name, action_type, {_MEASURES} FROM windows ORDER BY ALL",
    f"SELECT run_id, {_MEASURES} FROM runs ORDER BY ALL",
    "SELECT feedback_id, counts_for, tenant_id, timestamp, score, label, delay_s FROM feedback ORDER BY ALL",
)


def said(of: str, score: float | None = 0.5, **fields: Any) -> Feedback:
    target: dict[str, Any] = (
        {"target": "run", "run_id": of} if of.startswith("run-") else {"target": "event", "event_id": of}
    )
    more: dict[str, Any] = {"name": "user_rating", "source": "human", "timestamp": NOW, **fields}
    key = feedback_id_of(target["target"], of, more["name"], more["source"], fields.get("by"))
    return Feedback(feedback_id=key, score=score, **target, **more)


def write(log: Path, *records: OutcomeEvent | Feedback) -> None:
    append(log, "".join(record.to_json() + "\n" for record in records).encode())


def ids(store: Store) -> list[str]:
    return sorted(row[0] for row in store.select("coalesce(event_id, run_id)", "feedback"))


def answers(tables: Tables) -> list[Any]:
    return [made.rounded([list(row) for row in tables.query(question)]) for question in QUESTIONS]


def test_topic_store_and_log_say_the_same(kafka_broker: KafkaBroker, log: Path, tmp_path: Path) -> None:
    topic = Topic.make(kafka_broker)
    kafka_broker.create_topic(topic.feedback, 3)
    records = made.recent(made.events(600))
    given = givens.feedback(records, share=0.4)
    write(log, *given, *records)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("OTEL_TRACES_EXPORTER", "none")
        topic.send(records)
    topic.give([*given, msgspec.structs.replace(given[0], feedback_id="x", score=0.0)])
    topic.give([given[1]])
    store = Store.of(topic, tmp_path / "store")
    told = store.once()
    assert told["up_to_date"]
    assert told["feedback"] == len(given) + 2
    write(log, msgspec.structs.replace(given[0], feedback_id="x", score=0.0))
    with open_log([log]) as lines, open_store(store.path) as stored:
        wanted = answers(lines)
        assert answers(stored) == wanted
    assert sum(row[2] for row in wanted[0]) > 100
    measures = ("feedback_score", "feedback_count", "feedback_coverage", "executions")
    found = []
    for source in ("topic", str(store.path), str(log)):
        done = run_cli("stats", "--from", source, "--by", "agent", "--json", variables=store.variables)
        assert done.returncode == 0, done.stderr
        document = json.loads(done.stdout)
        groups = {one["agent"]: [made.rounded(one[name]) for name in measures] for one in document["groups"]}
        found.append((groups, made.rounded(document["feedback"])))
    assert found[0] == found[1] == found[2]
    assert found[0][1], "by name, too"


def test_a_writer_that_is_killed_has_each_record_once(kafka_broker: KafkaBroker, tmp_path: Path) -> None:
    topic = Topic.make(kafka_broker)
    kafka_broker.create_topic(topic.feedback, 2)
    store = Store.of(topic, tmp_path / "store")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("OTEL_TRACES_EXPORTER", "none")
        topic.give([said(f"run-{number % 24}", by=f"u-{number}") for number in range(150)])
        kill_again_and_again(topic, store, 2, 1_500)
        topic.give([said(f"run-{number % 24}", by=f"u-{number}") for number in range(150, 300)])
    assert store.once()["up_to_date"]
    places = store.select("read_partition, read_position", "feedback")
    assert len(places) == 300
    assert len(set(places)) == 300
    with open_store(store.path) as tables:
        assert tables.query("SELECT count(*), count(counts_for) FROM feedback") == [(300, 300)]


def test_what_is_none_on_the_topic_is_said_and_counted(kafka_broker: KafkaBroker, tmp_path: Path) -> None:
    topic = Topic.make(kafka_broker)
    store = Store.of(topic, tmp_path / "store")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("OTEL_TRACES_EXPORTER", "none")
        topic.send([event(1)])
    assert store.once()["up_to_date"], "without its topic"
    kafka_broker.create_topic(topic.feedback, 1)
    topic.give([said("run-1"), msgspec.structs.replace(said("run-1"), schema_version="7.0")])
    told = store.once()
    assert (told["feedback"], told["no_events"]) == (1, 1)


def test_each_tenant_has_its_own_topic_and_says_nothing_of_anothers(kafka_broker: KafkaBroker, tmp_path: Path) -> None:
    name = f"outcomes-{uuid.uuid4().hex[:8]}"
    topics = {tenant: Topic(kafka_broker, f"{name}.{tenant}") for tenant in ("acme", "globex")}
    for tenant in topics:
        kafka_broker.create_topic(f"{name}.{tenant}", 1)
        kafka_broker.create_topic(f"{name}-said.{tenant}", 1)
    variables = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka_broker.bootstrap_servers, "KAFKA_OUTCOME_TOPIC": f"{name}.{{tenant}}",
        "KAFKA_FEEDBACK_TOPIC": f"{name}-said.{{tenant}}",
    }  # fmt: skip
    store = Store(tmp_path / "store", **variables)

    def produce(topic: str, *records: OutcomeEvent | Feedback) -> None:
        values = [record.to_json().encode() for record in records]
        kafka_clients.produce(kafka_broker.bootstrap_servers, topic, values, key=b"k")

    for tenant in topics:
        produce(f"{name}.{tenant}", event(1, event_id=f"of-{tenant}", run_id=f"run-{tenant}", tenant_id=tenant))
    produce(f"{name}-said.acme", said("of-acme", 1.0, tenant_id="acme"), said("of-globex", 0.0, tenant_id="globex"))
    produce(f"{name}-said.globex", said("of-globex", 0.5, tenant_id="globex"))
    told = store.once()
    assert (told["feedback"], told["no_events"]) == (2, 1)
    with open_store(store.path) as tables:
        asked = "SELECT event_id, feedback_score FROM outcomes ORDER BY event_id"
        assert tables.query(asked) == [("of-acme", 1.0), ("of-globex", 0.5)]
    assert store.once()["feedback"] == 0, "its positions are kept"


# -- erasure, retention --------------------------------------------------------------------------------------------


def erase(store: Store, *arguments: str) -> int:
    done = run_cli("erase", "--store", str(store.path), "--json", *arguments)
    assert done.returncode == 0, done.stderr
    return int(json.loads(done.stdout)["erased"])


def test_erasing_a_tenant_or_a_user_erases_what_was_said_by_them_and_of_their_actions(log: Path, store: Store) -> None:
    events = [
        event(1, event_id="a", run_id="run-a", user_id="somebody"), event(2, event_id="b", run_id="run-b", user_id="u-2"),
        event(3, event_id="c", run_id="run-c", tenant_id="acme"),
    ]  # fmt: skip
    by_others = [
        said("a", comment="of somebody's action"),
        said("run-a", by="u-9"),
        said("c"),
        said("run-b", tenant_id="acme"),
    ]
    kept = [said("b", by="u-3"), said("run-b", by="u-4")]
    write(log, *events, *by_others, said("b", by="somebody"), *kept)
    store.once()
    assert len(ids(store)) == 7
    assert erase(store, "--user", "somebody") == 1 + 3
    assert erase(store, "--tenant", "acme") == 1 + 2
    assert ids(store) == ["b", "run-b"]
    held = b"".join(path.read_bytes() for path in store.path.rglob("*.parquet"))
    assert b"somebody" not in held


def test_what_is_said_later_of_what_was_erased_is_kept_out_and_a_rebuild_obeys(log: Path, store: Store) -> None:
    write(log, event(1, event_id="a", run_id="run-a", user_id="u-1"), event(2, event_id="b", run_id="run-b"))
    write(log, said("a"))
    store.once()
    assert erase(store, "--user", "u-1") == 2
    later = NOW + timedelta(days=2)
    write(log, said("a", by="late", timestamp=later), said("run-a", timestamp=later), said("b", timestamp=later))
    told = store.once()
    assert (told["feedback"], told["erased"]) == (1, 2)
    assert ids(store) == ["b"]
    # a journal's replay: what was said of it was here before it
    write(log, said("z"), said("b", by="other"))
    store.once()
    assert ids(store) == ["b", "b", "z"]
    append(log, line(event(3, event_id="z", user_id="u-1", end_time=NOW - timedelta(days=1))))
    assert store.once()["erased"] == 2
    assert ids(store) == ["b", "b"]
    store.once("--rebuild")
    assert ids(store) == ["b", "b"]


def test_it_is_kept_as_long_as_its_days_are(log: Path, store: Store) -> None:
    old = NOW - timedelta(days=9)
    write(log, event(1, event_id="a", end_time=old), said("a", timestamp=old), said("a", by="u", timestamp=NOW))
    write(log, event(2, event_id="b", end_time=NOW), said("b"))
    store.once()
    assert len(ids(store)) == 3
    store.once("--retention-days", "3")
    assert ids(store) == ["a", "b"], "what was said of it since is of the newer days"
