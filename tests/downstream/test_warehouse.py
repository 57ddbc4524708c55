"""What docs/warehouse.md shows: its SQL by DuckDB on a store's files, and its Connect configuration by a real worker."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import date
from pathlib import Path
from statistics import quantiles
from typing import Any

import duckdb
import pytest

from otel_feedback.events.model import OutcomeEvent
from tests.downstream.store.stores import Store
from tests.downstream.tables import made
from tests.downstream.topics import Topic, event
from tests.examples.blocks import blocks
from tests.stack.connect import Connect
from tests.stack.kafka import KafkaBroker
from tests.stack.waiting import wait_until
from tests.support import ROOT

PAGE = ROOT / "docs" / "warehouse.md"
SINK = ROOT / "collector-config" / "bigquery-sink.json"


def newest(events: list[OutcomeEvent]) -> list[OutcomeEvent]:
    found: dict[str, OutcomeEvent] = {}
    for one in sorted(events, key=lambda one: one.revision):
        found[one.event_id] = one
    return list(found.values())


def test_the_queries_of_the_page_say_what_the_events_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = made.events(1_500)
    log = tmp_path / "outcomes.jsonl"
    log.write_bytes(b"".join(one.to_json().encode() + b"\n" for one in sent))
    store = Store(tmp_path / "store", "--from", str(log))
    store.once()
    monkeypatch.chdir(store.path)
    first, costs, levels, trail = (block.text for block in blocks(PAGE, "sql"))
    outcomes = newest(sent)
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        database.execute(first)

        by_day: dict[tuple[date, Any, Any], list[OutcomeEvent]] = defaultdict(list)
        for one in outcomes:
            by_day[(one.end_time or one.timestamp).date(), one.tenant_id, one.workflow_id].append(one)
        told = {row[:3]: row[3:] for row in database.execute(costs).fetchall()}
        assert told.keys() == by_day.keys()
        assert len(told) > 1
        for place, (runs, tokens, cost, unpriced) in told.items():
            mine = by_day[place]
            assert runs == len({one.run_id for one in mine if one.run_id is not None})
            assert (tokens or 0) == sum(one.own_tokens or 0 for one in mine)
            assert (cost or 0) == pytest.approx(sum(one.own_cost or 0 for one in mine), abs=1e-5)
            assert unpriced == sum(1 for one in mine if (one.own_tokens or 0) > 0 and one.own_cost is None)

        whole = [one for one in outcomes if one.parent_event_id is None and one.status != "pending"]
        told = {row[:2]: row[2:] for row in database.execute(levels).fetchall()}
        assert sum(row[0] for row in told.values()) == len(whole)
        for (month, tenant), (runs, percent, p95, is_met) in told.items():
            mine = [
                one for one in whole
                if one.tenant_id == tenant and (one.end_time or one.timestamp).date().replace(day=1) == month
            ]  # fmt: skip
            good = [one for one in mine if one.status == "success"]
            assert (runs, percent) == (len(mine), pytest.approx(100 * len(good) / len(mine), abs=1e-3))
            lasted = [one.duration_ms for one in mine if one.duration_ms is not None]
            assert p95 == pytest.approx(quantiles(lasted, n=20, method="inclusive")[-1], abs=0.51)
            assert is_met == (sum((one.duration_ms or 1e9) <= 30_000 for one in good) >= 0.99 * len(mine))

        tenant = next(one.tenant_id for one in outcomes if one.tenant_id is not None)
        rows = database.execute(trail.replace("acme", tenant)).fetchall()
        names = [column[0] for column in database.description or []]
        ids = [row[names.index("event_id")] for row in rows]
        assert sorted(ids) == sorted(one.event_id for one in outcomes if one.tenant_id == tenant)
        assert all(row[names.index("source_position")] is not None for row in rows)


def test_a_connect_worker_takes_the_configuration_and_reads_events_by_it(
    kafka_broker: KafkaBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With Kafka's own connector in place of BigQuery's, whose jar no package index has."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    topic, lines = Topic.make(kafka_broker, partitions=2), tmp_path / "lines"
    topic.send([event(number, metadata={"secret": number}, tenant_id="acme") for number in range(20)])
    config: dict[str, str] = json.loads(SINK.read_text("utf-8"))["config"]
    of_bigquery = {"project", "defaultDataset", "keyfile", "autoCreateTables", "allowNewBigQueryFields"}
    of_bigquery |= {"bigQueryPartitionDecorator"}
    config = {name: value for name, value in config.items() if name not in of_bigquery}
    config |= {
        "connector.class": "org.apache.kafka.connect.file.FileStreamSinkConnector", "file": str(lines),
        "topics": topic.name, "name": "to-a-file", "errors.deadletterqueue.topic.replication.factor": "1",
    }  # fmt: skip
    with Connect.launch(kafka_broker) as worker:
        assert worker.problems(config) == {}
        wrong = {**config, "transforms.columns.exclude": "", "transforms.table.regex": "(", "tasks.max": "none"}
        assert {"tasks.max", "transforms.table.regex"} <= worker.problems(wrong).keys(), "it does look"
        worker.create("to-a-file", config)
        wait_until(lambda: lines.exists() and lines.read_text().count("\n") >= 20, timeout_s=60, what="the events")
        assert worker.states("to-a-file") == ["RUNNING"]
    text = lines.read_text()
    assert "metadata" not in text
    assert "secret" not in text
    for one in text.splitlines():  # a map of Java's
        assert "tenant_id=acme" in one
        assert "timestamp=20" in one


def test_the_sink_is_for_the_table_of_the_contract() -> None:
    """Each column that it names is one of the generated schema."""
    config: dict[str, str] = json.loads(SINK.read_text("utf-8"))["config"]
    columns = json.loads((ROOT / "docs" / "schemas" / "outcome-event.bigquery.json").read_text("utf-8"))
    left_out = set(config["transforms.columns.exclude"].split(","))
    assert left_out == {column["name"] for column in columns if column["type"] == "JSON"}
    page = PAGE.read_text("utf-8")
    assert config["transforms.table.replacement"] in page
    # the connector names the day's partition otherwise, and of a table like this BigQuery takes no such row
    assert "--time_partitioning_field" in page
    assert config["bigQueryPartitionDecorator"] == "false"
