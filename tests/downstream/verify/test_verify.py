"""`otel-feedback verify` on a real broker: complete, repeated, declared lost, and what nobody declared."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

import otel_feedback as feedback
from tests.downstream.topics import Topic, event
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker
from tests.stack.waiting import wait_until
from tests.support import ROOT, environment, run_cli


@pytest.fixture
def topic(kafka_broker: KafkaBroker, monkeypatch: pytest.MonkeyPatch) -> Topic:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    return Topic.make(kafka_broker, partitions=3)


def verify(topic: Topic, *arguments: str, columns: int = 120) -> subprocess.CompletedProcess[str]:
    variables = {
        "KAFKA_BOOTSTRAP_SERVERS": topic.broker.bootstrap_servers, "KAFKA_OUTCOME_TOPIC": topic.name,
        "COLUMNS": str(columns),
    }  # fmt: skip
    return run_cli("verify", *arguments, variables=variables)


def data(topic: Topic, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = verify(topic, "--json", *arguments)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


DIES = """
    import sys, time
    import otel_feedback as feedback
    from tests.downstream.topics import event
    servers, topic = sys.argv[1:]
    config = feedback.KafkaConfig(bootstrap_servers=(servers,), topic=topic, linger_ms=60_000)
    pipeline = feedback.configure(kafka=config, enable_outcome_logging=False, service_name="dies", audit_interval_s=1)
    for number in range(100):
        assert pipeline.record_outcome(event(number))
    assert pipeline.force_flush(60)
    for number in range(100, 140):
        assert pipeline.record_outcome(event(number))
    print(pipeline.producer_id, flush=True)
    time.sleep(600)
"""


def test_a_producer_that_died_has_events_in_its_journal_until_they_are_replayed(topic: Topic, tmp_path: Path) -> None:
    """They are pending, not missing, as it told before it was killed; another producer is not concerned."""
    variables = {
        "KAFKA_BOOTSTRAP_SERVERS": topic.broker.bootstrap_servers, "KAFKA_OUTCOME_TOPIC": topic.name,
        "OTEL_FEEDBACK_JOURNAL_DIR": str(tmp_path), "OTEL_TRACES_EXPORTER": "none", "OTEL_SERVICE_NAME": "dies",
    }  # fmt: skip
    victim = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(DIES), topic.broker.bootstrap_servers, topic.name],
        cwd=ROOT, env=environment() | variables, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert victim.stdout is not None
        died = victim.stdout.readline().strip()
        other = topic.send([event(number) for number in range(200, 260)])

        def told() -> dict[str, dict[str, Any]]:
            code, found = data(topic)
            assert (code, found["missing"]) == (0, 0)
            return {one["producer_id"]: one for one in found["producers"]}

        wait_until(lambda: told()[died]["end"] == 140, timeout_s=60, what="its account")
    finally:
        victim.kill()
        victim.communicate()
    found = told()
    assert (found[died]["state"], found[died]["delivered"], found[died]["closed"]) == ("pending", 100, False)
    assert found[died]["pending"] == [{"first": 100, "last": 139}]
    assert (found[other]["state"], found[other]["delivered"], found[other]["closed"]) == ("complete", 60, True)
    shown = verify(topic).stdout
    assert "1 producer did not say that there will be no more" in shown
    assert "nothing is missing: what is not on the topic is declared lost, or may still come" in shown

    replayed = run_cli("journal", "replay", "--timeout", "60", variables=variables)
    assert replayed.returncode == 0, replayed.stderr + replayed.stdout
    found = told()
    assert (found[died]["state"], found[died]["delivered"]) == ("complete", 140)


def test_the_fields_of_the_json_are_those_of_the_page(topic: Topic) -> None:
    topic.send([event(1)])
    _, told = data(topic)
    page = (ROOT / "docs" / "consuming.md").read_text().partition("`--json` writes one object:")[2].split("\n\n")
    tables = [
        [name for line in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", line.split("|")[1])]
        for table in page
        if table.startswith("| Field")
    ]
    assert [sorted(names) for names in tables] == [sorted(told), sorted(told["producers"][0])]


def test_a_narrow_terminal_has_lines_in_place_of_the_table(topic: Topic) -> None:
    producer_id = topic.send([event(number) for number in range(1_200)])
    shown = verify(topic, columns=60).stdout.splitlines()
    assert max(map(len, shown)) <= 60
    at = next(number for number, line in enumerate(shown) if line.startswith(producer_id[:8]))
    assert shown[at].endswith(": complete")
    assert shown[at + 1] == "  1,200 delivered"


def delete_first(topic: Topic, producer_id: str) -> int:
    """Delete the first record of a partition, which is a producer's; return its sequence."""
    first = next(
        record for record in topic.records()
        if record.offset == 0 and dict(record.headers)["producer_id"] == producer_id.encode()
    )  # fmt: skip
    kafka_clients.delete_below(topic.broker.bootstrap_servers, topic.name, first.partition, 1)
    return int(dict(first.headers)["sequence"])


