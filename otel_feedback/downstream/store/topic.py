"""The topic as a source: all partitions, from where the manifest says.

    KafkaConsumer, partitions assigned by ourselves ──► records ──► rows.py ──► batch ◄── notices.py
                          ▲                                └ no event: dead letters, before anything after it counts
                          └ the group's commit, after the manifest's: for who watches the lag, and read by nobody here

`until` is the newest moment at which the topic went as far as is read now: it is looked at every so often how far that is.
There is no rebalance: a store has one writer, and one that died has no partitions that its successor would have to wait for.
For one thread.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

import msgspec

from otel_feedback.downstream.store.batch import Batch
from otel_feedback.downstream.store.connecting import CLOSE_MS, open_consumer
from otel_feedback.downstream.store.folder import StoreError
from otel_feedback.downstream.store.notices import NoticeSource
from otel_feedback.downstream.store.rows import row_of_record
from otel_feedback.downstream.store.source import Say
from otel_feedback.downstream.topic.letters import INVALID, DeadLetter, DeadLetters
from otel_feedback.downstream.topic.reading import partitions_of
from otel_feedback.downstream.topic.values import TopicValues
from otel_feedback.errors import ConfigError, ExportError, SchemaError, describe
from otel_feedback.exporters.kafka.asking import admin_client
from otel_feedback.exporters.kafka.topics import is_per_tenant, tenant_of
from otel_feedback.retry import Backoff
from otel_feedback.settings.kafka import KafkaConfig

__all__ = ["TopicSource"]

Place = tuple[str, int]
"""A topic, and the number of a partition of it."""
Offsets = dict[Place, int]

AT_ONCE = 2_000
ANSWER_MS = 30_000
LOOK_S = 10.0
"""How often to look for new partitions, and how far the topic goes."""
COMMIT_S = 1.0
END_S = 10.0
MOST_LOOKS = 1_000
"""That are remembered while what was there then has not been read."""


class TopicSource:
    """Reads the outcome topic, or those of all tenants.

    Args:
        config: Where, and which topic.
        group: Whom to commit for.
        positions: Of the manifest.
        stop: Set when it is to end.
        say: Told what stands in its way, by kind.
    """

    def __init__(
        self, config: KafkaConfig, group: str, positions: Mapping[str, Any], stop: threading.Event, say: Say
    ) -> None:
        self._config = config
        self._group = group
        self._key = f"topic {config.topic}"
        kept: Mapping[str, Any] = positions.get(self._key, {})
        self._cluster: str | None = kept.get("cluster")
        self._next: Offsets = {self._place(text): offset for text, offset in kept.get("next", {}).items()}
        self._ends: Offsets = {}
        self._stop = stop
        self._say = say
        self._letters = DeadLetters(config, group)
        self._values = TopicValues(config.registry)
        self._notices = NoticeSource(config, positions, say)
        self._looks: deque[tuple[datetime, Offsets]] = deque(maxlen=MOST_LOOKS)
        self._consumer: Any = None
        self._backoff = Backoff()
        self._committed: Offsets = {}
        self._look_due_s = self._commit_due_s = 0.0
        self.name = f"{config.topic} on {','.join(config.bootstrap_servers)}"
        self.is_at_end = False
        self.behind: int | None = None
        self.until: datetime | None = None

    # -- reading -----------------------------------------------------------------------------------------------

    def read(self, batch: Batch, rows: int, timeout_s: float) -> None:
        """Add the records of one answer.

        Raises:
            StoreError: The topic is another one than the store was written from.
            ConfigError: There are values in Avro, and no registry is set.
        """
        try:
            if self._consumer is None:
                self.connect()
            if time.monotonic() >= self._look_due_s:
                self._look(batch)
            consumer: Any = self._consumer
            polled = consumer.poll(timeout_ms=int(timeout_s * 1e3), max_records=min(max(rows, 1), AT_ONCE))
            for place, records in polled.items():
                self._take(batch, place, records)
            self._look_at_end()
            self._notices.read(batch)
            self.is_at_end = self.is_at_end and self._notices.is_read
            self._backoff.reset()
        except (StoreError, ConfigError):
            raise
        except ExportError as exc:
            self._try_again(f"{self.name} cannot be read yet: {exc.detail}")
        except Exception as exc:  # kafka-python's, of which each has a class; what was not taken is read again
            self._try_again(f"{self.name} cannot be read: {describe(exc)}")

    def _try_again(self, found: str) -> None:
        self._say("kafka", f"{found}; trying again")
        self.is_at_end, self.behind = False, None
        self._disconnect()
        self._stop.wait(self._backoff.next_s())

    def _take(self, batch: Batch, place: Any, records: list[Any]) -> None:
        topic, add, at = msgspec.json.encode(place.topic), batch.add, (place.topic, place.partition)
        owner, json_of = tenant_of(self._config.topic, place.topic), self._values.json_fetched
        for record in records:
            try:
                add(row_of_record(json_of(record), record.headers, topic, place.partition, record.offset, owner))
            except SchemaError as exc:
                letter = DeadLetter(record, INVALID, str(exc))
                if not self._letters.send(letter, self._stop.is_set):
                    self._disconnect()  # and what follows is not read, either
                    return
                batch.count("no_events")
            self._next[at] = record.offset + 1

    def _look_at_end(self) -> None:
        if self._consumer is None or not self._ends:
            self.is_at_end, self.behind = False, None
            return
        self.behind = sum(max(0, end - self._next.get(at, 0)) for at, end in self._ends.items())
        if self.behind:  # by position, since the last offsets may hold no record
            late = {at: end for at, end in self._ends.items() if self._next.get(at, 0) < end}
            self.behind = sum(
                max(0, end - self._consumer.position(_place_of(*at), ANSWER_MS)) for at, end in late.items()
            )
        self.is_at_end = not self.behind
        while self._looks and (self.is_at_end or _has(self._next, self._looks[0][1])):
            self.until = self._looks.popleft()[0]

    # -- connecting ----------------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Connect, and see that it is the cluster that the store was written from; `read` does so where it has to.

        Raises:
            StoreError: It is another.
            ExportError: Kafka does not answer.
        """
        self._consumer = open_consumer(self._config, self._group)
        self._ends = {}
        self._look_due_s = 0.0
        self._identify()

    def _identify(self) -> None:
        """Make sure that this is the cluster that the store was written from."""
        with admin_client(self._config, "store", ANSWER_MS) as admin:
            found: str | None = admin.describe_cluster().get("cluster_id")
        if self._cluster not in (None, found) and found is not None:
            raise StoreError(
                f"{self._config.topic} is now on another cluster ({found}) than this store was written from "
                f"({self._cluster}): its positions mean nothing there. Take another folder, or --rebuild"
            )
        self._cluster = found or self._cluster

    def _look(self, batch: Batch) -> None:
        """Take in new partitions, and how far the topic goes."""
        self._look_due_s = time.monotonic() + LOOK_S
        now = datetime.now(timezone.utc)
        places = partitions_of(self._consumer, self._config.topic)
        if not places:
            raise ExportError("no_topic", "there is no such topic, or this client may not see it", retryable=True)
        ends: Offsets = {
            (place.topic, place.partition): end for place, end in self._consumer.end_offsets(places).items()
        }
        new = [place for place in places if (place.topic, place.partition) not in self._ends]
        if new:
            begins: Mapping[Any, int] = self._consumer.beginning_offsets(new)
            self._consumer.assign(places)
            for place in places:
                at = place.topic, place.partition
                if place in begins:
                    self._begin(batch, at, begins[place], ends[at])
                self._consumer.seek(place, self._next[at])
        self._ends = ends
        self._looks.append((now, ends))

    def _begin(self, batch: Batch, place: Place, begin: int, end: int) -> None:
        topic, number = place
        at = self._next.get(place)
        if at is not None and at > end and is_per_tenant(self._config.topic):
            self._say(f"anew {topic}", f"{topic} was made anew, and is read from its beginning")  # and all others go on
            at = None
        if at is not None and at > end:
            raise StoreError(
                f"{topic} was made anew: partition {number} ends at offset {end}, and this store was "
                f"written up to {at}. Take another folder, or --rebuild"
            )
        if at is not None and at < begin:
            batch.count("missed", begin - at)
            where = self._text(place)
            self._say(
                f"missed {where}", f"{self.name}: {begin - at:,} records of partition {where} were deleted before the store "
                "had read them"
            )  # fmt: skip
        self._next[place] = max(begin, at or 0)

    def _place(self, text: str) -> Place:
        """Return the partition that a manifest means: `3` of the topic, or `agent-outcomes.acme/3` of one of many."""
        topic, _, number = text.rpartition("/")
        return topic or self._config.topic, int(number)

    def _text(self, place: Place) -> str:
        topic, number = place
        return str(number) if topic == self._config.topic else f"{topic}/{number}"

    def _disconnect(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            try:
                consumer.close(autocommit=False, timeout_ms=CLOSE_MS)
            except Exception:
                self._say("closing", f"{self.name}: the connection could not be closed")

    # -- positions -----------------------------------------------------------------------------------------------

    def position(self) -> Mapping[str, Any]:
        """Return the offsets that are next, and of which cluster."""
        events = {"cluster": self._cluster, "next": {self._text(of): at for of, at in sorted(self._next.items())}}
        return {self._key: events, **self._notices.position()}

    def committed(self, positions: Mapping[str, Any]) -> None:
        """Commit for the group what is in the store, once a second, without waiting."""
        if self._consumer is None or time.monotonic() < self._commit_due_s:
            return
        self._commit_due_s = time.monotonic() + COMMIT_S
        ends = self._to_commit(positions)
        if ends:
            self._consumer.commit_async(_offsets(ends), callback=self._note(ends))

    def _to_commit(self, positions: Mapping[str, Any]) -> Offsets:
        kept: Mapping[str, int] = positions.get(self._key, {}).get("next", {})
        ends = {self._place(text): at for text, at in kept.items()}
        return {place: at for place, at in ends.items() if at > self._committed.get(place, 0)}

    def _note(self, ends: Offsets) -> Callable[[object, object], None]:
        def answered(_offsets: object, answer: object) -> None:
            if isinstance(answer, Exception):
                self._say_no_commit(answer)
            else:
                self._committed.update(ends)

        return answered

    def _say_no_commit(self, exc: Exception) -> None:
        self._say("commit", f"the group {self._group} cannot commit, so its lag is not known: {describe(exc)}")

    def close(self, positions: Mapping[str, Any]) -> None:
        """Commit for the group for the last time, and leave Kafka."""
        ends = self._to_commit(positions)
        if self._consumer is not None and ends:
            try:
                self._consumer.commit(_offsets(ends), timeout_ms=CLOSE_MS)
            except Exception as exc:  # nothing rests on it
                self._say_no_commit(exc)
        self._disconnect()
        self._notices.close()
        self._letters.close(END_S)


def _has(read: Offsets, ends: Offsets) -> bool:
    return all(read.get(place, 0) >= end for place, end in ends.items())


def _place_of(topic: str, number: int) -> Any:
    from kafka.structs import TopicPartition

    return TopicPartition(topic, number)


def _offsets(ends: Offsets) -> dict[Any, Any]:
    from kafka.structs import OffsetAndMetadata

    return {_place_of(*place): OffsetAndMetadata(at, "", -1) for place, at in ends.items()}
