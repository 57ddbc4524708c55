"""The topic's events as tables: its records, some ten thousand at a time, by way of a file of lines; and the feedback beside it.

TopicReader ──► {"source":…,"source_position":…, + the record's JSON ──► a file of lines ──► read_json ──► `lines`
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import msgspec

from otel_feedback.downstream.tables.tables import WINDOW_S, Tables
from otel_feedback.downstream.topic.given import feedback_in, row_of_feedback
from otel_feedback.downstream.topic.reading import TopicMissingError, TopicReader
from otel_feedback.downstream.topic.received import header
from otel_feedback.downstream.topic.values import TopicValues
from otel_feedback.errors import SchemaError
from otel_feedback.exporters.kafka.topics import tenant_of

__all__ = ["open_topic"]

AT_ONCE = 50_000
EARLIER = timedelta(minutes=5)
"""How much earlier than its end an event's record may be dated: by a clock that is set, and as the first of a batch."""

encode = msgspec.json.encode


def open_topic(
    reader: TopicReader,
    topic: str,
    columns: Iterable[str] | None = None,
    window_s: int = WINDOW_S,
    since: datetime | None = None,
    keep: str = "true",
    feedback_topic: str | None = None,
) -> Tables:
    """Read the topic, up to where it ends now, and return the events on it.

    Args:
        reader: Connected.
        topic: Its name.
        columns: Those that will be asked for; None: all.
        window_s: How long a window is, in seconds.
        since: What is dated earlier need not be read.
        keep: As `Tables` takes it.
        feedback_topic: Where feedback on these events is, all of which is read; it need not be there. None: nobody asks for it.

    Raises:
        TopicMissingError: There is no such topic.
        KafkaError: kafka-python's, where Kafka does not answer.
        ExportError: The registry does not answer, and there are values in Avro.
        ConfigError: No registry is set, and there are.
    """
    partitions = reader.partitions(topic)
    records = reader.read(partitions, reader.starts(partitions, None if since is None else since - EARLIER))
    tables = Tables(columns, window_s, keep)
    try:
        tables.make_table()
        while chunk := list(islice(records, AT_ONCE)):
            lines = tables.folder / "records"
            with lines.open("wb") as file:
                file.writelines(_lines(chunk, reader.values, topic))
            tables.add_lines([lines], with_places=True)
            tables.count_unread()
        if feedback_topic is not None and tables.joins_feedback:
            _add_feedback(tables, reader, feedback_topic)
    except BaseException:
        tables.close()
        raise
    return tables


def _add_feedback(tables: Tables, reader: TopicReader, topic: str) -> None:
    with contextlib.suppress(TopicMissingError):  # nobody has given any
        records = reader.read(reader.partitions(topic))
        while chunk := list(islice(records, AT_ONCE)):
            tables.add_feedback(_feedback_lines(tables, chunk, topic))
    tables.join_feedback()


def _feedback_lines(tables: Tables, records: Iterable[Any], topic: str) -> Iterator[bytes]:
    for record in records:
        try:
            given = feedback_in(record.value, tenant_of(topic, record.topic))
        except SchemaError:
            tables.unread += 1
        else:
            yield row_of_feedback(given, record.topic, record.offset, record.partition)


def _lines(records: Iterable[Any], values: TopicValues, topic: str) -> Iterator[bytes]:
    for record in records:
        sequence = header(record.headers, "sequence")
        place = encode({
            "source": record.topic, "source_partition": record.partition, "source_position": record.offset,
            "producer_id": header(record.headers, "producer_id"),
            "sequence": int(sequence) if sequence and sequence.isascii() and sequence.isdecimal() else None,
        })  # fmt: skip
        # the place comes first, and of two fields of one name the first counts; a line feed is never within a string
        try:
            told = values.json_fetched(record)
        except SchemaError:
            told = None
        value = (told or b"").strip().replace(b"\n", b" ").replace(b"\r", b" ")
        is_event = value[:1] == b"{" and _is_theirs(value, tenant_of(topic, record.topic))
        yield place[:-1] + b"," + value[1:] + b"\n" if is_event else b"[]\n"


class _Tenant(msgspec.Struct):
    tenant_id: str | None = None


_decode = msgspec.json.Decoder(_Tenant).decode


def _is_theirs(value: bytes, owner: str | None) -> bool:
    """Tell whether an event is of the tenant whose topic it is on, where tenants have some."""
    try:
        return owner is None or _decode(value).tenant_id == owner
    except msgspec.MsgspecError:
        return False
