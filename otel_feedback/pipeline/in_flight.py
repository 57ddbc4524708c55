"""Leases that an exporter has, and whose answers a worker waits for: when to ask, and what became of each record.

    receipts ──► poll ──► delivered: together, a cursor at a time
                      └─► refused: one by one

Used on the worker's thread; the exporter says on any thread, or when it is asked, that there is an answer. Where it does, the
receipts are asked then, and now and then besides; else every few milliseconds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from otel_feedback.events.record import Record
from otel_feedback.exporters.interface import Answering, Asked, Exporter, Receipt, Refusal, Telling
from otel_feedback.journal.interface import Cursor
from otel_feedback.logger import get_logger
from otel_feedback.throttle import ThrottledLog

__all__ = ["InFlight"]

logger = get_logger(__name__)

POLL_S = 0.005
"""How often receipts are asked while something is in flight."""

TOLD_POLL_S = 0.1
"""The same where the exporter says when there is an answer."""

LATE_S = 1.0
"""How long an answer may take before anybody is asked why: a partition that moves is no trouble."""

SILENT_S = 5.0
"""How long nothing may be answered before that is worth a word."""


class InFlight:
    """The receipts of one exporter, in the order of the leases.

    Args:
        wake: Wakes the worker.
    """

    def __init__(self, exporter: Exporter, wake: Callable[[], None]) -> None:
        self._poll_s = POLL_S
        self._asked = exporter if isinstance(exporter, Asked) else None
        self._name = exporter.name
        self._log = ThrottledLog(logger)
        self._telling = exporter if isinstance(exporter, Telling) else None
        self._since_s = 0.0  # monotonic: the last progress, or the first lease after there was none
        self._wake = wake
        self._receipts: list[tuple[Receipt, Cursor]] = []
        self._is_told = False
        self._has_answers = False  # set on the exporter's thread
        self._look_at = 0.0  # monotonic: when to ask although nothing was said
        if isinstance(exporter, Answering):
            self._poll_s, self._is_told = TOLD_POLL_S, True
            exporter.call_when_answered(self._say_answered)

    def __len__(self) -> int:
        return len(self._receipts)

    @property
    def poll_s(self) -> float:
        """How long to wait before there may be answers, in seconds."""
        return self._poll_s if self._asked is None else self._asked.ask_s

    def add(self, receipt: Receipt, source: Cursor) -> None:
        """Follow one more lease."""
        if not self._receipts:
            self._since_s = time.monotonic()
        self._receipts.append((receipt, source))

    def clear(self) -> None:
        """Follow none any more."""
        self._receipts = []

    def trouble(self) -> str | None:
        """Return what stands in the way of what has not failed yet, where the exporter knows. Safe from any thread."""
        if self._telling is None:
            return None
        is_late = bool(self._receipts) and time.monotonic() - self._since_s > LATE_S
        told = self._telling.trouble(self._since_s if is_late else math.inf)
        if told is None and self._is_silent():
            told = "no answer so far"
        return f"unavailable: {told}" if told else None

    def _is_silent(self) -> bool:
        return bool(self._receipts) and time.monotonic() - self._since_s > SILENT_S

    def _say_answered(self) -> None:
        self._has_answers = True
        self._wake()

    def collect(self, refused: Callable[[Record, Cursor, Refusal], None], moved: set[Cursor]) -> bool:
        """Ask, where there is a reason to; settle what was delivered, and put the cursors that moved into `moved`.

        Returns:
            True when something was delivered.

        Raises:
            ExportError: Something failed in a way that may pass; what is known is settled nevertheless.
        """
        if self._asked is not None and self._receipts and self._asked.ask():
            self._has_answers = True
        if self._is_told and not self._has_answers and time.monotonic() < self._look_at:
            return False
        self._has_answers = False  # before we look: what comes after it is said again
        self._look_at = time.monotonic() + self._poll_s
        delivered: dict[Cursor, list[int]] = {}
        try:
            for receipt, source in self._receipts:
                for record, refusal in receipt.poll():
                    moved.add(source)
                    if refusal is None:
                        delivered.setdefault(source, []).append(record.sequence)
                    else:
                        refused(record, source, refusal)
        finally:
            for source, sequences in delivered.items():
                source.deliver(sequences)
            if moved:
                self._since_s = time.monotonic()
                self._receipts = [pair for pair in self._receipts if not pair[0].done]
        if self._is_silent() and (told := self.trouble()) is not None:
            self._log.warning("silent", "%s does not answer (%s); events wait", self._name, told)
        return bool(delivered)
