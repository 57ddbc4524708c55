"""Rules on the windows of a topic see what they see of the events; and what they cannot see is named."""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from otel_feedback import KafkaConfig
from otel_feedback.cli.main import main
from otel_feedback.downstream.alerts.looking import look
from otel_feedback.downstream.alerts.metrics import METRICS_TOPIC, MetricsTopic, blind_to_windows
from otel_feedback.downstream.alerts.observing import Observation
from otel_feedback.downstream.alerts.reading import parse, read
from tests.downstream.alerts.test_observing import log
from tests.downstream.tables import made
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker

RULES = """
[[rule]]
name = "errors"
kind = "errors"
above = 0.1
compare = "1h"
rise = 1.5
min_count = 5
[[rule]]
name = "errors-of-agents"
kind = "errors"
by = ["agent"]
window = "30m"
above = 0.2
[[rule]]
name = "cost"
kind = "cost"
above = 0.1
compare = "6h"
[[rule]]
name = "slow"
kind = "latency"
above = 1000
percentile = 0.99
tenant = ["acme"]
min_count = 5
[[rule]]
name = "quality"
kind = "quality"
by = ["tenant"]
below = 0.5
min_count = 5
"""
NOW = made.BEGIN + timedelta(hours=2, seconds=40)


def row(key: tuple[Any, ...], window: dict[str, Any]) -> tuple[bytes, bytes]:
    """Return a record as the streaming jobs write it."""
    start, tenant, agent, action = key
    at = f"{datetime.fromtimestamp(start, made.BEGIN.tzinfo):%Y-%m-%dT%H:%M:%SZ}"
    value = {"window_start": at, "tenant_id": tenant, "agent_name": agent, "action_type": action, **window}
    return json.dumps([at, tenant, agent, action]).encode(), json.dumps(value).encode()


def topic(broker: KafkaBroker, records: Iterable[tuple[bytes, bytes]]) -> str:
    name = f"metrics-{uuid.uuid4().hex[:12]}"
    broker.create_topic(name)
    kafka_clients.produce_keyed(broker.bootstrap_servers, name, records, compression="zstd")
    return name


def by_key(found: Iterable[Observation]) -> dict[Any, Observation]:
    return {(each.key, each.at): each for each in found}


def test_rules_see_of_windows_what_they_see_of_events(kafka_broker: KafkaBroker, tmp_path: Path) -> None:
    events = made.events(20_000)
    windows = made.windows(events)
    wrong = [row(key, {**window, "failures": 10_000}) for key, window in windows.items()]  # older than the next
    name = topic(kafka_broker, [*wrong, (b"x", b"no row"), *(row(key, window) for key, window in windows.items())])
    source = MetricsTopic(KafkaConfig(bootstrap_servers=(kafka_broker.bootstrap_servers,)), name)
    file = parse(RULES)
    found, expected = by_key(source.look(file, NOW)), by_key(look(file, log(tmp_path, events), NOW))
    assert found.keys() == expected.keys()
    assert {each.key.rule for each in found.values()} == {rule.name for rule in file.rules}
    for key, one in found.items():
        other = expected[key]
        is_exact = one.key.rule.startswith("errors") or one.key.rule == "cost"
        assert one.value == pytest.approx(other.value, rel=1e-9), key
        assert one.judged == pytest.approx(other.judged if is_exact else other.value, rel=1e-9), key
        assert (one.before is None) == (other.before is None)
        if one.before is not None:
            assert one.before == pytest.approx(other.before, rel=1e-9)
        assert one.count == other.count or one.key.rule == "cost"  # those without a price are in it
    assert by_key(source.look(file, NOW)) == found, "read once"


def test_a_window_is_looked_at_when_it_is_whole(kafka_broker: KafkaBroker) -> None:
    """When a later one has begun, or nothing is written for a while; one that is taken back is none."""
    window = {"executions": 100, "failures": 50, "timeouts": 0, "cost": None, "avg_quality": None, "quality_count": 0}
    start = NOW.timestamp() // 300 * 300 - 300
    name = topic(kafka_broker, [row((start, "a", "b", "c"), window)])
    config = KafkaConfig(bootstrap_servers=(kafka_broker.bootstrap_servers,))
    file = parse('[[rule]]\nname = "it"\nkind = "errors"\n')
    source = MetricsTopic(config, name)
    assert source.look(file, NOW) == [], "it was written just now, which is later than NOW"
    key, value = row((start + 300, "a", "other", "c"), window)
    kafka_clients.produce_keyed(kafka_broker.bootstrap_servers, name, [(key, value)], compression="gzip")
    (seen,) = source.look(file, NOW)
    assert (seen.key.agent, seen.value, seen.count) == ("b", 0.5, 100)
    kafka_clients.produce_keyed(
        kafka_broker.bootstrap_servers, name, [(row((start, "a", "b", "c"), {})[0], None)], compression="gzip"
    )
    assert source.look(file, NOW) == []


def test_what_windows_do_not_say_is_named(
    kafka_broker: KafkaBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blind = {rule.name for rule in blind_to_windows(read(None))}
    assert blind == {"stuck", "silent", "missing", "losing", "behind", "dead-letters"}
    other = '[[rule]]\nname = "it"\nkind = "latency"\nabove = 1\n'
    for line, is_blind in {
        'by = ["agent"]': True, 'window = "10m"': True, "percentile = 0.9": True, 'service = ["x"]': True,
        "percentile = 0.5": False, 'agent = ["x*"]': False,
    }.items():  # fmt: skip
        assert bool(blind_to_windows(parse(other + line))) == is_blind, line
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka_broker.bootstrap_servers)
    with contextlib.suppress(kafka_clients.KafkaError):  # another test's
        kafka_broker.create_topic(METRICS_TOPIC)
    window = {"executions": 100, "failures": 90, "timeouts": 0, "cost": None, "avg_quality": None, "quality_count": 0}
    now = time.time() // 300 * 300
    records = [row((start, "a", "b", "c"), window) for start in (now - 600, now)]
    kafka_clients.produce_keyed(kafka_broker.bootstrap_servers, METRICS_TOPIC, records, compression="zstd")
    state = ["--state", str(tmp_path / "state")]
    assert main(["alerts", "run", "--once", "--from", "agent-metrics", *state]) == 0
    assert capsys.readouterr().err == ""
    assert main(["alerts", "list", "--json", *state]) == 1, "one is open"
    (alert,) = json.loads(capsys.readouterr().out)["alerts"]
    assert (alert["rule"], alert["agent"], alert["value"]) == ("errors", "b", 0.9)


def test_a_topic_that_is_not_there_is_said(kafka_broker: KafkaBroker) -> None:
    source = MetricsTopic(KafkaConfig(bootstrap_servers=(kafka_broker.bootstrap_servers,)), "nowhere")
    with pytest.raises(Exception, match="there is no topic nowhere"):
        source.look(read(None), NOW)
