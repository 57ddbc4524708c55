"""The connection of a store to Kafka: a consumer that is in no rebalance, and whose offsets are the store's own."""

from __future__ import annotations

from typing import Any

from otel_feedback.downstream.topic.unpacking import unpacked
from otel_feedback.exporters.kafka.connection import most_telling
from otel_feedback.exporters.kafka.library import import_kafka
from otel_feedback.exporters.kafka.quiet import hearing, quieten
from otel_feedback.exporters.kafka.receipt import unavailable
from otel_feedback.exporters.kafka.security import secured
from otel_feedback.settings.kafka import KafkaConfig

__all__ = ["CLOSE_MS", "open_consumer"]

CLOSE_MS = 5_000
CONNECT_MS = 10_000
"""Nothing interrupts that, and who is told to end has often 30 s: after it, it is tried again."""


def open_consumer(config: KafkaConfig, group: str | None) -> Any:
    """Return a KafkaConsumer, to which partitions are to be assigned.

    Args:
        config: Where.
        group: Whom it may commit for; None: nobody.

    Raises:
        ExportError: Kafka does not answer.
    """
    import_kafka()
    from kafka import KafkaConsumer

    from otel_feedback.exporters.kafka.inside import unpack_by
    from otel_feedback.exporters.kafka.sockets import closed_on_failure

    quieten(config.client_id)
    options: dict[str, Any] = {
        "bootstrap_servers": list(config.bootstrap_servers),
        "client_id": f"{config.client_id}-store",
        "bootstrap_timeout_ms": CONNECT_MS,
        "group_id": group,
        "enable_auto_commit": False,
        "auto_offset_reset": "none",  # what is not there any more is to be said
        "allow_auto_create_topics": False,
        "metadata_max_age_ms": 30_000,
        "metrics_enabled": False,
        **secured(config.client_options),
    }
    with hearing() as heard:
        try:
            with closed_on_failure(options) as opening:
                consumer = KafkaConsumer(**opening)
            unpack_by(consumer, unpacked)
            return consumer
        except Exception as exc:
            raise unavailable(exc, why=most_telling(heard)) from exc
