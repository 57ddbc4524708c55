"""`DeliveryLedger`: what became of every record, by producer and exporter; told to people, to metrics, to Kafka.

The figures themselves are the cursors', which write them down, so they hold over restart and adoption. Here they are
put together, and turned into the records of the audit topic: losses as they come, high-water marks at intervals and at
the end. Safe from any thread.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from typing import Any, NamedTuple

from otel_feedback.events.audit import HighWaterRecord, LossRecord
from otel_feedback.events.record import Origin
from otel_feedback.exporters.interface import Notices
from otel_feedback.journal.interface import LOST_RETENTION, Account, Cursor
from otel_feedback.logger import get_logger, number_of
from otel_feedback.throttle import ThrottledLog

__all__ = ["DeliveryLedger", "Entry", "add_account"]

logger = get_logger(__name__)

FINISHED_KEPT = 100


class Entry(NamedTuple):
    """One destination of one producer's journal; `end` tells the sequence after its last record."""

    origin: Origin
    exporter: str
    cursor: Cursor
    end: Callable[[], int]


class DeliveryLedger:
    """The accounts of this process's journal and of those that it has adopted.

    Args:
        notices: Where audit records go; None: nowhere.
    """

    def __init__(self, own: Iterable[Entry], notices: Notices | None) -> None:
        self.own = tuple(own)
        self._notices = notices
        self._log = ThrottledLog(logger)
        self._lock = threading.RLock()
        self._adopted: tuple[Entry, ...] = ()  # guarded by self._lock for writing
        self._finished: deque[tuple[Entry, Account]] = deque(maxlen=FINISHED_KEPT)
        self._finished_totals: dict[str, Account] = {}  # of all that finished; guarded by self._lock

    def add(self, entries: Iterable[Entry]) -> None:
        """Take the account of an adopted journal in."""
        with self._lock:
            self._adopted = (*self._adopted, *entries)

    def forget(self, entry: Entry) -> None:
        """Say that it is not ours to account for after all."""
        with self._lock:
            self._adopted = tuple(known for known in self._adopted if known is not entry)

    def finish(self, entry: Entry) -> None:
        """Say that an adopted journal is let go: its account stays to be seen, and is told to the audit topic."""
        self.tell_losses()
        self._tell_high_water(entry, closed=True)
        with self._lock:
            self._adopted = tuple(known for known in self._adopted if known is not entry)
            account = entry.cursor.account()
            self._finished.append((entry, account))
            add_account(self._finished_totals, entry.exporter, account)

    def adopted(self) -> dict[str, dict[str, Any]]:
        """Return the accounts of adopted journals by producer id, those that are finished included."""
        told: dict[str, dict[str, Any]] = {}
        accounts = [(entry, account, True) for entry, account in list(self._finished)]
        accounts += [(entry, entry.cursor.account(), False) for entry in self._adopted]
        for entry, account, is_done in accounts:
            of_producer = told.setdefault(
                entry.origin.producer_id, {"service_name": entry.origin.service_name, "exporters": {}}
            )
            of_producer["exporters"][entry.exporter] = {
                "destination": entry.cursor.destination,
                "appended": account.appended,
                "delivered": account.delivered,
                "pending": account.pending,
                "lost": dict(account.lost),
                "finished": is_done,
            }
        return told

    def tell_losses(self) -> None:
        """Send what was lost since the last call to the audit topic."""
        for entry in (*self.own, *self._adopted):
            for loss in entry.cursor.losses():
                if loss.reason == LOST_RETENTION:  # of the others is said what is wrong where it comes about
                    self._log.warning(
                        f"retention {entry.exporter}",
                        "%s of the process %s not delivered to %s, and lost: the journal was full or too old, or the disk "
                        "nearly full, and the oldest went",
                        number_of(loss.records, "event"), entry.origin.producer_id, entry.exporter,
                    )  # fmt: skip
                if self._notices is not None:
                    record = LossRecord(
                        producer_id=entry.origin.producer_id,
                        service_name=entry.origin.service_name,
                        exporter=entry.exporter,
                        destination=entry.cursor.destination,
                        reason=loss.reason,
                        first_sequence=loss.first,
                        last_sequence=loss.last,
                        count=loss.records,
                        timestamp=datetime.now(timezone.utc),
                    )
                    self._notices.audit(entry.origin.producer_id, record.encode())

    def tell_high_water(self, *, closed: bool = False) -> None:
        """Send to the audit topic how far this producer is."""
        for entry in self.own:
            self._tell_high_water(entry, closed=closed)

    def _tell_high_water(self, entry: Entry, *, closed: bool) -> None:
        if self._notices is None or entry.end() == 0:
            return
        account = entry.cursor.account()
        record = HighWaterRecord(
            producer_id=entry.origin.producer_id,
            service_name=entry.origin.service_name,
            exporter=entry.exporter,
            destination=entry.cursor.destination,
            end=entry.end(),
            delivered=account.delivered,
            pending=account.pending,
            lost=dict(account.lost),
            closed=closed,
            timestamp=datetime.now(timezone.utc),
        )
        self._notices.audit(entry.origin.producer_id, record.encode())

    def totals(self) -> dict[str, Account]:
        """Return the accounts by exporter, adopted journals included."""
        with self._lock:
            totals = self._finished_totals.copy()
            for entry in (*self.own, *self._adopted):
                add_account(totals, entry.exporter, entry.cursor.account())
        return totals


def add_account(totals: dict[str, Account], exporter: str, more: Account) -> None:
    """Add to the account of this exporter."""
    known = totals.get(exporter, Account(0, 0, 0, {}))
    lost = dict(known.lost)
    for reason, count in more.lost.items():
        lost[reason] = lost.get(reason, 0) + count
    totals[exporter] = Account(
        known.appended + more.appended, known.delivered + more.delivered, known.pending + more.pending, lost
    )
