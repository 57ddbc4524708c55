"""Outcome events to Kafka, by kafka-python: acks=all, idempotent, in order per key.

Input: leases of records on the worker's thread. Output: receipts that follow the futures of the producer.
Only the producer retries; when a record has not been acknowledged for `give_up_s`, or fails in a way that may
pass, everything in flight is abandoned with the producer, so that nothing can overtake what is sent again.

    lease ──► send() ──► accumulator ──► broker          idempotent: one batch in flight per partition
                 │            ▲
              futures         └ abandon(): close(timeout=0) drops what is not on the wire yet
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from otel_feedback.config import KafkaConfig
from otel_feedback.errors import ExportError
from otel_feedback.events.record import Record
from otel_feedback.exporters.headers import record_headers
from otel_feedback.exporters.interface import Receipt, Refusal

if TYPE_CHECKING:
    from kafka import KafkaProducer
    from kafka.producer.future import FutureRecordMetadata

__all__ = ["KafkaExporter"]

logger = logging.getLogger(__name__)

REFUSED_NAMES = {
    "MessageSizeTooLargeError": "too_large",
    "RecordListTooLargeError": "too_large",
    "InvalidRecordError": "invalid_record",
    "InvalidTimestampError": "invalid_record",
    "UnsupportedForMessageFormatError": "invalid_record",
    "PolicyViolationError": "policy",
}
"""Errors that are about one record and will not pass. All others may: a grant, a leader, a topic can come."""

GIVE_UP_S = 60.0
"""How long a record may stay unacknowledged before the producer is built anew, in seconds."""

METADATA_WAIT_S = 5.0
CLOSE_WAIT_S = 0.0


class KafkaExporter:
    """Sends records to one topic. The producer is built, and blocks, on the worker's thread only.

    Args:
        config: Where and how to send.
        producer_id: Says in a header who numbered the records.
        service_name: The source in the CloudEvents headers.
        connected: Called after a producer was built.
    """

    name = "kafka"

    def __init__(
        self,
        config: KafkaConfig,
        *,
        producer_id: Callable[[], str],
        service_name: str,
        connected: Callable[[], None] = lambda: None,
        give_up_s: float = GIVE_UP_S,
    ) -> None:
        self._config = config
        self._producer_id = producer_id
        self._service_name = service_name
        self._connected = connected
        self._give_up_s = give_up_s
        self._producer: KafkaProducer | None = None
        self._partition_of: Callable[[str], int] = _no_partition
        self._partitions = 0
        self._abandoned: list[KafkaProducer] = []  # of the parent, after a fork: never closed, never collected
        self.destination = f"{','.join(config.bootstrap_servers)}/{config.topic}"
        self.lease_events = config.batch_size
        self.linger_s = config.linger_ms / 1e3
        self.max_leases = max(4, 8_000 // config.batch_size)

    def export(self, lease: Sequence[Record]) -> Receipt:
        producer = self._ready_producer()
        send = producer.send
        topic = self._config.topic
        producer_id = self._producer_id().encode()
        source = f"//otel_feedback/{self._service_name}".encode()
        sent: list[tuple[Record, FutureRecordMetadata]] = []
        refused: list[tuple[Record, Refusal]] = []
        for record in lease:
            key = record.key
            try:
                future = send(
                    topic,
                    record.payload,
                    key.encode(),
                    record_headers(record, producer_id, source),
                    self._partition_of(key),
                    int(record.event.timestamp.timestamp() * 1e3),
                )
            except Exception as exc:
                refused.append((record, self._judge(exc)))
            else:
                sent.append((record, future))
        return _KafkaReceipt(sent, refused, self._judge, time.monotonic() + self._give_up_s)

    def _ready_producer(self) -> KafkaProducer:
        if self._producer is None:
            try:
                self._producer = self._build()
            except Exception as exc:
                raise _unavailable(exc) from exc
        try:
            # asking each time is cheap (metadata is cached) and notices added partitions
            partitions = self._producer.partitions_for(self._config.topic)
        except Exception as exc:
            raise _unavailable(exc) from exc
        if len(partitions) != self._partitions:
            self._partitions = len(partitions)
            self._partition_of = partitioner(sorted(partitions))
        return self._producer

    def _build(self) -> KafkaProducer:
        from kafka import KafkaProducer  # 100 ms to import: not at configure()

        config = self._config
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
            "max_block_ms": int(METADATA_WAIT_S * 1e3),
            "bootstrap_timeout_ms": int(METADATA_WAIT_S * 1e3),
            # the worker decides when to give up, so that a later batch cannot overtake an expired one
            "delivery_timeout_ms": int(self._give_up_s * 2e3) + 3_600_000,
            "metrics_enabled": False,
        }
        producer = KafkaProducer(**{**options, **config.client_options})
        self._connected()
        return producer

    def _judge(self, exc: Exception) -> Refusal:
        """Return why this record is refused for good, or raise what may pass."""
        names = {cls.__name__ for cls in type(exc).__mro__}
        for name in names & REFUSED_NAMES.keys():
            return Refusal(REFUSED_NAMES[name], f"{type(exc).__name__}: {_one_line(exc)}")
        if isinstance(exc, (TypeError, ValueError, AssertionError)):
            return Refusal("invalid_record", f"{type(exc).__name__}: {_one_line(exc)}")
        raise _unavailable(exc) from exc

    def abandon(self) -> None:
        self._close(CLOSE_WAIT_S)

    def close(self, timeout_s: float) -> None:
        self._close(timeout_s)

    def _close(self, timeout_s: float) -> None:
        producer, self._producer = self._producer, None
        self._partitions = 0
        if producer is not None:
            with contextlib.suppress(Exception):  # it is to go whatever it says
                producer.close(timeout=timeout_s)

    def after_fork(self) -> None:
        if self._producer is not None:
            self._abandoned.append(self._producer)  # its __del__ would flush and wait for threads that are not here
        self._producer = None
        self._partitions = 0


class _KafkaReceipt:
    """Follows the futures of one lease."""

    __slots__ = ("_give_up_at", "_judge", "_refused", "_waiting")

    def __init__(
        self,
        waiting: list[tuple[Record, FutureRecordMetadata]],
        refused: list[tuple[Record, Refusal]],
        judge: Callable[[Exception], Refusal],
        give_up_at: float,
    ) -> None:
        self._waiting = waiting
        self._refused = refused
        self._judge = judge
        self._give_up_at = give_up_at

    @property
    def done(self) -> bool:
        return not self._waiting and not self._refused

    def poll(self) -> Iterable[tuple[Record, Refusal | None]]:
        settled: list[tuple[Record, Refusal | None]] = [*self._refused]
        self._refused = []
        waiting: list[tuple[Record, FutureRecordMetadata]] = []
        failed: ExportError | None = None
        for pair in self._waiting:
            record, future = pair
            if not future.is_done:
                waiting.append(pair)
            elif future.exception is None:
                settled.append((record, None))
            else:
                try:
                    settled.append((record, self._judge(future.exception)))
                except ExportError as exc:
                    failed = exc
                    waiting.append(pair)
        self._waiting = waiting
        if settled:
            return settled  # first account for what is known; a failure is still there at the next poll
        if failed is not None:
            raise failed
        if waiting and time.monotonic() >= self._give_up_at:
            raise ExportError("timeout", "records were not acknowledged in time", retryable=True)
        return settled


def partitioner(partitions: Sequence[int]) -> Callable[[str], int]:
    """Return Kafka's default partitioning by key (murmur2), computed once per key.

    The pure-Python hash costs about 8 microseconds; a run has many events and one key.
    """
    from kafka.partitioner.default import murmur2

    count = len(partitions)

    @lru_cache(maxsize=16_384)
    def partition_of(key: str) -> int:
        return partitions[(murmur2(key.encode()) & 0x7FFFFFFF) % count]

    return partition_of


def _no_partition(_key: str) -> int:
    raise RuntimeError("the topic's partitions are not known yet")


def _unavailable(exc: Exception) -> ExportError:
    if isinstance(exc, ExportError):
        return exc
    return ExportError("unavailable", f"{type(exc).__name__}: {_one_line(exc)}", retryable=True)


def _one_line(exc: Any) -> str:
    return " ".join(str(exc).split())[:300]
