"""Outcome events to Kafka by confluent-kafka: as by kafka-python, with compression and protocol beside the interpreter.

    lease ──► produce() ──► librdkafka ──► broker        idempotent, without gaps: nothing passes what was refused
                                │
      worker ──► ask() ◄────────┘ says nothing by itself; asked while something is in flight, ever less often

What a topic takes is asked when it has refused something, since librdkafka does not hand on what the broker says of that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from otel_feedback.events.record import Record
from otel_feedback.exporters.interface import Receipt
from otel_feedback.exporters.kafka.confluent.connection import ASK_S, ConfluentConnection
from otel_feedback.exporters.kafka.confluent.limits import TopicLimits, ask_limits
from otel_feedback.exporters.kafka.dates import is_about_date
from otel_feedback.exporters.kafka.exporter import GIVE_UP_S, OutcomeExporter
from otel_feedback.exporters.kafka.line import Line
from otel_feedback.exporters.kafka.receipt import REFUSED_NAMES, TOO_LARGE
from otel_feedback.exporters.kafka.values import Values
from otel_feedback.settings.kafka import KafkaConfig

__all__ = ["ConfluentExporter"]

HEAD_BYTES = 128
"""By how much a batch stays below what the topic takes."""

KNOWN_S = 60.0
"""How long the limits of a topic are known."""

MOST_TOPICS = 1_000


class ConfluentExporter(OutcomeExporter):
    """By confluent-kafka.

    Args:
        connected: Called after a producer was built.
    """

    def __init__(
        self, config: KafkaConfig, *, connected: Callable[[], None] = lambda: None, give_up_s: float = GIVE_UP_S
    ) -> None:
        self._client = ConfluentConnection(config, connected)
        super().__init__(config, self._client, give_up_s)
        self._limits: dict[
            str, tuple[float, TopicLimits | None]
        ] = {}  # by topic: when they were asked, and what was said

    @property
    def ask_s(self) -> float:
        """How long to wait before what is in flight is asked about again, in seconds."""
        return self._client.ask_s

    def export(self, lease: Sequence[Record]) -> Receipt:
        try:
            return super().export(lease)
        finally:
            self._client.ask_s = ASK_S

    def ask(self) -> bool:
        return self._client.ask()

    def learn(self, failure: Exception, record: Record) -> bool:
        reason = REFUSED_NAMES.get(type(failure).__name__)
        if reason is None:
            return False
        topic = self._config.topic if self._tenants is None else self._tenants.name_of(record)
        limits, is_news = self._limits_of(topic)
        if reason == TOO_LARGE:
            self._client.smaller_batches(None if limits is None else limits.batch_bytes - HEAD_BYTES)
            return False
        # of several records that are dated wrongly librdkafka says only that they are invalid
        if is_news and limits is not None and self._dates.limit(limits.before_ms, limits.after_ms):
            return True
        return is_about_date(failure) and self._dates.limit(0, 0)  # another clock, or nobody knows: without a date

    def _limits_of(self, topic: str) -> tuple[TopicLimits | None, bool]:
        """Return what a topic takes, and whether it was asked just now."""
        now_s = time.monotonic()
        asked_s, limits = self._limits.get(topic, (-KNOWN_S, None))
        if now_s - asked_s < KNOWN_S:
            return limits, False
        if len(self._limits) >= MOST_TOPICS:
            self._limits.clear()
        limits = ask_limits(self._config, topic)
        self._limits[topic] = time.monotonic(), limits
        return limits, True

    def _line_into(self, producer: Any, topic: str, partitions: Sequence[int], values: Values, keys: int) -> Line:
        # here, since this imports confluent-kafka, which is slow
        from otel_feedback.exporters.kafka.confluent.line import ConfluentLine

        return ConfluentLine(producer, topic, partitions, values, self._dates, self._say_trimmed, keys)
