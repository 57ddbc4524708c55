"""Alerts to the topic `agent-alerts`: the newest of each key, as JSON; nothing for a key whose alert is forgotten.

For a topic that is compacted. On one thread, which may wait here.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import msgspec

from otel_feedback.downstream.alerts.machine import Alert
from otel_feedback.downstream.alerts.observing import Key
from otel_feedback.downstream.alerts.state import Acknowledged
from otel_feedback.errors import ExportError, describe
from otel_feedback.exporters.kafka.connection import KafkaConnection
from otel_feedback.settings.kafka import KafkaConfig

__all__ = ["ALERTS_TOPIC", "Publication", "Publisher", "key_of", "value_of"]

ALERTS_TOPIC = "agent-alerts"
SCHEMA_VERSION = "1.0"
WAIT_S = 30.0


class Publication(msgspec.Struct, frozen=True):
    """A key with its alert, None where there is none any more, and who knows of it."""

    key: Key
    alert: Alert | None
    acknowledged: Acknowledged | None = None


def key_of(key: Key) -> bytes:
    """Return the record's key: a JSON array of rule, tenant, agent and action."""
    return msgspec.json.encode(list(key))


def value_of(told: Publication) -> bytes | None:
    """Return the record's value: a JSON object, or None, which lets Kafka forget the key."""
    alert, known = told.alert, told.acknowledged
    if alert is None:
        return None
    rule, tenant, agent, action = told.key
    value: Mapping[str, object] = {
        "schema_version": SCHEMA_VERSION, "rule": rule, "tenant_id": tenant, "agent_name": agent, "action_type": action,
        "phase": alert.phase, "severity": alert.severity, "since": alert.since, "changed": alert.changed, "seen": alert.seen,
        "value": alert.value, "worst": alert.worst, "usual": alert.usual, "count": alert.count, "run_id": alert.run_id,
        "is_flapping": alert.is_flapping, "told": alert.told,
        "acknowledged": None if known is None else {"who": known.who, "why": known.why, "at": known.at},
    }  # fmt: skip
    return msgspec.json.encode(value)


class Publisher:
    """Sends them, by a producer that is built for the first.

    Args:
        config: Where Kafka is.
    """

    def __init__(self, config: KafkaConfig) -> None:
        # a Ctrl-C of who runs this must not wait for a broker that is away
        self._connection = KafkaConnection(config, lambda: None, {"max_block_ms": 10_000})

    def publish(self, told: Sequence[Publication]) -> None:
        """Send them in order, and wait until Kafka has them.

        Raises:
            ExportError: It has not.
        """
        producer = self._connection.producer()
        until = time.monotonic() + WAIT_S
        try:
            sent = [producer.send(ALERTS_TOPIC, key=key_of(each.key), value=value_of(each)) for each in told]
            self._connection.last = sent[-1] if sent else None  # so that one given up is not overtaken
            for future in sent:
                future.get(timeout=max(0.0, until - time.monotonic()))
        except Exception as exc:  # kafka-python's, of which each has a class
            self._connection.abandon()
            raise ExportError("unavailable", describe(exc), retryable=True) from exc

    def close(self) -> None:
        """Close the producer, if there is one."""
        self._connection.close(1.0)
