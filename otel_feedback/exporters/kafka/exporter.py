"""Outcome events to Kafka, by kafka-python: acks=all, idempotent, in order per key.

Input: leases of records on the worker's thread. Output: receipts that follow the futures of the producer.
Only the producer retries; when a record has not been acknowledged for `give_up_s`, or fails in a way that may
pass, everything in flight is abandoned with the producer, so that nothing can overtake what is sent again.

    lease ──► send() ──► accumulator ──► broker          idempotent: one batch in flight per partition
                 │            ▲
              futures         └ abandon(): close(timeout=0) drops what is not on the wire yet

A record that is too large goes with less text, in its place among the others, before it is refused.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from otel_feedback.errors import ExportError
from otel_feedback.events.record import Record
from otel_feedback.events.trim import smaller_forms
from otel_feedback.exporters.interface import Receipt, Refusal, Settled
from otel_feedback.exporters.kafka.connection import POLL_S, KafkaConnection
from otel_feedback.exporters.kafka.destination import KafkaDestination
from otel_feedback.exporters.kafka.receipt import (
    TOO_LARGE,
    KafkaReceipt,
    PartReceipt,
    Portion,
    RefusedError,
    Result,
    is_about_one_record,
    refusal_of,
    unavailable,
)
from otel_feedback.logger import get_logger
from otel_feedback.settings.table import KafkaConfig
from otel_feedback.throttle import ThrottledLog

if TYPE_CHECKING:
    from typing_extensions import Never

    from otel_feedback.exporters.kafka.lines import Line
    from otel_feedback.exporters.kafka.producer import OutcomeProducer

__all__ = ["KafkaExporter"]

logger = get_logger(__name__)

GIVE_UP_S = 60.0
"""How long a record may stay unacknowledged before the producer is built anew, in seconds."""


class KafkaExporter:
    """Sends records to one topic. The producer is built, and blocks, on the worker's thread only.

    Args:
        config: Where and how to send.
        connected: Called after a producer was built.
    """

    name = "kafka"
    durable = True

    def __init__(
        self,
        config: KafkaConfig,
        *,
        connected: Callable[[], None] = lambda: None,
        give_up_s: float = GIVE_UP_S,
    ) -> None:
        self._config = config
        self._connection = KafkaConnection(config, connected)
        self._give_up_s = give_up_s
        self._log = ThrottledLog(logger)
        self._line: _Known | None = None
        self._answered: Callable[[], None] = lambda: None
        self._highest: dict[str, int] = {}  # of each producer, the newest record ever sent
        self._careful_to: dict[str, int] = {}  # records up to this one were in flight when one of them was refused
        self._where = KafkaDestination(config.bootstrap_servers, config.topic)
        self._met: tuple[OutcomeProducer, str | None] | None = None  # whose cluster was looked at, and which it is
        self.lease_events = config.batch_size
        self.linger_s = config.linger_ms / 1e3
        self.max_leases = max(
            4, 4_000 // config.batch_size
        )  # each in flight takes some 2.5 KB here and in kafka-python

    @property
    def destination(self) -> str:
        return self._where.name

    @property
    def address(self) -> str:
        return self._where.address

    @property
    def is_identified(self) -> bool:
        return self._where.is_known

    def identify(self) -> None:
        self._meet(self._connection.producer())

    def is_same(self, destination: str, address: str) -> bool:
        return self._where.is_same(destination, address)

    def export(self, lease: Sequence[Record]) -> Receipt:
        producer_id = lease[0].origin.producer_id
        self._highest[producer_id] = max(self._highest.get(producer_id, -1), lease[-1].sequence)
        if lease[0].sequence <= self._careful_to.get(producer_id, -1):
            self._answered()  # as soon as it returns
            return self._export_carefully(lease)
        sent, refused = self._send(lease, more=len(lease) == self.lease_events)
        if refused:
            self._answered()
        return KafkaReceipt(sent, refused, self._judge, time.monotonic() + self._give_up_s)

    def _send(self, lease: Sequence[Record], *, more: bool = False) -> tuple[list[Portion], list[Result]]:
        """Hand records to the producer; those that it does not even take are refused."""
        line = self._ready_line()
        try:
            return line.send(lease, more=more)
        finally:
            self._connection.last = line.last

    def _judge(self, exc: Exception) -> Never:
        """Raise what became of everything in flight, after one record failed with `exc`.

        kafka-python fails all batches with the error of the one that the broker refused, so an error that is
        about one record does not say which. Everything in flight goes again, in ever smaller portions.
        """
        if is_about_one_record(exc):
            self._careful_to = self._highest.copy()
        raise unavailable(exc) from exc

    def _export_carefully(self, lease: Sequence[Record]) -> Receipt:
        """Send in portions, each alone on the wire, until a refusal can only be about one record."""
        results: list[Result] = []
        rest = list(lease)
        size = max(1, len(rest) // 4)
        try:
            while rest:
                portion, later = rest[:size], rest[size:]
                sent, refused = self._send(portion)
                receipt = KafkaReceipt(sent, refused, self._judge_portion, time.monotonic() + self._give_up_s)
                failure = self._await(receipt, results)
                if failure is None:
                    size = min(size * 2, self.lease_events)
                else:
                    self.abandon()  # the producer refuses everything after a refusal
                    unsettled = receipt.unsettled
                    if len(unsettled) == 1:
                        results.append((unsettled[0], self._send_smaller(unsettled[0], refusal_of(failure))))
                    else:
                        later = [*unsettled, *later]
                        size = max(1, len(unsettled) // 4)
                rest = later
        except ExportError as exc:
            return PartReceipt(results, exc)
        return Settled(results)

    def _send_smaller(self, record: Record, refusal: Refusal) -> Refusal | None:
        """Send a record that the broker has refused by itself with ever less text, if that is the reason."""
        if refusal.reason != TOO_LARGE:
            return refusal
        for payload in smaller_forms(record.payload):
            line = self._ready_line()
            taken = line.send_as(record, payload)
            self._connection.last = line.last
            if isinstance(taken, Refusal):
                continue
            receipt = KafkaReceipt([taken], [], self._judge_portion, time.monotonic() + self._give_up_s)
            failure = self._await(receipt, [])
            if failure is None:
                self._say_trimmed(record, payload)
                return None
            self.abandon()
            if refusal_of(failure).reason != TOO_LARGE:
                return refusal_of(failure)
        return refusal

    def _say_trimmed(self, record: Record, payload: bytes) -> None:
        self._log.warning(
            TOO_LARGE, "event %s is too large for %s and is sent with less text: %d bytes of %d; what was cut is flagged",
            record.event_id, self._config.topic, len(payload), len(record.payload),
        )  # fmt: skip

    def _await(self, receipt: KafkaReceipt, results: list[Result]) -> Exception | None:
        """Collect one portion's results; return the error that is about one of its records, if any."""
        try:
            while not receipt.done:
                settled = list(receipt.poll())
                results.extend(settled)
                if not settled:
                    time.sleep(POLL_S)
        except RefusedError as exc:
            return exc.cause
        return None

    @staticmethod
    def _judge_portion(exc: Exception) -> Never:
        if is_about_one_record(exc):
            raise RefusedError(exc) from exc
        raise unavailable(exc) from exc

    def _ready_line(self) -> Line:
        producer = self._connection.producer()
        self._meet(producer)
        try:
            # asking each time is cheap (metadata is cached) and notices added partitions
            partitions = producer.partitions_for(self._config.topic)
        except Exception as exc:
            self._connection.wait_longer()
            raise unavailable(exc, why=f"topic {self._config.topic}: is it there?") from exc
        known = self._line
        if known is not None and known.producer is producer and known.partitions == len(partitions):
            return known.line
        line = _line_into(producer, self._config.topic, sorted(partitions), self._say_trimmed, self._say_answered)
        self._line = _Known(producer, len(partitions), line)
        return line

    def _meet(self, producer: OutcomeProducer) -> None:
        """See which cluster a producer has got to; one that is another than before gets nothing."""
        seen = producer.cluster_seen()
        if self._met == (producer, seen.cluster_id):
            return
        if seen.cluster_id is None:  # it was not asked yet, or has none
            with contextlib.suppress(Exception):  # what is wrong with the topic is said elsewhere
                producer.partitions_for(self._config.topic)
            seen = producer.cluster_seen()
        if not seen.brokers:
            raise ExportError("unavailable", "the cluster has not said yet which one it is", retryable=True)
        before = self.destination
        other = self._where.learn(seen)
        if other is not None:
            self.abandon()
            detail = (
                f"{self.address} leads to another cluster now ({other}), and events wait here for {before}: restart "
                f"this process to send new ones there; `otel-feedback journal replay --take {before}` sends what waits"
            )
            raise ExportError("another_cluster", detail, retryable=True)
        self._met = producer, seen.cluster_id

    def _say_answered(self) -> None:
        self._answered()

    def call_when_answered(self, answered: Callable[[], None]) -> None:
        """Call this, from another thread, when something became known of what is in flight."""
        self._answered = answered

    def abandon(self) -> None:
        self._line = self._met = None
        self._connection.abandon()

    def close(self, timeout_s: float) -> None:
        self._connection.close(timeout_s)

    def after_fork(self) -> None:
        self._line = self._met = None
        self._where.forget()
        self._connection.after_fork()
        self._log = ThrottledLog(logger)
        self._highest, self._careful_to = {}, {}


class _Known(NamedTuple):
    """The way into a producer, which knows so many partitions."""

    producer: OutcomeProducer
    partitions: int
    line: Line


def _line_into(producer: OutcomeProducer, topic: str, partitions: Sequence[int], *more: Any) -> Line:
    # here, since this imports kafka-python, which is slow
    from otel_feedback.exporters.kafka.lines import line_into
    from otel_feedback.exporters.kafka.producer import partitioner

    return line_into(producer, topic, partitioner(partitions), *more)
