"""One member of a consumer group, on a thread of its own, which goes on polling however slow the handler is.

    Kafka ──poll──► chunks, one partition each ──► whoever iterates          records of a partition stay in order
      ▲                                               │ settle(record)
      └────── commit, now and then ◄── how far ◄──────┘                      more than enough waiting: pause

Guarantee: what is committed for a partition is below the first record that was not settled. When a rebalance begins what
is settled is committed, and nothing more is handed out until it is over; then what waits of partitions that went to others
is dropped, and they begin where the commit ends. What waits of a partition that stays is kept: kafka-python goes on after
it. Threads: one of ours, and kafka-python's own, on which a rebalance is told; iterating is for one thread.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

from otel_feedback.downstream.topic.unpacking import unpacked
from otel_feedback.errors import ExportError, describe
from otel_feedback.exporters.kafka.connection import FIRST_WAIT_MS, MOST_WAIT_MS, most_telling
from otel_feedback.exporters.kafka.library import import_kafka
from otel_feedback.exporters.kafka.quiet import heard_since, hearing, quieten
from otel_feedback.exporters.kafka.receipt import unavailable
from otel_feedback.exporters.kafka.security import secured
from otel_feedback.exporters.kafka.topics import is_per_tenant, topics_pattern
from otel_feedback.logger import get_logger
from otel_feedback.retry import Backoff
from otel_feedback.sdk.compat.suppressing import suppress_instrumentation
from otel_feedback.sdk.forks import import_guard
from otel_feedback.settings.kafka import KafkaConfig
from otel_feedback.throttle import ThrottledLog

if TYPE_CHECKING:
    from kafka import KafkaConsumer

__all__ = ["Chunk", "GroupMember", "PartitionInHand"]

logger = get_logger(__name__)

ENOUGH = 2_000
"""Records that wait for the handler: with so many nothing more is read, with half of them it goes on."""
AT_ONCE = 500
POLL_MS = 200
PAUSED_S = 0.05
"""How long to wait between polls while all is paused: for the handler, which says so when it is through a chunk."""
COMMIT_TIMEOUT_MS = 10_000
CLOSE_TIMEOUT_MS = 10_000
CONNECTING_S = 1.0
"""How long the end waits for a thread that is still connecting: there is nothing to commit, and no group to leave."""
_OF_REBALANCES = frozenset({
    "CommitFailedError", "IllegalGenerationError", "RebalanceInProgressError", "UnknownMemberIdError",
})  # fmt: skip
"""What a commit fails with when the partitions are about to be somebody else's, who has some records again."""


class PartitionInHand:
    """How far one partition is, for as long as it is this member's without a break.

    Each number has one thread that writes it; so none is behind a lock.
    """

    __slots__ = ("committed", "handed_out", "is_gone", "partition", "settled", "taken_in")

    def __init__(self, partition: Any) -> None:
        self.partition = partition
        self.is_gone = False
        self.taken_in = 0
        self.handed_out = 0
        self.settled = -1  # the offset after the last record that was settled
        self.committed = -1

    @property
    def waiting(self) -> int:
        """How many records of it wait."""
        return self.taken_in - self.handed_out


class Chunk(NamedTuple):
    """Records of one partition, in order: kafka-python's."""

    owner: PartitionInHand
    records: list[Any]


