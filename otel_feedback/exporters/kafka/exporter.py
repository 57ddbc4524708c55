"""Outcome events to Kafka, acks=all, idempotent, in order per key: what is the same whichever client sends, and kafka-python's.

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
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from otel_feedback.errors import ExportError
from otel_feedback.events.record import Record
from otel_feedback.exporters.interface import LEASE_BYTES, Receipt, Refusal
from otel_feedback.exporters.kafka.careful import CarefulSender
from otel_feedback.exporters.kafka.connection import KafkaConnection
from otel_feedback.exporters.kafka.dates import RecordDates
from otel_feedback.exporters.kafka.destination import ClusterSeen, KafkaDestination
from otel_feedback.exporters.kafka.line import KEYS, Connection, Line, Producer
from otel_feedback.exporters.kafka.pace import Load, Pace
from otel_feedback.exporters.kafka.receipt import (
    TIMEOUT,
    TOO_LARGE,
    KafkaReceipt,
    Portion,
    Result,
    concerns_all,
    is_about_one_record,
    unavailable,
)
from otel_feedback.exporters.kafka.tenants import TenantTopics
from otel_feedback.exporters.kafka.topics import is_per_tenant, shared_topic
from otel_feedback.exporters.kafka.values import Values, values_for
from otel_feedback.logger import get_logger
from otel_feedback.settings.kafka import KafkaConfig
from otel_feedback.throttle import ThrottledLog

if TYPE_CHECKING:
    from typing_extensions import Never


__all__ = ["GIVE_UP_S", "KafkaExporter", "OutcomeExporter"]

logger = get_logger(__name__)

MOST_PRODUCERS = 1_000
"""Of how many processes, those whose records were sent last, it is known how far they are: most are dead, and were adopted."""

KEYS_OF_TENANT = 512
"""Keys whose place is remembered, of each tenant's topic: there may be many topics."""

GIVE_UP_S = 60.0
"""How long a record may stay unacknowledged before the producer is built anew, in seconds."""


