"""What a topic takes, asked when it has refused something: librdkafka hands on no more than the number of the error.

By kafka-python's client, as what is asked of topics of tenants. Where this client may not describe the topic, nobody knows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from otel_feedback.exporters.kafka.asking import admin_client
from otel_feedback.settings.kafka import KafkaConfig

__all__ = ["TopicLimits", "ask_limits"]

_ENDLESS_MS = 2**60


class TopicLimits(NamedTuple):
    """How large a batch may be, and how long ago and how far ahead a record may be dated, None where that is not limited."""

    batch_bytes: int
    before_ms: int | None
    after_ms: int


def ask_limits(config: KafkaConfig, topic: str) -> TopicLimits | None:
    """Return a topic's limits; None where they cannot be had."""
    try:
        with admin_client(config, "limits") as admin:
            from kafka.admin import ConfigResource, ConfigResourceType

            told = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter="all")
        return _limits(told, topic)
    except Exception:  # not allowed, or away: then it is found out by trying
        return None


def _limits(told: Any, topic: str) -> TopicLimits:
    values = {name: config["value"] for name, config in told["topic"][topic].items()}
    # before Kafka 3.6 there was one for both
    either = values.get("message.timestamp.difference.max.ms", str(_ENDLESS_MS))
    before_ms = int(values.get("message.timestamp.before.max.ms", either))
    after_ms = int(values.get("message.timestamp.after.max.ms", either))
    return TopicLimits(int(values["max.message.bytes"]), before_ms if before_ms < _ENDLESS_MS else None, after_ms)
