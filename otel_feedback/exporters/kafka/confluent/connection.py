"""librdkafka's producer of one thread: built late, given up as a whole, and left alone in a forked child.

As `connection.py` of kafka-python. Used on one thread only, which may have to wait here until a broker has answered.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from otel_feedback.errors import ExportError
from otel_feedback.exporters.kafka.confluent.heard import Heard
from otel_feedback.exporters.kafka.connection import FIRST_WAIT_MS, MOST_WAIT_MS
from otel_feedback.exporters.kafka.library import import_kafka
from otel_feedback.exporters.kafka.receipt import Future, unavailable
from otel_feedback.exporters.kafka.topics import shared_topic
from otel_feedback.sdk.forks import connecting, import_guard, runs_greenlets
from otel_feedback.settings.kafka import KafkaConfig
from otel_feedback.settings.librdkafka import NOT_IN_GREENLETS

if TYPE_CHECKING:
    from otel_feedback.exporters.kafka.confluent.producer import ConfluentProducer

__all__ = ["ConfluentConnection"]

ASK_S = 0.005
MOST_ASK_S = 0.1
"""How soon to ask what became of what is in flight: at first, and at last while there is no answer."""

LEAST_BATCH_BYTES = 1_024


class ConfluentConnection:
    """Holds the producer, if there is one.

    Args:
        config: Where and how to send.
        connected: Called after a producer was built.
    """

    def __init__(self, config: KafkaConfig, connected: Callable[[], None]) -> None:
        self._config = config
        self._connected = connected
        self._heard = Heard()
        self._wait_ms = FIRST_WAIT_MS
        self._begun_s: float | None = None  # monotonic: while a producer is built
        self._producer: ConfluentProducer | None = None
        self._of_parent: list[ConfluentProducer] = []
        self.batch_bytes = config.producer_batch_bytes
        self.last: Future | None = None  # of kafka-python
        self.ask_s = ASK_S

    def producer(self) -> ConfluentProducer:
        """Return the producer; build it if there is none, and wait until a broker has answered.

        Raises:
            ExportError: No broker answered, or none took us; retryable.
        """
        if self._producer is None:
            self._begun_s = time.monotonic()
            self._heard.begin()
            try:
                self._producer = self._build()
            except Exception as exc:
                self.wait_longer()
                raise unavailable(exc, why=self._heard.since(self._begun_s)) from exc
            finally:
                self._begun_s = None
            self._connected()
        self._require_same_cluster()
        return self._producer

    def _build(self) -> ConfluentProducer:
        if runs_greenlets():  # since configure() has looked
            raise ExportError("unavailable", f"KAFKA_CLIENT is to be {NOT_IN_GREENLETS}", retryable=True)
        with import_guard:
            import_kafka()
            import_module("otel_feedback.exporters.kafka.confluent.line")  # which is wanted next
            from otel_feedback.exporters.kafka.confluent.producer import ConfluentProducer
        with connecting():
            producer = ConfluentProducer(self._config, self._heard, self.batch_bytes, self._wait_ms / 1e3)
            try:
                producer.connect(shared_topic(self._config.topic))
            except BaseException:
                producer.drop()
                raise
        return producer

    def ask(self) -> bool:
        """Have librdkafka say what became of what is in flight; True when that was anything. If not, later the next time.

        Raises:
            ExportError: It has got to another cluster; retryable, by a producer that sees at once which one that is.
        """
        is_news = self._producer is not None and self._producer.ask()
        self._require_same_cluster()
        self.ask_s = ASK_S if is_news else min(MOST_ASK_S, self.ask_s * 1.5)
        return is_news

    def _require_same_cluster(self) -> None:
        if self._heard.is_elsewhere:
            servers = ",".join(self._config.bootstrap_servers)
            raise ExportError("unavailable", f"{servers} leads to another cluster than before", retryable=True)

    def trouble(self, since_s: float) -> str | None:
        """Return what stands in the way, or has since then, by the monotonic clock, with the brokers' addresses."""
        begun_s = self._begun_s
        told = self._heard.since(since_s if begun_s is None else begun_s)
        return None if told is None else f"{told} ({','.join(self._config.bootstrap_servers)})"

    def wait_longer(self) -> None:
        """Give the next producer more time."""
        self._wait_ms = min(MOST_WAIT_MS, self._wait_ms * 2)

    def smaller_batches(self, most_bytes: int | None) -> None:
        """Have the next producer make smaller batches: as large as this at most, or a quarter of what was too large."""
        most = self.batch_bytes // 4 if most_bytes is None else min(self.batch_bytes, most_bytes)
        self.batch_bytes = max(LEAST_BATCH_BYTES, most)

    def abandon(self) -> None:
        """Drop the producer with all that is in flight; what it has not sent by now, it does not send later."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.drop()
        self.ask_s = ASK_S

    def close(self, timeout_s: float) -> None:
        """Close the producer, if there is one."""
        self.abandon()

    def after_fork(self) -> None:
        """In a forked child: forget the parent's producer without closing it, of whose threads there is none here."""
        if self._producer is not None:
            self._producer.disown()
            self._of_parent.append(self._producer)
        self._producer, self._begun_s = None, None
        self._heard = Heard()
