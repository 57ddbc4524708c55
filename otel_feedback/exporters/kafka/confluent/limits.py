"""What a topic takes, asked when it has refused something: librdkafka hands on no more than the number of the error.

By kafka-python's client, as what is asked of topics of tenants. Where this client may not describe the topic, nobody knows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from otel_feedback.exporters.kafka.library import import_kafka
from otel_feedback.exporters.kafka.quiet import quieten
from otel_feedback.exporters.kafka.security import secured
from otel_feedback.settings.kafka import KafkaConfig

__all__ = ["TopicLimits", "ask_limits"]

ANSWER_MS = 5_000
_ENDLESS_MS = 2**60


class TopicLimits(NamedTuple):
    """How large a batch may be, and how long ago and how far ahead a record may be dated, None where that is not limited."""

    batch_bytes: int
    before_ms: int | None
    after_ms: int


def ask_limits(config: KafkaConfig, topic: str) -> TopicLimits | None:
    """Return a topic's limits; None where they cannot be had."""
    import_kafka()
    from kafka import KafkaAdminClient
    from kafka.admin import ConfigResource, ConfigResourceType

    from otel_feedback.exporters.kafka.sockets import closed_on_failure

    quieten(config.client_id)
    options: dict[str, Any] = {
        "bootstrap_servers": list(config.bootstrap_servers),
        "client_id": f"{config.client_id}-limits",
        "bootstrap_timeout_ms": ANSWER_MS,
        "request_timeout_ms": ANSWER_MS,
        **secured(config.client_options),
    }
    try:
        with closed_on_failure(options) as opening:
            admin: Any = KafkaAdminClient(**opening)
        try:
            told = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter="all")
        finally:
            admin.close()
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
