"""A store of made-up events, accounts and dead letters, written as `otel-feedback store` writes it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from otel_feedback import OutcomeEvent
from otel_feedback.downstream.alerts.looking import Source
from otel_feedback.downstream.store.batch import Batch
from otel_feedback.downstream.store.folder import StoreFolder
from otel_feedback.downstream.store.keeping import Limits
from otel_feedback.downstream.store.manifest import Reading
from otel_feedback.downstream.store.notices import account_row, letter_row
from otel_feedback.downstream.store.rows import row_of_record
from otel_feedback.downstream.store.source import follow
from otel_feedback.downstream.store.writer import StoreWriter
from otel_feedback.events.audit import HighWaterRecord, LossRecord


class Record(NamedTuple):
    """As kafka-python has it."""

    value: bytes
    headers: Sequence[tuple[str, bytes]]
    topic: str = "topic"
    partition: int = 0
    offset: int = 0
    timestamp: int = 0


class Sequenced(NamedTuple):
    """An event with its producer's number."""

    event: OutcomeEvent
    sequence: int


def loss(at: datetime, count: int, first: int = 0, reason: str = "retention", **more: Any) -> LossRecord:
    given: dict[str, Any] = {**_OF, "last_sequence": first + count - 1, **more}
    return LossRecord(reason=reason, first_sequence=first, count=count, timestamp=at, **given)


def mark(at: datetime, end: int, pending: int = 0, **more: Any) -> HighWaterRecord:
    given: dict[str, Any] = {**_OF, "closed": False, **more}
    return HighWaterRecord(end=end, delivered=end - pending, pending=pending, lost={}, timestamp=at, **given)


_OF = {"producer_id": "p-1", "service_name": "support-bot", "exporter": "kafka", "destination": "c/agent-outcomes"}


def letter(at: datetime, reason: str = "invalid_event", reader: str = "billing") -> Record:
    headers = [("error.reason", reason.encode()), ("error.culprit", b"consumer"), ("error.group", reader.encode())]
    return Record(b"text of somebody", headers, timestamp=int(at.timestamp() * 1e3))


class _Made:
    """A source that has all of it at once."""

    name = "made"
    is_at_end = True
    behind: int | None = 0

    def __init__(self, batch: Batch, until: datetime | None) -> None:
        self._batch = batch
        self.until = until

    def read(self, batch: Batch, rows: int, timeout_s: float) -> None:
        batch.lines += self._batch.lines
        batch.notices |= self._batch.notices

    def position(self) -> Mapping[str, Any]:
        return {}

    def committed(self, positions: Mapping[str, Any]) -> None:
        pass

    def close(self, positions: Mapping[str, Any]) -> None:
        pass


def write(
    folder: Path, events: Iterable[OutcomeEvent | Sequenced] = (), accounts: Iterable[LossRecord | HighWaterRecord] = (),
    letters: Iterable[Record] = (), *, until: datetime | None = None, behind: int | None = 0,
) -> Source:  # fmt: skip
    """Write them, as read until a moment; return where they are."""
    batch = Batch()
    for each in events:
        told = each if isinstance(each, Sequenced) else Sequenced(each, -1)
        headers = [] if told.sequence < 0 else [("producer_id", b"p-1"), ("sequence", b"%d" % told.sequence)]
        batch.add(row_of_record(told.event.to_json().encode(), headers, b'"topic"', 0, len(batch.lines)))
    for account in accounts:
        batch.add_notice("accounts", account_row(Record(account.encode(), [])))
    for each_letter in letters:
        batch.add_notice("dead_letters", letter_row(each_letter))
    store = StoreFolder(folder)
    with store.writing():
        writer = StoreWriter(store, Limits(), lambda *_: None, lambda *_: None)
        writer.start()
        source = _Made(batch, until)
        source.behind = behind
        follow(source, writer, threading.Event(), once=True, flush_rows=10**6, flush_interval_s=1)
        assert isinstance(writer.manifest.reading, Reading)
    return Source((folder,))