class OutcomeExporter(ABC):
    """Sends records to one topic, or to one for each tenant. The producer is built, and blocks, on the worker's thread only.

    Args:
        config: Where and how to send.
        connection: To a client's producer.
        give_up_s: How long a record may stay unacknowledged before the producer is built anew, in seconds.
    """

    name = "kafka"
    durable = True
    lease_bytes = LEASE_BYTES

    def __init__(self, config: KafkaConfig, connection: Connection, give_up_s: float) -> None:
        self._config = config
        self._connection = connection
        self._give_up_s = give_up_s
        self._log = ThrottledLog(logger)
        self._tenants = TenantTopics(config) if is_per_tenant(config.topic) else None
        self._line: _Known | None = None
        self._answered: Callable[[], None] = lambda: None
        self._highest: dict[str, int] = {}  # of each producer, the newest record ever sent
        self._troubled_to: dict[str, int] = {}  # records up to this one were in flight when something failed
        self._careful_to: dict[str, int] = {}  # and these when one of them was refused, or when it failed again
        self._dates = RecordDates()
        self._careful = CarefulSender(self, self._dates, give_up_s, self._say_trimmed)
        # each in flight takes some 2.5 KB here and in kafka-python
        self._pace = Pace(config.batch_size, max(4, 4_000 // config.batch_size))
        self._load = Load()
        # one subject for all topics of tenants: a schema of one's own would be one more thing that holds others up
        self._values = values_for(config, shared_topic(config.topic))
        self._where = KafkaDestination(config.bootstrap_servers, config.topic)
        self._cluster: ClusterSeen | None = None
        self._met: tuple[Producer, str | None] | None = None  # whose cluster was looked at, and which it is
        self.linger_s = config.linger_ms / 1e3

    @property
    def lease_events(self) -> int:
        return self._pace.lease_events

    @property
    def max_leases(self) -> int:
        return 1 if self._load.is_full() else self._pace.max_leases

    @property
    def destination(self) -> str:
        return self._where.name

    @property
    def address(self) -> str:
        return self._where.address

    @property
    def cluster(self) -> ClusterSeen | None:
        """What the cluster said of itself; None until it is known."""
        return self._cluster

    def expect(self, cluster: ClusterSeen) -> None:
        """Take it as known, before anything is sent: another one gets nothing."""
        self._cluster = cluster
        self._where.learn(cluster)

    @property
    def is_identified(self) -> bool:
        return self._where.is_known

    def identify(self) -> None:
        self._meet(self._connection.producer())

    def is_same(self, destination: str, address: str) -> bool:
        return self._where.is_same(destination, address)

    def trouble(self, since_s: float) -> str | None:
        return self._connection.trouble(since_s)

    @property
    def redirected(self) -> Mapping[str, int] | None:
        """How many records of tenants went to the shared topic, and why; None where all have one. Safe from any thread."""
        return None if self._tenants is None else dict(self._tenants.redirected)

    def export(self, lease: Sequence[Record]) -> Receipt:
        producer_id = lease[0].origin.producer_id
        self._highest[producer_id] = max(self._highest.pop(producer_id, -1), lease[-1].sequence)
        if len(self._highest) > MOST_PRODUCERS:
            del self._highest[next(iter(self._highest))]
        if lease[0].sequence <= self._careful_to.get(producer_id, -1) or self._careful.is_holding:
            self._answered()  # as soon as it returns
            return self._careful.export(lease)
        sent, refused = self.send(lease, more=len(lease) == self.lease_events)
        if refused:
            self._answered()
        give_up_at = time.monotonic() + self._give_up_s
        receipt = KafkaReceipt(sent, refused, self._judge, give_up_at, self._pace.acknowledge)
        self._load.add(receipt, sum([len(record.payload) for record in lease]))
        return receipt

    def send(self, records: Sequence[Record], *, more: bool = False) -> tuple[list[Portion], list[Result]]:
        """Hand records to the producer; those that it does not even take are refused."""
        line = self._ready_line()
        try:
            return line.send(records, more=more)
        finally:
            self._connection.last = line.last

    def send_as(self, record: Record, payload: bytes, date_ms: int) -> Portion | Refusal:
        """Hand one record over, with another payload, or dated otherwise."""
        line = self._ready_line()
        try:
            return line.send_as(record, payload, date_ms)
        finally:
            self._connection.last = line.last

    def partition_of(self, record: Record) -> Hashable:
        """Return the partition that a record goes to."""
        return self._ready_line().partition_of(record)

    def ask(self) -> bool:
        """Have the client say what it knows of what is in flight, where it does not by itself; True when that was anything."""
        return False

    def call_when_answered(self, answered: Callable[[], None]) -> None:
        """Call this, perhaps from another thread, when something became known of what is in flight."""
        self._answered = answered

    def learn(self, failure: Exception, record: Record) -> bool:
        """Take over the limits that a refusal is about; True when that may be all that was wrong."""
        return self._dates.learn(failure)

    def _judge(self, exc: Exception, record: Record) -> Never:
        """Raise what became of everything in flight, after this record failed with `exc`.

        kafka-python fails all batches with the error of the one that the broker refused, so an error that is
        about one record does not say which; and about which one an error of another name is, if any, nobody knows.
        Everything in flight goes again: where limits for dates were learned, or for the first time of what may pass, as
        before; else in ever smaller portions.
        """
        if isinstance(exc, ExportError) and exc.reason == TIMEOUT:
            self._pace.slow_down()
        is_known = self.learn(exc, record) or not is_about_one_record(exc)
        if not is_known or record.sequence <= self._troubled_to.get(record.origin.producer_id, -1):
            self._careful_to = self._highest.copy()
        elif not concerns_all(exc):
            self._troubled_to = self._highest.copy()
        raise unavailable(exc) from exc

    def _say_trimmed(self, record: Record, payload: bytes) -> None:
        self._log.warning(
            TOO_LARGE, "event %s is too large for %s and is sent with less text: %d bytes of %d; what was cut is flagged",
            record.event_id, self._config.topic, len(payload), len(record.payload),
        )  # fmt: skip

    def _ready_line(self) -> Line:
        producer = self._connection.producer()
        self._meet(producer)
        if self._tenants is not None:
            return self._line_of_tenants(producer, self._tenants)
        try:
            # asking each time is cheap (metadata is cached) and notices added partitions
            partitions = producer.partitions_for(self._config.topic)
        except Exception as exc:
            self._connection.wait_longer()
            raise unavailable(exc, why=f"topic {self._config.topic}: is it there?") from exc
        known = self._line
        if known is not None and known.producer is producer and known.partitions == len(partitions):
            return known.line
        self._values.prepare()
        topic, values = self._config.topic, self._values
        line = self._line_into(producer, topic, sorted(partitions), values, KEYS)
        self._line = _Known(producer, len(partitions), line)
        return line

    def _line_of_tenants(self, producer: Producer, topics: TenantTopics) -> Line:
        known = self._line
        if known is None or known.producer is not producer:
            from otel_feedback.exporters.kafka.topic_lines import TopicLines

            self._values.prepare()

            def line_to(name: str, partitions: Sequence[int]) -> Line:
                return self._line_into(producer, name, partitions, self._values, KEYS_OF_TENANT)

            line = TopicLines(producer, topics, line_to)
            known = self._line = _Known(producer, 0, line)
        return known.line

    def _meet(self, producer: Producer) -> None:
        """See which cluster a producer has got to; one that is another than before gets nothing."""
        seen = producer.cluster_seen()
        if self._met == (producer, seen.cluster_id):
            return
        if seen.cluster_id is None:  # it was not asked yet, or has none
            with contextlib.suppress(Exception):  # what is wrong with the topic is said elsewhere
                producer.partitions_for(shared_topic(self._config.topic))
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
        self._cluster = self._cluster or seen

    @abstractmethod
    def _line_into(self, producer: Any, topic: str, partitions: Sequence[int], values: Values, keys: int) -> Line:
        """Return the way into a producer; `keys`: whose place is remembered."""

    def abandon(self) -> None:
        if self._tenants is not None:
            self._tenants.forget()
        self._careful.release()
        self.drop()

    def drop(self) -> None:
        """Give up the producer with all that is in flight."""
        self._line = self._met = None
        self._load = Load()
        self._connection.abandon()

    def close(self, timeout_s: float) -> None:
        self._connection.close(timeout_s)

    def after_fork(self) -> None:
        self._line = self._met = None
        self._load = Load()
        self._tenants = None if self._tenants is None else TenantTopics(self._config)
        self._careful.release()
        self._where.forget()
        self._cluster = None
        self._connection.after_fork()
        self._log = ThrottledLog(logger)
        self._highest, self._troubled_to, self._careful_to = {}, {}, {}


class KafkaExporter(OutcomeExporter):
    """By kafka-python.

    Args:
        connected: Called after a producer was built.
    """

    def __init__(
        self, config: KafkaConfig, *, connected: Callable[[], None] = lambda: None, give_up_s: float = GIVE_UP_S
    ) -> None:
        super().__init__(config, KafkaConnection(config, connected), give_up_s)

    def _line_into(self, producer: Any, topic: str, partitions: Sequence[int], values: Values, keys: int) -> Line:
        # here, since this imports kafka-python, which is slow
        from otel_feedback.exporters.kafka.lines import line_into
        from otel_feedback.exporters.kafka.producer import partitioner

        said = self._dates, self._say_trimmed, self._say_answered
        return line_into(producer, topic, values, partitioner(partitions), *said, keys)

    def _say_answered(self) -> None:
        self._answered()


class _Known(NamedTuple):
    """The way into a producer, which knows so many partitions."""

    producer: Producer
    partitions: int
    line: Line