@pytest.mark.brief
def test_a_record_that_was_deleted_is_missing(topic: Topic) -> None:
    producer_id = topic.send([event(number) for number in range(200)])
    code, told = data(topic)
    assert (code, told["complete"], told["missing"]) == (0, True, 0)
    [producer] = told["producers"]
    assert (producer["producer_id"], producer["delivered"], producer["end"], producer["closed"]) == (
        producer_id, 200, 200, True,
    )  # fmt: skip
    assert "complete: every event is on the topic" in verify(topic).stdout

    sequence = delete_first(topic, producer_id)
    code, told = data(topic)
    assert (code, told["complete"], told["missing"]) == (1, False, 1)
    assert told["producers"][0]["missing"] == [{"first": sequence, "last": sequence}]
    assert told["producers"][0]["delivered"] == 199
    shown = verify(topic)
    assert shown.returncode == 1
    assert f"missing: sequence {sequence}\n" in shown.stdout
    assert "1 event missing that nobody declared lost" in shown.stdout
    assert "by its retention, use --since; or by hand" in shown.stdout


def test_a_record_that_came_twice_is_counted_and_one_of_nobody_too(topic: Topic) -> None:
    topic.send([event(number) for number in range(20)])
    once = topic.records()[7]
    servers = topic.broker.bootstrap_servers
    kafka_clients.produce(servers, topic.name, [once.value or b""] * 2, key=once.key, headers=once.headers)
    kafka_clients.produce(servers, topic.name, [b"{}"])
    given = [("producer_id", b"0" * 32), ("sequence", b"9" * 5_000)]
    kafka_clients.produce(servers, topic.name, [b"{}"], headers=given)
    code, told = data(topic)
    assert (code, told["complete"], told["records_of_nobody"]) == (0, True, 2)
    assert (told["producers"][0]["delivered"], told["producers"][0]["repeated"]) == (20, 2)


def test_a_declared_loss_is_named_with_its_reason_and_is_not_missing(topic: Topic) -> None:
    """The broker hears of it too late: a small journal has dropped its oldest by then."""
    config = feedback.KafkaConfig(
        bootstrap_servers=(topic.broker.bootstrap_servers,), topic=topic.name, linger_ms=60_000, batch_size=10_000
    )
    pipeline = feedback.configure(kafka=config, enable_outcome_logging=False, journal_max_bytes=65_536)
    for number in range(1_000):
        assert pipeline.record_outcome(event(number))
    pipeline.shutdown(30)
    account = pipeline.metrics()["exporters"]["kafka"]
    lost = account["lost"]["retention"]
    assert lost > 100
    code, told = data(topic)
    [producer] = told["producers"]
    assert (code, told["complete"], producer["state"], producer["delivered"]) == (0, False, "losses", 1_000 - lost)
    assert {loss["reason"] for loss in producer["losses"]} == {"retention"}
    assert sum(loss["count"] for loss in producer["losses"]) == lost
    assert "lost (retention): " in verify(topic).stdout


def test_since_looks_at_what_was_recorded_from_then_on(topic: Topic) -> None:
    """What was recorded and deleted before is not looked for; each producer of the time is."""
    first = topic.send([event(number) for number in range(60)])
    since = datetime.now(timezone.utc).isoformat()
    second = topic.send([event(number) for number in range(60, 120)])
    delete_first(topic, first)
    assert data(topic)[0] == 1
    code, told = data(topic, "--since", since)
    assert (code, told["complete"]) == (0, True)
    assert [(one["producer_id"], one["delivered"]) for one in told["producers"]] == [(second, 60)]
    assert data(topic, "--since", "2d")[0] == 1
    nothing = verify(topic, "--since", "2099-01-01").stdout
    assert "there is nothing to look for" in nothing
    assert "complete" not in nothing


def test_a_topic_that_is_missing_and_a_broker_that_is_away_are_said(topic: Topic) -> None:
    nowhere = verify(Topic(topic.broker, "no-such-topic"))
    assert nowhere.returncode == 1
    assert "there is no topic no-such-topic, or this client may not see it" in nowhere.stderr
    away = verify(topic, "--bootstrap-servers", "127.0.0.1:1")
    assert (away.returncode, away.stdout) == (1, "")
    assert "connection refused" in away.stderr
