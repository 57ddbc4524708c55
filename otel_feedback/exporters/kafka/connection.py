"""The producer of one thread: built late, given up as a whole, and left alone in a forked child.

Used on one thread only, which may have to wait here: building a producer connects, for 5 s at first, longer after
failures.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from otel_feedback.exporters.kafka.library import import_kafka
from otel_feedback.exporters.kafka.quiet import heard_since, hearing, quieten
from otel_feedback.exporters.kafka.receipt import Future, unavailable
from otel_feedback.sdk.forks import connecting, import_guard
from otel_feedback.settings.kafka import KafkaConfig

if TYPE_CHECKING:
    from otel_feedback.exporters.kafka.producer import OutcomeProducer

__all__ = ["POLL_S", "KafkaConnection", "most_telling"]

POLL_S = 0.001
FIRST_WAIT_MS = 5_000
MOST_WAIT_MS = 40_000
"""How long a producer may take to connect, and to learn of its topic: at first, and after failures."""

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
        self._wait_ms = FIRST_WAIT_MS
        self._producer: OutcomeProducer | None = None
        self.last: Future | None = None
        self._heard: list[str] = []  # while a producer is built
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
            with hearing() as heard:
                self._heard = heard
                try:
                    with import_guard:
                        import_kafka()
                        from otel_feedback.exporters.kafka.producer import OutcomeProducer
                    quieten(self._config.client_id)
                    waits = {"max_block_ms": self._wait_ms, "bootstrap_timeout_ms": self._wait_ms}
                    with connecting():
                        self._producer = OutcomeProducer(self._config, {**waits, **(self._options or {})})
                except Exception as exc:
                    self.wait_longer()
                    raise unavailable(exc, why=most_telling(heard)) from exc
                finally:
                    self._heard = []
            self._connected()
        return self._producer

    def trouble(self, since_s: float) -> str | None:
        """Return what keeps a producer from being built now, or has kept its requests from being answered since then.

        With the brokers' addresses. By the monotonic clock. Safe from any thread: a worker that waits here cannot tell.
        """
        told = most_telling(self._heard or heard_since(self._config.client_id, since_s))
        return None if told is None else f"{told} ({','.join(self._config.bootstrap_servers)})"

    def wait_longer(self) -> None:
        """Give the next producer more time: on a slow line, one that is given up too early never gets anywhere."""
        self._wait_ms = min(MOST_WAIT_MS, self._wait_ms * 2)

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


_ERROR = re.compile(r"\b(?:\w+Error|SSL\w*)\b.*")
_SAYS_LITTLE = ("KafkaConnectionError", "KafkaTimeoutError", "NodeNotReadyError", "Cancelled")


def most_telling(heard: Sequence[str]) -> str | None:
    """Return what a line says that names an error, rather one that does not merely follow from another."""
    errors = [match[0] for line in heard if (match := _ERROR.search(line)) is not None]
    errors.sort(key=lambda error: ("SSL" not in error, error.startswith(_SAYS_LITTLE)))
    return errors[0][:200] if errors else None
