"""A client in this process, or, in a forked child that can look up no hosts for good, in a process of its own.

    identify() ──► can hosts be looked up? ── yes ──► KafkaExporter, ConfluentExporter
                                           └── no ──► ProcessExporter, as KAFKA_SENDER=process has it

In such a child a client would never connect, and librdkafka never end: a thread of it waits for a lock that nobody has. A process
that is started anew is free of it. Which one it is, is found out before anything is sent, once in each child.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from otel_feedback.errors import ConfigError, ExportError
from otel_feedback.events.record import Record
from otel_feedback.exporters.interface import LEASE_BYTES, Asked, Receipt
from otel_feedback.exporters.kafka.exporter import OutcomeExporter
from otel_feedback.logger import get_logger
from otel_feedback.sdk.lookups import can_look_up
from otel_feedback.settings.kafka import KafkaConfig, require_sender

if TYPE_CHECKING:
    from otel_feedback.exporters.kafka.process.exporter import ProcessExporter

__all__ = ["ForkedExporter"]

logger = get_logger(__name__)

ASK_S = 0.1
"""How often to look at what is in flight where the client says when there is an answer, in seconds."""

CANNOT = "this process was forked while its parent looked up a host, and its C library waits for that for ever where it looks up one"


class ForkedExporter:
    """By a client in this process, wherever that works.

    Args:
        here: By that client; not used in a child that it cannot work in.
        config: Where and how to send.
        connected: Called when a sender was started.
    """

    name = "kafka"
    durable = True
    lease_bytes = LEASE_BYTES

    def __init__(self, here: OutcomeExporter, config: KafkaConfig, connected: Callable[[], None]) -> None:
        self._here, self._config, self._connected = here, config, connected
        self._now: OutcomeExporter | ProcessExporter = here
        self._beside: ProcessExporter | None = None
        self._is_stopping = False
        self.linger_s = here.linger_s

    @property
    def destination(self) -> str:
        return self._now.destination

    @property
    def address(self) -> str:
        return self._now.address

    @property
    def lease_events(self) -> int:
        return self._now.lease_events

    @property
    def max_leases(self) -> int:
        return self._now.max_leases

    @property
    def ask_s(self) -> float:
        """How long to wait before what is in flight is asked about again, in seconds."""
        now = self._now
        return now.ask_s if isinstance(now, Asked) else ASK_S

    @property
    def is_identified(self) -> bool:
        return self._now.is_identified

    @property
    def redirected(self) -> Mapping[str, int] | None:
        """How many records of tenants went to the shared topic, and why; None where all have one. Safe from any thread."""
        return self._now.redirected

    def is_same(self, destination: str, address: str) -> bool:
        return self._now.is_same(destination, address)

    def trouble(self, since_s: float) -> str | None:
        return self._now.trouble(since_s)

    def identify(self) -> None:
        if self._beside is None and not can_look_up():
            self._now = self._beside = self._by_process()
            if self._is_stopping:
                self._beside.interrupt()
        self._now.identify()

    def _by_process(self) -> ProcessExporter:
        from otel_feedback.exporters.kafka.process.exporter import ProcessExporter

        config = msgspec.structs.replace(self._config, sender="process")
        try:
            require_sender(config)
            exporter = ProcessExporter(config, connected=self._connected)
        except ConfigError as exc:
            raise ExportError(
                "unavailable", f"{CANNOT}; no other process can send for it: {exc}", retryable=True
            ) from exc
        logger.warning("%s; a process beside it sends its events, as with KAFKA_SENDER=process", CANNOT)
        return exporter

    def interrupt(self) -> None:
        """Have `identify` come to an end where that is in another process's hands. Safe from any thread."""
        self._is_stopping = True
        if self._beside is not None:
            self._beside.interrupt()

    def export(self, lease: Sequence[Record]) -> Receipt:
        return self._now.export(lease)

    def ask(self) -> bool:
        """Take in what became of what is in flight; True when that was anything."""
        return self._now.ask()

    def call_when_answered(self, answered: Callable[[], None]) -> None:
        """Call this when something became known of what is in flight; a process says nothing by itself."""
        self._here.call_when_answered(answered)

    def abandon(self) -> None:
        self._now.abandon()

    def close(self, timeout_s: float) -> None:
        self._now.close(timeout_s)

    def after_fork(self) -> None:
        if self._beside is not None:
            self._beside.after_fork()
        self._now, self._beside, self._is_stopping = self._here, None, False
        self._here.after_fork()
