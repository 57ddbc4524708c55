"""The worker of one exporter: leases from its cursor, hands over, settles; on failure waits and goes back.

    append() ──► notify() ──┐
                            ▼
       wait ──► lease ──► export ──► poll receipts ──► settle ──► wait
                  ▲                       │ ExportError(retryable)
                  └── rewind ◄── abandon ◄┘  after a backoff

One daemon thread, started by the first event, so that a process may fork between configuration and work.
Guarantee: every leased record is settled exactly once, as delivered or as lost with a reason.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from otel_feedback.compat import suppress_instrumentation
from otel_feedback.errors import ExportError
from otel_feedback.events.record import Record
from otel_feedback.exporters.interface import Exporter, Receipt, Refusal
from otel_feedback.journal.interface import Cursor
from otel_feedback.retry import Backoff
from otel_feedback.throttle import ThrottledLog

__all__ = ["Worker"]

logger = logging.getLogger(__name__)

POLL_S = 0.005
"""How often receipts are asked while something is in flight."""

MOST_DEFECTS = 3
"""Times that a record may make an exporter fail in a way that none should, before it is refused."""

Refused = Callable[[Record, str, Refusal], None]


class Worker:
    """Moves records from one cursor to one exporter.

    Args:
        exporter: Used on this worker's thread only.
        cursor: This exporter's place in the journal.
        refused: Keeps the payload of a record that was refused for good.
    """

    def __init__(self, exporter: Exporter, cursor: Cursor, refused: Refused, backoff: Backoff | None = None) -> None:
        self.exporter = exporter
        self.cursor = cursor
        self.retries = 0  # written by the worker's thread
        self.last_error: str | None = None  # written by the worker's thread
        self._refused = refused
        self._backoff = backoff or Backoff()
        self._log = ThrottledLog(logger)
        self._wake = threading.Event()
        self._settled = threading.Condition()
        self._start_lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._receipts: list[Receipt] = []
        self._defects = 0  # errors in a row that no exporter should raise
        self._idle = True
        self._hurry_to = 0  # records below this one do not wait for company
        self._stopping = False
        self._stop_by = 0.0

    # -- from any thread -----------------------------------------------------------------------------------

    def notify(self, end: int) -> None:
        """Say that the journal now ends at `end`. On the agent's thread: cheap, and never waits."""
        if self._thread is None:
            self._start()
        if (self._idle or end % self.exporter.lease_events == 0) and not self._wake.is_set():
            self._wake.set()

    def hurry(self, end: int) -> None:
        """Deliver everything below `end` without waiting for fuller leases."""
        self._hurry_to = max(self._hurry_to, end)
        if self.cursor.low < end:
            self._start()
        self._wake.set()

    def wait_until(self, end: int, deadline_s: float) -> bool:
        """Wait until every record below `end` is settled; False when the monotonic deadline came first."""
        with self._settled:
            while self.cursor.low < end:
                left = deadline_s - time.monotonic()
                if left <= 0:
                    return False
                # the cursor may also move without us (retention), hence the bound
                self._settled.wait(min(left, 0.1))
        return True

    def stop(self, deadline_s: float) -> bool:
        """Stop the thread and close the exporter by the monotonic deadline; False if it is stuck."""
        self._stop_by = deadline_s
        self._stopping = True
        self._wake.set()
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return True
        thread.join(max(0.0, deadline_s - time.monotonic()))
        return not thread.is_alive()

    @property
    def alive(self) -> bool:
        """True while the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def healthy(self) -> bool:
        """True unless the last try failed."""
        return self._backoff.tries == 0

    def _start(self) -> None:
        with self._start_lock:
            if self._thread is None and not self._stopping:
                thread = threading.Thread(target=self._run, name=f"otel-feedback-{self.exporter.name}", daemon=True)
                try:
                    thread.start()
                except RuntimeError as exc:  # the interpreter is going down and starts no more threads
                    self.last_error = str(exc)
                    return
                self._thread = thread

    # -- the worker's thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with suppress_instrumentation():
                while not self._stopping:
                    self._turn()
        finally:
            self._close()

    def _turn(self) -> None:
        try:
            if self._wait_for_work():
                # one by one after a defect, so that a record which provokes it is found
                lease = self.cursor.lease(1 if self._defects else self.exporter.lease_events)
                if lease:
                    self._export(lease)
            self._collect()
        except ExportError as exc:
            self._go_back(exc)
        except Exception as exc:  # a defect of ours, or of a library: the thread must survive it
            self._defects += 1
            self._log.warning("defect", "the %s exporter failed: %r", self.exporter.name, exc, exc_info=exc)
            self._go_back(ExportError("defect", repr(exc)[:300], retryable=True))

    def _wait_for_work(self) -> bool:
        """Wait until a lease is worth making; True if one is."""
        room = len(self._receipts) < self.exporter.max_leases
        cursor = self.cursor
        full = self.exporter.lease_events
        available = cursor.available()
        if room and available > 0 and (available >= full or self._hurry_to > cursor.low):
            return True
        if available <= 0 and not self._receipts:
            self._wake.clear()
            self._idle = True
            if cursor.available() <= 0 and not self._stopping:  # again: an append may have come between
                self._wake.wait()
            self._idle = False
            self._wake.clear()
            available = cursor.available()
        if available > 0 and room:
            return self._linger(full)
        self._wake.wait(POLL_S)
        self._wake.clear()
        return False

    def _linger(self, full: int) -> bool:
        """Wait for company, while looking after what is in flight; True when the lease is due."""
        due = time.monotonic() + self.exporter.linger_s
        while not self._stopping:
            left = due - time.monotonic()
            if left <= 0 or self.cursor.available() >= full or self._hurry_to > self.cursor.low:
                break
            if self._receipts:
                self._collect()
                left = min(left, POLL_S)
            self._wake.wait(left)
            self._wake.clear()
        return True

    def _export(self, lease: Sequence[Record]) -> None:
        try:
            self._receipts.append(self.exporter.export(lease))
        except ExportError as exc:
            if exc.retryable:
                raise
            self._refuse(lease, Refusal(exc.reason, exc.detail))
        except Exception as exc:
            if len(lease) > 1 or self._defects < MOST_DEFECTS:
                raise
            self._refuse(lease, Refusal("defect", repr(exc)[:300]))

    def _refuse(self, lease: Sequence[Record], refusal: Refusal) -> None:
        for record in lease:
            self._settle(record, refusal)
        self._announce()

    def _collect(self) -> None:
        moved = False
        try:
            for receipt in self._receipts:
                for record, refusal in receipt.poll():
                    self._settle(record, refusal)
                    moved = True
        finally:
            if moved:
                self._receipts = [receipt for receipt in self._receipts if not receipt.done]
                self._backoff.reset()
                self._defects = 0
                self.last_error = None
                self._announce()

    def _settle(self, record: Record, refusal: Refusal | None) -> None:
        if refusal is None:
            self.cursor.settle(record.sequence)
            return
        if self.cursor.settle(record.sequence, refusal.reason):
            name = self.exporter.name
            self._log.warning(
                refusal.reason, "%s refused event %s for good: %s: %s; its payload is in the log tier",
                name, record.event_id, refusal.reason, refusal.detail,
            )  # fmt: skip
            self._refused(record, name, refusal)

    def _announce(self) -> None:
        self.cursor.release()
        with self._settled:
            self._settled.notify_all()

    def _go_back(self, exc: ExportError) -> None:
        delay_s = self._backoff.next_s(exc.retry_after_s)
        self.retries += 1
        self.last_error = f"{exc.reason}: {exc.detail}"
        self._receipts = []
        self.exporter.abandon()
        self.cursor.rewind()
        self._log.warning(
            "retry", "%s did not take events (%s); %d wait, next try in %.1f s",
            self.exporter.name, self.last_error, self.cursor.available(), delay_s,
        )  # fmt: skip
        until = time.monotonic() + delay_s
        while not self._stopping and (left := until - time.monotonic()) > 0:
            self._wake.wait(left)
            self._wake.clear()

    def _close(self) -> None:
        try:
            self.exporter.abandon() if self._receipts else None
            self.exporter.close(max(0.0, self._stop_by - time.monotonic()))
        except Exception:
            logger.exception("the %s exporter could not be closed", self.exporter.name)
