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
from otel_feedback.exporters.interface import Receipt, Refusal, Settled

if TYPE_CHECKING:
    from kafka import KafkaProducer
    from kafka.producer.future import FutureRecordMetadata
    from typing_extensions import Never

    _Sent = tuple[Record, FutureRecordMetadata]
    _Result = tuple[Record, Refusal | None]

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
CAREFUL_POLL_S = 0.001
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
        self._highest = -1  # the newest record ever sent
        self._careful_to = -1  # records up to this one were in flight when one of them was refused
        self._partitions = 0
        self._abandoned: list[KafkaProducer] = []  # of the parent, after a fork: never closed, never collected
        self.destination = f"{','.join(config.bootstrap_servers)}/{config.topic}"
        self.lease_events = config.batch_size
        self.linger_s = config.linger_ms / 1e3
        self.max_leases = max(4, 8_000 // config.batch_size)

    def export(self, lease: Sequence[Record]) -> Receipt:
        self._highest = max(self._highest, lease[-1].sequence)
        if lease[0].sequence <= self._careful_to:
            return self._export_carefully(lease)
        sent, refused = self._send(lease)
        return _KafkaReceipt(sent, refused, self._judge, time.monotonic() + self._give_up_s)

    def _send(self, lease: Sequence[Record]) -> tuple[list[_Sent], list[_Result]]:
        """Hand records to the producer; those that it does not even take are refused."""
        producer = self._ready_producer()
        send, topic, partition_of = producer.send, self._config.topic, self._partition_of
        producer_id = self._producer_id().encode()
        source = f"//otel_feedback/{self._service_name}".encode()
        sent: list[_Sent] = []
        refused: list[_Result] = []
        for record in lease:
            key = record.key
            headers = record_headers(record, producer_id, source)
            timestamp_ms = int(record.event.timestamp.timestamp() * 1e3)
            try:
                future = send(topic, record.payload, key.encode(), headers, partition_of(key), timestamp_ms)
            except Exception as exc:
                refused.append((record, _refusal_of(exc)))
            else:
                sent.append((record, future))
        return sent, refused

    def _judge(self, exc: Exception) -> Never:
        """Raise what became of everything in flight, after one record failed with `exc`.

        kafka-python fails all batches with the error of the one that the broker refused, so an error that is
        about one record does not say which. Everything in flight goes again, in ever smaller portions.
        """
        if _is_about_one_record(exc):
            self._careful_to = self._highest
        raise _unavailable(exc) from exc

    def _export_carefully(self, lease: Sequence[Record]) -> Receipt:
        """Send in portions, each alone on the wire, until a refusal can only be about one record."""
        results: list[_Result] = []
        rest = list(lease)
        size = max(1, len(rest) // 4)
        try:
            while rest:
                portion, later = rest[:size], rest[size:]
                sent, refused = self._send(portion)
                receipt = _KafkaReceipt(sent, refused, self._judge_portion, time.monotonic() + self._give_up_s)
                failure = self._await(receipt, results)
                if failure is None:
                    size = min(size * 2, self.lease_events)
                else:
                    self.abandon()  # the producer refuses everything after a refusal
                    unsettled = receipt.unsettled
                    if len(unsettled) == 1:
                        results.append((unsettled[0], _refusal_of(failure)))
                    else:
                        later = [*unsettled, *later]
                        size = max(1, len(unsettled) // 4)
                rest = later
        except ExportError as exc:
            return _PartReceipt(results, exc)
        return Settled(results)

    def _await(self, receipt: _KafkaReceipt, results: list[_Result]) -> Exception | None:
        """Collect one portion's results; return the error that is about one of its records, if any."""
        try:
            while not receipt.done:
                settled = list(receipt.poll())
                results.extend(settled)
                if not settled:
                    time.sleep(CAREFUL_POLL_S)
        except _RefusedError as exc:
            return exc.cause
        return None

    @staticmethod
    def _judge_portion(exc: Exception) -> Never:
        if _is_about_one_record(exc):
            raise _RefusedError(exc) from exc
        raise _unavailable(exc) from exc

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
        self._highest = self._careful_to = -1  # the child numbers its records anew


class _KafkaReceipt:
    """Follows the futures of one lease. `judge` raises for a future that failed."""

    __slots__ = ("_give_up_at", "_judge", "_refused", "_waiting")

    def __init__(
        self, waiting: list[_Sent], refused: list[_Result], judge: Callable[[Exception], Never], give_up_at: float
    ) -> None:
        self._waiting = waiting
        self._refused = refused
        self._judge = judge
        self._give_up_at = give_up_at

    @property
    def done(self) -> bool:
        return not self._waiting and not self._refused

    @property
    def unsettled(self) -> list[Record]:
        """The records of which nothing is known, or that failed."""
        return [record for record, _ in self._waiting]

    def poll(self) -> Iterable[_Result]:
        settled: list[_Result] = self._refused
        self._refused = []
        waiting: list[_Sent] = []
        failure: Exception | None = None
        for pair in self._waiting:
            record, future = pair
            if not future.is_done:
                waiting.append(pair)
            elif future.exception is None:
                settled.append((record, None))
            else:
                failure = future.exception
                waiting.append(pair)
        self._waiting = waiting
        if settled:
            return settled  # first account for what is known; a failure is still there at the next poll
        if failure is not None:
            self._judge(failure)
        if waiting and time.monotonic() >= self._give_up_at:
            raise ExportError("timeout", "records were not acknowledged in time", retryable=True)
        return settled


class _PartReceipt:
    """What became of a part of a lease, and then the error that ended it."""

    done = False

    def __init__(self, results: list[_Result], error: ExportError) -> None:
        self._results = results
        self._error = error

    def poll(self) -> Iterable[_Result]:
        results, self._results = self._results, []
        if results:
            return results
        raise self._error


class _RefusedError(Exception):
    """The broker refused a record of a portion."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


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


def _is_about_one_record(exc: Exception) -> bool:
    return not REFUSED_NAMES.keys().isdisjoint(cls.__name__ for cls in type(exc).__mro__)


def _refusal_of(exc: Exception) -> Refusal:
    """Return why this record is refused for good, or raise what may pass."""
    detail = f"{type(exc).__name__}: {_one_line(exc)}"
    for cls in type(exc).__mro__:
        if cls.__name__ in REFUSED_NAMES:
            return Refusal(REFUSED_NAMES[cls.__name__], detail)
    if isinstance(exc, (TypeError, ValueError, AssertionError)):
        return Refusal("invalid_record", detail)
    raise _unavailable(exc) from exc


def _unavailable(exc: Exception) -> ExportError:
    if isinstance(exc, ExportError):
        return exc
    return ExportError("unavailable", f"{type(exc).__name__}: {_one_line(exc)}", retryable=True)


def _one_line(exc: Any) -> str:
    return " ".join(str(exc).split())[:300]
