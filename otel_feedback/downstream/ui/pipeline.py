"""How the events got here: each producer's account, what is pending or lost, gaps on the topic, journals on this machine.

audit topic ──a thread, every ten seconds──► the newest mark of each producer, and losses ──┐
the store's rows ──► sequences that there are, and gaps between them ───────────────────────┼──► told()
journals on this machine ──► their sizes, and whether their process lives ──────────────────┘
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from otel_feedback.downstream.topic.reading import open_reader
from otel_feedback.downstream.ui.asking import Asked
from otel_feedback.downstream.ui.measures import sql_of
from otel_feedback.downstream.ui.mirror import Mirror
from otel_feedback.downstream.ui.reader import Reader
from otel_feedback.downstream.ui.rows import milliseconds
from otel_feedback.errors import SchemaError, describe
from otel_feedback.events import audit
from otel_feedback.events.audit import HighWaterRecord
from otel_feedback.exporters.kafka.topics import audit_topic
from otel_feedback.journal.interface import Account
from otel_feedback.settings.kafka import KafkaConfig

__all__ = ["Journal", "Pipeline"]

EVERY_S = 10.0
MEANINGS: Mapping[str, str] = {
    "retention": "the journal was full or too old, or the disk nearly full, and the oldest went",
    "shutdown": "time ran out at the end of the program, and they were in memory only",
    "damaged": "the disk did not give back what was written",
    "too_large": "Kafka refused the record for good: it is too large",
    "invalid_record": "Kafka refused the record for good",
    "policy": "Kafka's policy refused the record for good",
    "fails_alone": "Kafka failed on this record three times, while it took others",
    "defect": "an exporter failed again and again on this record alone: a bug",
}


class Journal(NamedTuple):
    """A producer's journal on this machine."""

    service: str | None
    bytes: int
    is_alive: bool | None
    account: Account | None


class Pipeline:
    """Knows how the events got here.

    Args:
        mirror: Of the store.
        config: Of Kafka; None: there is no account to read.
        behind: How many records of the topic are still to be read.
        journals: The journals of this machine, by producer.
    """

    def __init__(
        self, mirror: Mirror, config: KafkaConfig | None, behind: Callable[[], int | None],
        journals: Callable[[], Mapping[str, Journal]],
    ) -> None:  # fmt: skip
        self._mirror = mirror
        self._config = config
        self._behind = behind
        self._journals = journals
        self._marks: dict[str, HighWaterRecord] = {}
        self._starts: dict[Any, int] | None = None
        self._problem: str | None = "the account is being read" if config is not None else None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="otel-feedback-account", daemon=True)

    def start(self) -> None:
        """Begin to read the account, where there is one."""
        if self._config is not None:
            self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _follow(self) -> None:
        assert self._config is not None
        while not self._stop.is_set():
            try:
                self._read(self._config)
                self._problem = None
            except Exception as exc:  # kafka-python's, of which each has a class; and a topic that is not there yet
                self._problem = f"the account cannot be read: {describe(exc)}"
            self._stop.wait(EVERY_S)

    def _read(self, config: KafkaConfig) -> None:
        with open_reader(config, "ui", lambda *_: None) as reader:
            partitions = reader.partitions(audit_topic(config))
            ends: dict[Any, int] = reader.consumer.end_offsets(partitions)
            starts = reader.starts(partitions) if self._starts is None else self._starts
            for record in reader.read(partitions, {place: starts.get(place, 0) for place in partitions}, ends):
                with contextlib.suppress(SchemaError):
                    self._hear(audit.decode(record.value or b""), config.topic)
            self._starts = ends

    def _hear(self, told: object, topic: str) -> None:
        is_ours = isinstance(told, HighWaterRecord) and told.exporter == "kafka"
        if not is_ours or not isinstance(told, HighWaterRecord) or told.destination.rpartition("/")[2] != topic:
            return
        known = self._marks.get(told.producer_id)
        if known is None or (told.timestamp, told.end) >= (known.timestamp, known.end):
            self._marks = {**self._marks, told.producer_id: told}

    def told(self, reader: Reader, asked: Asked) -> dict[str, Any]:
        """Return the answer of /api/pipeline.

        Args:
            reader: Of everything.
            asked: The time of which gaps are looked for.
        """
        reader.open_stored(asked.since, asked.until)
        found = {str(row["producer_id"]): row for row in reader.rows(sql_of("producers")) if row["producer_id"]}
        marks, journals = self._marks, self._journals()
        accounts = {each: one.account for each, one in journals.items() if one.account is not None}
        accounts |= {each: Account(m.end, m.delivered, m.pending, m.lost) for each, m in marks.items()}
        services = {each: one.service for each, one in journals.items()}
        services |= {each: mark.service_name for each, mark in marks.items()}
        producers = [
            _producer(each, services.get(each), found.get(each, {}), accounts.get(each), journals.get(each))
            for each in sorted({*found, *accounts, *journals})
        ]
        lost: dict[str, int] = {}
        for account in accounts.values():
            for reason, count in account.lost.items():
                lost[reason] = lost.get(reason, 0) + count

        def total(name: str) -> int | None:
            return sum(getattr(account, name) for account in accounts.values()) if accounts else None

        manifest = self._mirror.manifest
        return {
            "balances": all(map(_balances, accounts.values())) if accounts else None,
            "appended": total("appended"), "delivered": total("delivered"), "pending": total("pending"),
            "lost": sum(lost.values()) if accounts else None,
            "lost_by": [{"reason": name, "count": n, "meaning": MEANINGS.get(name)} for name, n in sorted(lost.items())],
            "gaps": sum(each["gaps"] or 0 for each in producers) if found else None, "lag": self._behind(),
            "producers": sorted(producers, key=lambda each: each["last"] or 0, reverse=True),
            "store": {
                "files": len(manifest.files), "bytes": manifest.bytes, "rows": manifest.rows,
                "oldest": milliseconds(min((file.first for file in manifest.files), default=None)),
                "newest": milliseconds(self._mirror.newest), "counts": dict(manifest.counts),
            },
            "remedy": self._problem,
        }  # fmt: skip


def _balances(account: Account) -> bool:
    return account.appended == account.delivered + account.pending + sum(account.lost.values())


def _producer(
    producer_id: str, service: str | None, row: Mapping[str, Any], account: Account | None, journal: Journal | None
) -> dict[str, Any]:
    return {
        "producer_id": producer_id, "service": row.get("service") or service, "first": row.get("first"),
        "last": row.get("last"), "events": row.get("events"), "gaps": row.get("gaps"),
        "pending": None if account is None else account.pending,
        "lost": None if account is None else sum(account.lost.values()),
        "journal_bytes": None if journal is None else journal.bytes, "alive": None if journal is None else journal.is_alive,
    }  # fmt: skip