class GroupMember:
    """Reads one topic, or those of all tenants, as a member of a group.

    Args:
        config: Where, and which topic.
        group: The group's id.
        start: Where a group begins that has committed nothing: "earliest" or "latest".
        commit_interval_s: How often to commit while records are handled.
        wake: Called, from the thread here, when there is a chunk, or the end.
        options: Of kafka-python's consumer, beside those of the settings.
    """

    def __init__(
        self, config: KafkaConfig, group: str, *, start: str, commit_interval_s: float, wake: Callable[[], None],
        options: dict[str, Any],
    ) -> None:  # fmt: skip
        self._config = config
        self._group = group
        self._start = start
        self._commit_interval_s = commit_interval_s
        self._wake = wake
        self._options = options
        self.chunks: SimpleQueue[Chunk | None] = SimpleQueue()  # None: look whether it is over
        self.settled = threading.Event()
        """Set while no rebalance is under way."""
        self.settled.set()
        self.drained = threading.Event()
        """To be set by who iterates, when a chunk is through."""
        self.is_over = False
        self.failure: Exception | None = None
        """Why it is over, where it is for good: kafka-python does not take the options."""
        self.is_paused = False
        self.rebalances = 0
        self._is_stopping = False
        self._is_connecting = False
        self._connect_ms = FIRST_WAIT_MS
        self._stop = threading.Event()
        self._owned: dict[Any, PartitionInHand] = {}
        self._thread: threading.Thread | None = None
        self._log = ThrottledLog(logger)
        self._commit_due_s = 0.0

    # -- from the thread that iterates -----------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread, once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="otel-feedback-consumer", daemon=True)
            self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Commit what is settled, leave the group, and end the thread; wait at most so many seconds."""
        self._is_stopping = True
        self._stop.set()
        self.drained.set()
        if self._thread is not None:
            self._thread.join(min(timeout_s, CONNECTING_S) if self._is_connecting else timeout_s)

    @property
    def waiting(self) -> int:
        """How many records are here and were not handed out yet."""
        return sum(owned.waiting for owned in list(self._owned.values()))

    # -- the thread --------------------------------------------------------------------------------------------

    def _run(self) -> None:
        backoff = Backoff()
        try:
            with suppress_instrumentation():
                while not self._is_stopping:
                    try:
                        self._read(self._connect(), backoff)
                    except ExportError as exc:
                        self._log.warning(
                            "connecting", "the group %s cannot read %s yet, and tries again: %s",
                            self._group, self._config.topic, exc.detail,
                        )  # fmt: skip
                        self._stop.wait(backoff.next_s())
                    except Exception as exc:  # whatever it is, what was not committed is read again
                        if type(exc).__name__ == "KafkaConfigurationError":
                            self.failure = exc
                            return
                        self._log.warning(
                            "reading", "the group %s does not get on with %s, and tries again: %s",
                            self._group, self._config.topic, describe(exc), exc_info=exc,
                        )  # fmt: skip
                        self._stop.wait(backoff.next_s())
        finally:
            self.is_over = True
            self.settled.set()
            self.chunks.put(None)
            self._wake()

    def _connect(self) -> KafkaConsumer:
        self._is_connecting = True
        with import_guard:
            import_kafka()
            from kafka import KafkaConsumer
            from kafka.errors import KafkaConfigurationError

            from otel_feedback.downstream.consumer.rebalance import listener
            from otel_feedback.exporters.kafka.inside import unpack_by
            from otel_feedback.exporters.kafka.sockets import closed_on_failure
        quieten(self._config.client_id)
        options: dict[str, Any] = {
            "bootstrap_servers": list(self._config.bootstrap_servers),
            "client_id": self._config.client_id,
            "group_id": self._group,
            "auto_offset_reset": self._start,
            "enable_auto_commit": False,
            "allow_auto_create_topics": False,
            "bootstrap_timeout_ms": self._connect_ms,
            "metadata_max_age_ms": 30_000,  # a topic that comes later, or gets more partitions, is seen so soon
            "metrics_enabled": False,
            **secured(self._config.client_options),
            **self._options,
        }
        began_s = time.monotonic()
        with hearing() as heard:
            try:
                with closed_on_failure(options) as opening:
                    consumer = KafkaConsumer(**opening)
            except KafkaConfigurationError:
                raise
            except Exception as exc:
                self._connect_ms = min(MOST_WAIT_MS, self._connect_ms * 2)  # for a slow line
                heard_too = heard_since(self._config.client_id, began_s)  # by kafka-python's own thread
                raise unavailable(exc, why=most_telling([*heard, *heard_too])) from exc
        self._is_connecting = False
        unpack_by(consumer, unpacked)
        topic = self._config.topic
        is_many = is_per_tenant(topic)
        consumer.subscribe(
            [] if is_many else [topic], topics_pattern(topic) if is_many else None, listener=listener(self, consumer)
        )
        return consumer

    def _read(self, consumer: KafkaConsumer, backoff: Backoff) -> None:
        try:
            while not self._is_stopping:
                # kafka-python (3.0.12) hears that it has joined only within a poll(), and begins anew after it: so the
                # polls of a rebalance are long, also where all is paused
                is_resting = self.is_paused and self.settled.is_set()
                polled = consumer.poll(timeout_ms=0 if is_resting else POLL_MS, max_records=AT_ONCE)
                if polled:
                    backoff.reset()
                    self._take_in(polled)
                self._balance(consumer)
                if time.monotonic() >= self._commit_due_s:
                    self._commit(consumer)
                if is_resting:
                    self.drained.wait(PAUSED_S)
                    self.drained.clear()
            self._commit_last(consumer)
        finally:
            with contextlib.suppress(Exception):  # it is to go whatever it says
                consumer.close(autocommit=False, timeout_ms=CLOSE_TIMEOUT_MS)
            self.lose(list(self._owned))

    def _take_in(self, polled: dict[Any, list[Any]]) -> None:
        for partition, records in polled.items():
            owned = self._owned.get(partition)
            if owned is None:
                owned = self._owned[partition] = PartitionInHand(partition)
            owned.taken_in += len(records)
            self.chunks.put(Chunk(owned, records))
        self._wake()

    def _balance(self, consumer: KafkaConsumer) -> None:
        """Pause the partitions while enough waits; the member polls on, and so stays one.

        All of them, since kafka-python (3.0.12) does not go on with one that was paused alone: what it had read of it
        ahead is kept aside, and taken up again only where it has nothing left of any other, not even an empty answer.
        """
        if not self.is_paused and self.waiting >= ENOUGH:
            self.is_paused = True
            consumer.pause(*(consumer.assignment() or ()))
        elif self.is_paused and self.waiting <= ENOUGH // 2:
            self.is_paused = False
            consumer.resume(*consumer.paused())

    def to_commit(self) -> dict[PartitionInHand, int]:
        """Return how far the partitions are settled that are so further than was committed."""
        ends = {owned: owned.settled for owned in self._owned.values()}
        return {owned: end for owned, end in ends.items() if end > owned.committed}

    def _commit(self, consumer: KafkaConsumer) -> None:
        from otel_feedback.downstream.consumer.rebalance import offsets

        self._commit_due_s = time.monotonic() + self._commit_interval_s
        ends = self.to_commit()
        if not ends:
            return

        def answered(_offsets: object, answer: object) -> None:  # here, within a later poll()
            if isinstance(answer, Exception):
                self._say_not_committed(answer)
            else:
                committed(ends)

        # not waited for: kafka-python would try again and again while a rebalance waits for the next poll()
        consumer.commit_async(offsets(ends), callback=answered)

    def _commit_last(self, consumer: KafkaConsumer) -> None:
        from otel_feedback.downstream.consumer.rebalance import offsets

        ends = self.to_commit()
        if ends:
            try:
                consumer.commit(offsets(ends), timeout_ms=COMMIT_TIMEOUT_MS)
            except Exception as exc:
                self._say_not_committed(exc)
            else:
                committed(ends)

    def _say_not_committed(self, exc: Exception) -> None:
        if type(exc).__name__ in _OF_REBALANCES:
            logger.debug("the group %s could not commit: %r", self._group, exc)
        else:
            self._log.warning("commit", "the group %s could not commit, and will again: %s", self._group, describe(exc))

    # -- from kafka-python's thread, while the one here waits in poll() or close() -------------------------------

    def hold(self) -> None:
        """A rebalance begins: hand out nothing more."""
        self.settled.clear()

    def keep(self, partitions: Iterable[Any]) -> None:
        """A rebalance is over: these are ours, others are not."""
        self.lose(set(self._owned) - set(partitions))
        self.rebalances += 1
        self.settled.set()
        self._wake()

    def lose(self, partitions: Iterable[Any]) -> None:
        """These are no longer ours; what waits of them is somebody else's."""
        for partition in partitions:
            owned = self._owned.pop(partition, None)
            if owned is not None:
                owned.is_gone = True


def committed(ends: dict[PartitionInHand, int]) -> None:
    """Take note of what was committed."""
    for owned, end in ends.items():
        owned.committed = end
