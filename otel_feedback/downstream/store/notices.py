"""What is beside the events: feedback, the account, and the dead letters.

    agent-feedback ────────► feedback          by a connection of its own: where they are missing, or shut to this client,
    agent-outcomes-audit ──► accounts          that is said, and the events go on
    agent-outcomes-dlq ────► dead_letters

Of the latter two a row has nothing of an event but whose it is, so that no rule of erasure is about it. For one thread, which
waits for nothing here once it is connected.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

import msgspec

from otel_feedback.downstream.store.batch import Batch
from otel_feedback.downstream.store.connecting import CLOSE_MS, open_consumer
from otel_feedback.downstream.store.folder import FEEDBACK
from otel_feedback.downstream.store.source import Say
from otel_feedback.downstream.topic.given import feedback_in, row_of_feedback
from otel_feedback.downstream.topic.reading import partitions_of
from otel_feedback.downstream.topic.received import header
from otel_feedback.errors import SchemaError, describe
from otel_feedback.events import audit
from otel_feedback.events.audit import LossRecord
from otel_feedback.exporters.kafka.topics import audit_topic, dead_letter_topic, shared_topic, tenant_of
from otel_feedback.settings.kafka import KafkaConfig

__all__ = ["NoticeSource", "account_row", "letter_row"]

AT_ONCE = 2_000
POLL_MS = 50
TURN_S = 0.5
"""How often to ask where nothing is behind."""
LOOK_S = 10.0
AGAIN_S = 30.0
"""How long to leave them alone after a failure."""
_LARGEST = 2**63 - 1

encode = msgspec.json.encode


def account_row(record: Any) -> bytes:
    """Return the line of a record of the audit topic.

    Raises:
        SchemaError: It is none.
    """
    told = audit.decode(record.value or b"")
    row: dict[str, Any] = {
        "timestamp": told.timestamp, "producer_id": told.producer_id, "service_name": told.service_name,
        "exporter": told.exporter, "destination": told.destination, **_from(record),
    }  # fmt: skip
    if isinstance(told, LossRecord):
        row |= {
            "type": "loss", "reason": told.reason, "first_sequence": told.first_sequence,
            "last_sequence": told.last_sequence, "events": told.count,
        }  # fmt: skip
    else:
        row |= {
            "type": "high_water", "next_sequence": told.end, "delivered": told.delivered, "pending": told.pending,
            "lost": told.lost, "closed": told.closed,
        }  # fmt: skip
    if any(isinstance(value, int) and abs(value) > _LARGEST for value in row.values()):
        raise SchemaError("not an audit record: a number has more than 64 bits")
    return encode(row) + b"\n"


def letter_row(record: Any) -> bytes:
    """Return the line of a dead letter."""
    told = {
        name: header(record.headers, name)
        for name in ("error.reason", "error.culprit", "error.group", "producer_id", "original.topic")
    }
    row = {
        "timestamp": datetime.fromtimestamp(max(record.timestamp, 0) / 1e3, timezone.utc), "reason": told["error.reason"],
        "culprit": told["error.culprit"], "reader": told["error.group"], "producer_id": told["producer_id"],
        "sequence": _number(record, "sequence"), "original_topic": told["original.topic"],
        "original_partition": _number(record, "original.partition", 2**31 - 1),
        "original_offset": _number(record, "original.offset"), **_from(record),
    }  # fmt: skip
    return encode(row) + b"\n"


def _from(record: Any) -> dict[str, Any]:
    return {"source": record.topic, "source_partition": record.partition, "source_position": record.offset}


def _number(record: Any, name: str, most: int = _LARGEST) -> int | None:
    text = header(record.headers, name)
    if not text or len(text) > len(str(most)) or not (text.isascii() and text.isdecimal()):
        return None
    return number if (number := int(text)) <= most else None


class _Table(NamedTuple):
    name: str
    row: Callable[[Any], bytes]


class NoticeSource:
    """Reads these topics, from where the manifest says, else from their beginnings.

    Args:
        config: Where; those of the account and the dead letters are named after the outcome topic.
        positions: Of the manifest.
        say: Told what stands in its way, by kind.
    """

    def __init__(self, config: KafkaConfig, positions: Mapping[str, Any], say: Say) -> None:
        self._config = config
        self._say = say
        self._tables = {
            config.feedback_topic: _Table(FEEDBACK, self._feedback_row),
            audit_topic(config): _Table("accounts", account_row),
            dead_letter_topic(config): _Table("dead_letters", letter_row),
        }
        kept = {topic: positions.get(f"topic {topic}", {}).get("next", {}) for topic in self._tables}
        self._next = {_place(topic, text): int(at) for topic, told in kept.items() for text, at in told.items()}
        self._ends: dict[tuple[str, int], int] = {}
        self._shut: set[str] = set()
        self._consumer: Any = None
        self._due_s = self._look_due_s = 0.0
        self.is_read = False
        """Whether all was read that was there when this was asked last, as far as it can be read."""

    def read(self, batch: Batch) -> None:
        """Add what there is; a failure is said, and tried again some time later."""
        if time.monotonic() < self._due_s:
            return
        try:
            self._read(batch)
        except Exception as exc:  # kafka-python's, of which each has a class; what was not taken is read again
            if type(exc).__name__ == "TopicAuthorizationFailedError":
                self._shut |= {name for name in self._tables if shared_topic(name) in str(exc)} or set(self._tables)
            self._say(
                "notices", f"feedback, account and dead letters cannot be read, and the events are: {describe(exc)}"
            )
            self.close()
            self._due_s = time.monotonic() + AGAIN_S
            self.is_read = True

    def _read(self, batch: Batch) -> None:
        if self._consumer is None:
            self._consumer = open_consumer(self._config, None)
            self._ends, self._look_due_s = {}, 0.0
        if time.monotonic() >= self._look_due_s:
            self._look()
        consumer = self._consumer
        if self._ends:
            for place, records in consumer.poll(timeout_ms=POLL_MS, max_records=AT_ONCE).items():
                self._take(batch, self._tables[self._set_as(place.topic)], records)
        behind = [place for place, end in self._ends.items() if self._next[place] < end]
        # by position, since the last offsets may hold no record
        self.is_read = all(consumer.position(_place_of(*place), CLOSE_MS) >= self._ends[place] for place in behind)
        self._due_s = time.monotonic() + TURN_S if self.is_read else 0.0

    def _take(self, batch: Batch, table: _Table, records: list[Any]) -> None:
        for record in records:
            try:
                batch.add_notice(table.name, table.row(record))
            except SchemaError as exc:
                if table.name == FEEDBACK:
                    batch.count("no_events")
                self._say(table.name, f"{record.topic}: the record at offset {record.offset} is left out: {exc}")
            self._next[record.topic, record.partition] = record.offset + 1

    def _look(self) -> None:
        """Take in new topics and partitions, and how far they go."""
        self._look_due_s = time.monotonic() + LOOK_S
        consumer = self._consumer
        # one that is not there yet is made by `otel-feedback topics`, or by the broker
        there = {(place.topic, place.partition) for topic in self._tables.keys() - self._shut
                 for place in partitions_of(consumer, topic)}  # fmt: skip
        places = [_place_of(*place) for place in sorted(there)]
        if not places:
            return
        ends = {(place.topic, place.partition): end for place, end in consumer.end_offsets(places).items()}
        if there - self._ends.keys():
            begins = {(place.topic, place.partition): at for place, at in consumer.beginning_offsets(places).items()}
            consumer.assign(places)
            for place in sorted(there):
                at = self._next.get(place, 0)
                if place in self._next and at < begins[place] and self._set_as(place[0]) == self._config.feedback_topic:
                    gone = f"{place[0]}: {begins[place] - at:,} records of partition {place[1]} were deleted"
                    self._say(f"missed {place}", f"{gone} before the store had read them")
                # beyond the end: the topic was made anew
                self._next[place] = begins[place] if at > ends[place] else max(at, begins[place])
                consumer.seek(_place_of(*place), self._next[place])
        self._ends = ends

    def position(self) -> Mapping[str, Any]:
        """Return the offsets that are next."""
        told: dict[str, dict[str, dict[str, int]]] = {f"topic {topic}": {"next": {}} for topic in self._tables}
        for (topic, number), at in sorted(self._next.items()):
            as_set = self._set_as(topic)
            told[f"topic {as_set}"]["next"][str(number) if topic == as_set else f"{topic}/{number}"] = at
        return told

    def _set_as(self, topic: str) -> str:
        """Return which of the tables' topics one is: itself, or that of feedback where there is one for each tenant."""
        return topic if topic in self._tables else self._config.feedback_topic

    def _feedback_row(self, record: Any) -> bytes:
        given = feedback_in(record.value, tenant_of(self._config.feedback_topic, record.topic))
        return row_of_feedback(given, record.topic, record.offset, record.partition)

    def close(self) -> None:
        """Leave Kafka."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            try:
                consumer.close(autocommit=False, timeout_ms=CLOSE_MS)
            except Exception:
                self._say("closing", "the connection of feedback, account and dead letters could not be closed")


def _place(topic: str, text: str) -> tuple[str, int]:
    """Return the partition that a manifest means: `3` of the topic, or `agent-feedback.acme/3` of one of many."""
    name, _, number = text.rpartition("/")
    return name or topic, int(number)


def _place_of(topic: str, number: int) -> Any:
    from kafka.structs import TopicPartition

    return TopicPartition(topic, number)
