"""kafka-python's producer, built for our use, with the ends that its own `close` leaves open.

Imported when the first event is to be sent: importing kafka-python takes 100 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaConfigurationError, KafkaTimeoutError
from kafka.net.compat import KafkaNetClient
from kafka.partitioner.default import murmur2

from otel_feedback.exporters.kafka.destination import ClusterSeen
from otel_feedback.exporters.kafka.security import secured
from otel_feedback.exporters.kafka.selector import QuietSelector
from otel_feedback.exporters.kafka.sockets import closed_on_failure
from otel_feedback.sdk.forks import import_host_lookup
from otel_feedback.settings.kafka import KafkaConfig

__all__ = ["OutcomeProducer", "partitioner"]

import_host_lookup()  # under the guard, as this module is

FOREVER_MS = 2**31 - 1


class OutcomeProducer(KafkaProducer):
    """An idempotent producer with acks=all, whose worker decides how long to wait.

    `close(timeout=0)` drops what is not on the wire at once. In kafka-python 3.0 it raises instead when something
    is unsent, and then goes on sending, which would overtake what is sent again.

    Args:
        config: Where and how to send.
        more: Options of kafka-python that go before all others.
    """

    def __init__(self, config: KafkaConfig, more: Mapping[str, Any] | None = None) -> None:
        self._closed = self._disowned = True  # so far there is nothing to close
        options: dict[str, Any] = {
            "bootstrap_servers": list(config.bootstrap_servers),
            "client_id": config.client_id,
            "acks": "all",
            "enable_idempotence": True,
            "compression_type": None if config.compression == "none" else config.compression,
            # leases that arrive while a batch is on the wire share the next one
            "batch_size": config.producer_batch_bytes,
            "linger_ms": config.producer_linger_ms,
            "max_request_size": config.max_request_bytes,
            # the worker gives up first, so that a later batch cannot overtake one that expired
            "delivery_timeout_ms": FOREVER_MS,
            "metrics_enabled": False,
            "selector": QuietSelector,
        }
        options = {**options, **secured(config.client_options), **(more or {})}
        make_client = options.get("kafka_client", KafkaNetClient)
        made: list[Any] = []

        def remember(**settings: Any) -> Any:
            made.append(make_client(**settings))
            return made[-1]

        options["kafka_client"] = remember
        unknown = sorted(options.keys() - self.DEFAULT_CONFIG.keys())
        if unknown:  # kafka-python would say so with their values, among which may be a password
            raise KafkaConfigurationError(f"kafka-python knows no option {', '.join(unknown)}")
        self._disowned = False
        with closed_on_failure(options) as opening:
            super().__init__(**opening)
        self._cluster: Any = made[0].cluster

    def cluster_seen(self) -> ClusterSeen:
        """Return what the cluster says of itself, as far as it has said so yet."""
        brokers = [f"{broker.host}:{broker.port}" for broker in self._cluster.brokers()]
        return ClusterSeen(self._cluster.cluster_id, brokers)

    def flush(self, timeout: float | None = None) -> None:
        """Wait for what is unsent; with a timeout of 0 not even look, and never raise because of it."""
        if timeout != 0:
            try:
                super().flush(timeout)
            except KafkaTimeoutError:
                pass

    def disown(self) -> None:
        """Make closing a no-op: in a forked child the connections and the thread are the parent's."""
        self._disowned = True

    def close(self, timeout: float | None = None, null_logger: bool = False) -> None:
        if not self._disowned:
            super().close(timeout=timeout, null_logger=null_logger)


def partitioner(partitions: Sequence[int]) -> Callable[[bytes], int]:
    """Return Kafka's default partitioning by key (murmur2), which in Python takes about 8 microseconds."""
    count = len(partitions)
    return lambda key: partitions[(murmur2(key) & 0x7FFFFFFF) % count]
