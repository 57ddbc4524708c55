"""A cluster that is asked about itself, by kafka-python's admin client. Who asks waits here."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any

from otel_feedback.exporters.kafka.library import import_kafka
from otel_feedback.exporters.kafka.quiet import quieten
from otel_feedback.exporters.kafka.security import secured
from otel_feedback.settings.kafka import KafkaConfig

__all__ = ["admin_client"]

ANSWER_MS = 5_000


@contextlib.contextmanager
def admin_client(config: KafkaConfig, purpose: str, answer_ms: int = ANSWER_MS) -> Generator[Any, None, None]:
    """Yield a client, which is closed at the end.

    Args:
        purpose: What it is called behind our own client's name.
        answer_ms: How long it waits for an answer at most, in milliseconds.

    Raises:
        Exception: kafka-python's: it cannot connect.
    """
    import_kafka()
    from kafka import KafkaAdminClient

    from otel_feedback.exporters.kafka.sockets import closed_on_failure

    quieten(config.client_id)
    options: dict[str, Any] = {
        "bootstrap_servers": list(config.bootstrap_servers),
        "client_id": f"{config.client_id}-{purpose}",
        "bootstrap_timeout_ms": answer_ms,
        "request_timeout_ms": answer_ms,
        **secured(config.client_options),
    }
    with closed_on_failure(options) as opening:
        admin: Any = KafkaAdminClient(**opening)
    with contextlib.closing(admin):
        yield admin
