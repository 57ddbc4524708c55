"""The producer of one thread: built late, given up as a whole, and left alone in a forked child.

Used on one thread only, which may have to wait here: building a producer connects, for at most 5 s.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from otel_feedback.config import KafkaConfig
from otel_feedback.exporters.kafka_receipt import unavailable
from otel_feedback.forks import import_guard

if TYPE_CHECKING:
    from kafka.producer.future import FutureRecordMetadata

    from otel_feedback.exporters.kafka_producer import OutcomeProducer

__all__ = ["POLL_S", "KafkaConnection"]

POLL_S = 0.001
ABANDON_WAIT_S = 1.0


class KafkaConnection:
    """Holds the producer, if there is one. `last` is the future of what it was given last.

    Args:
        config: Where and how to send.
        connected: Called after a producer was built.
        options: Of kafka-python, for this producer alone.
    """

    def __init__(
        self, config: KafkaConfig, connected: Callable[[], None], options: Mapping[str, Any] | None = None
    ) -> None:
        self._config = config
        self._connected = connected
        self._options = options
        self._producer: OutcomeProducer | None = None
        self.last: FutureRecordMetadata | None = None
        self._of_parent: list[OutcomeProducer] = []  # after a fork: kept, so that it is never collected

    @property
    def is_open(self) -> bool:
        """True while there is a producer."""
        return self._producer is not None

    def producer(self) -> OutcomeProducer:
        """Return the producer; build it if there is none.

        Raises:
            ExportError: No broker answered, or none took us; retryable.
        """
        if self._producer is None:
            try:
                with import_guard:
                    from otel_feedback.exporters.kafka_producer import OutcomeProducer
                self._producer = OutcomeProducer(self._config, self._options)
            except Exception as exc:
                raise unavailable(exc) from exc
            self._connected()
        return self._producer

    def abandon(self) -> None:
        """Drop the producer with all that is in flight; what it has not sent by now, it does not send later."""
        self.close(0.0)
        # the producer's thread fails all futures as its last act; until then it might still send
        until = time.monotonic() + ABANDON_WAIT_S
        while self.last is not None and not self.last.is_done and time.monotonic() < until:
            time.sleep(POLL_S)
        self.last = None

    def close(self, timeout_s: float) -> None:
        """Close the producer, if there is one."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(Exception):  # it is to go whatever it says
                producer.close(timeout=timeout_s)

    def after_fork(self) -> None:
        """In a forked child: forget the parent's producer without closing it."""
        if self._producer is not None:
            self._producer.disown()
            self._of_parent.append(self._producer)
        self._producer = self.last = None
