"""The same numbers from the topic, from a log file and from a store; and `tail` of each."""

from __future__ import annotations

import json
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from otel_feedback import OutcomeEvent
from tests.downstream.tables import made
from tests.downstream.tables.test_opening import StoreFolder
from tests.downstream.topics import Topic
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker
from tests.support import run_cli

RECORDS = 6_000


@pytest.fixture(scope="module")
def records() -> list[OutcomeEvent]:
    return made.recent(made.events(RECORDS))


def read(*arguments: str, topic: Topic | None = None) -> str:
    variables = {"COLUMNS": "100"}
    if topic is not None:
        variables |= {"KAFKA_BOOTSTRAP_SERVERS": topic.broker.bootstrap_servers, "KAFKA_OUTCOME_TOPIC": topic.name}
    done: subprocess.CompletedProcess[str] = run_cli(*arguments, variables=variables)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


@pytest.mark.brief
def test_the_topic_a_log_file_and_a_store_have_the_same_numbers(
    kafka_broker: KafkaBroker, records: list[OutcomeEvent], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    topic = Topic.make(kafka_broker, partitions=3)
    topic.send(records)
    log = tmp_path / "outcomes.jsonl"
    log.write_bytes(b"".join(record.to_json().encode() + b"\n" for record in records))
    store = StoreFolder(tmp_path / "store")
    store.add(records[: RECORDS // 2])
    store.add(records[RECORDS // 2 :])
    sources = [(["--from", "topic"], topic), (["--from", str(log)], None), (["--from", str(store.folder)], None)]

    since = (datetime.now(timezone.utc) - timedelta(hours=1)).isoformat()
    until = (datetime.now(timezone.utc) - timedelta(minutes=20)).isoformat()
    for command in (
        ["stats", "--json"],
        ["stats", "--json", "--by", "tenant,tag", "--since", since, "--until", until, "--text", "e"],
        ["failures", "--json", "--since", since, "--until", until, "--agent", "planner", "--agent", "-"],
        ["sql", "--json", "SELECT * FROM windows ORDER BY ALL"],
        ["sql", "--json", "--tenant", "acme", "SELECT * FROM runs ORDER BY run_id"],
        ["trace", "--json", "run-77"],
    ):
        found = [made.rounded(json.loads(read(*command, *where, topic=there))) for where, there in sources]
        assert found[0] == found[1] == found[2], command
        assert found[0], command

    # of a topic with several partitions in the order of time, so that a pending one may be told before its end or not
    newest = ["tail", "--once", "--json", "-n", "200", "--user", "u-7", "--status", "success"]
    shown = [
        {
            event["event_id"]: event["revision"]
            for event in map(json.loads, read(*newest, *where, topic=there).splitlines())
        }
        for where, there in sources
    ]
    assert shown[0] == shown[1] == shown[2]

    # whose they are is told on the topic; and what is no event there is counted, not read
    kafka_clients.produce(kafka_broker.bootstrap_servers, topic.name, [b"no event", b'{"event_id": "x"}', b"{}\n{}"])
    text = [
        "sql",
        "--csv",
        "--from",
        "topic",
        "SELECT count(*), count(DISTINCT sequence), count(*) - count(producer_id) FROM events",
    ]
    done = run_cli(
        *text,
        variables={"KAFKA_BOOTSTRAP_SERVERS": topic.broker.bootstrap_servers, "KAFKA_OUTCOME_TOPIC": topic.name},
    )
    assert done.stdout.splitlines()[1] == f"{RECORDS},{RECORDS},0"
    assert done.stderr == "3 lines left out: no outcome event\n"


def test_tail_of_a_topic_shows_what_comes(kafka_broker: KafkaBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    import signal
    import sys

    from tests.support import environment

    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    topic = Topic.make(kafka_broker, partitions=3)
    first, second = made.outcomes(made.events(40))[:2]
    topic.send([first])
    command = [sys.executable, "-m", "otel_feedback", "tail", "--json", "--from", "topic"]
    variables = environment(KAFKA_BOOTSTRAP_SERVERS=topic.broker.bootstrap_servers, KAFKA_OUTCOME_TOPIC=topic.name)
    with subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["event_id"] == first.event_id
        topic.send([second])
        assert json.loads(process.stdout.readline())["event_id"] == second.event_id
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        assert process.stderr.read() == ""


def test_a_broker_that_is_away_and_a_topic_that_is_missing_are_said(kafka_broker: KafkaBroker) -> None:
    for servers, message in (
        ("127.0.0.1:1", "connection refused"),
        (kafka_broker.bootstrap_servers, "there is no topic nowhere, or this client may not see it"),
    ):
        variables = {"KAFKA_BOOTSTRAP_SERVERS": servers, "KAFKA_OUTCOME_TOPIC": "nowhere"}
        for command in ("stats", "tail"):
            done = run_cli(command, variables=variables)
            assert (done.returncode, done.stdout) == (1, "")
            assert message in done.stderr


def test_tail_of_a_store_shows_what_is_written_to_it_and_nothing_again_when_it_is_compacted(tmp_path: Path) -> None:
    from otel_feedback.cli.reading.feeds import StoreFeed
    from otel_feedback.downstream.tables.selection import Selection

    def placed(offset: int, count: int) -> list[dict[str, Any]]:
        return [
            {**event.to_dict(), "source": "t", "source_partition": 0, "source_position": offset + number}
            for number, event in enumerate(made.outcomes(made.events(100))[offset : offset + count])
        ]

    store = StoreFolder(tmp_path / "store")
    store.add_placed(placed(0, 10))
    feed = StoreFeed(store.folder)
    assert len(list(feed.newest(5, Selection()))) == 5
    assert list(feed.more()) == []
    store.add_placed(placed(10, 3))
    assert [event.event_id for event in feed.more()] == [row["event_id"] for row in placed(10, 3)]
    store.replace_all(placed(0, 13))
    assert list(feed.more()) == []
