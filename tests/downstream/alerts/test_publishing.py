"""Alerts on `agent-alerts`, on a real broker: keyed, compacted, and what is forgotten is forgotten there, too."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

from otel_feedback import KafkaConfig
from otel_feedback.downstream.alerts.machine import Alert, Phase
from otel_feedback.downstream.alerts.observing import Key
from otel_feedback.downstream.alerts.publishing import Publication, Publisher, key_of
from otel_feedback.downstream.alerts.state import Acknowledged
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker
from tests.support import run_cli

AT = datetime(2026, 3, 2, 9, 0, tzinfo=timezone.utc)


def test_each_change_is_a_record_of_its_key(kafka_broker: KafkaBroker, tmp_path: Path) -> None:
    servers = kafka_broker.bootstrap_servers
    kafka_clients.delete_topics(servers, "agent-alerts")  # others may have had it made by what they sent
    made = run_cli("topics", variables={"KAFKA_BOOTSTRAP_SERVERS": servers}, folder=tmp_path)
    assert made.returncode == 0, made.stdout
    assert "'compact'" in kafka_clients.topic_settings(servers, "agent-alerts")
    key = Key("published", "acme", None, "plan")
    alert = Alert(
        key=key, phase=Phase.FIRING, since=AT, changed=AT, seen=AT, value=0.5, worst=0.5, count=40, severity="warning"
    )
    publisher = Publisher(KafkaConfig(bootstrap_servers=(servers,)))
    publisher.publish([Publication(key, alert, Acknowledged(key, AT, AT, "ann", "known")), Publication(key, None)])
    publisher.close()
    records = kafka_clients.read_to_end(servers, "agent-alerts")
    first, last = (record for record in records if record.key == key_of(key))
    assert first.key is not None
    assert json.loads(first.key) == ["published", "acme", None, "plan"]
    assert first.value is not None
    value = json.loads(first.value)
    assert (value["rule"], value["tenant_id"], value["agent_name"], value["phase"]) == (
        "published",
        "acme",
        None,
        "firing",
    )
    assert value["acknowledged"]["who"] == "ann"
    assert (last.key, last.value) == (first.key, None)
