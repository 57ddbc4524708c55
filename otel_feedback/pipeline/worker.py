"""The worker of one exporter: leases from its cursors, hands over, settles; on failure waits and goes back.

    append() ──► notify() ──┐
                            ▼
       wait ──► lease ──► export ──► poll receipts ──► settle ──► wait
                  ▲                       │ ExportError(retryable)
                  └── rewind ◄── abandon ◄┘  after a backoff

It has the cursor of this process's journal, and one for each journal of a dead process that is being delivered; they
take turns. One daemon thread, started by the first event, so that a process may fork between configuration and work.
Guarantee: every leased record is settled exactly once, as delivered or as lost with a reason.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from otel_feedback.errors import ExportError, describe
from otel_feedback.events.record import Record
from otel_feedback.exporters.defects import Defects
from otel_feedback.exporters.interface import Exporter, Identifying, Interruptible, Packing, Refusal
from otel_feedback.journal.interface import Cursor
from otel_feedback.logger import get_logger
from otel_feedback.pipeline.gathering import SOON_S, Gathering
from otel_feedback.pipeline.in_flight import InFlight
from otel_feedback.pipeline.wake import Wake
from otel_feedback.retry import Backoff
from otel_feedback.sdk.compat.suppressing import suppress_instrumentation
from otel_feedback.sdk.forks import will_fork
from otel_feedback.throttle import ThrottledLog

__all__ = ["Refused", "Worker"]

logger = get_logger(__name__)

Refused = Callable[[Record, str, Refusal], None]
Identified = Callable[["Worker", Sequence[Cursor]], None]


class Worker:
    """Moves records from one cursor to one exporter.

    Args:
        exporter: Used on this worker's thread only.
        cursor: This exporter's place in this process's journal.
        refused: Keeps the payload of a record that was refused for good.
        identified: Called on this worker's thread when an exporter that had to find out knows its destination, before
            anything is sent; it is given the cursors, and takes away those that are not its own.
        begun: Called when the first event starts the thread, on the agent's own.
        moved: Called on this worker's thread when something was settled, to be written down.
    """

    def __init__(
        self,
        exporter: Exporter,
        cursor: Cursor,
        refused: Refused,
        backoff: Backoff | None = None,
        *,
        identified: Identified = lambda worker, sources: None,
        begun: Callable[[], None] = lambda: None,
        moved: Callable[[], None] = lambda: None,
    ) -> None:
        self.exporter, self.cursor = exporter, cursor
        self.retries = 0  # written by the worker's thread
        self.last_error: str | None = None  # written by the worker's thread
        self._refused, self._identified = refused, identified
        self._unidentified = exporter if isinstance(exporter, Identifying) else None
        self._takes_packed = isinstance(exporter, Packing)
        self._is_curious = False  # asked to find out where this leads
        self._begun, self._moved = begun, moved
        self._backoff = backoff or Backoff()
        self._log = ThrottledLog(logger)
        self._wake = Wake()
        self._settled = threading.Condition()
        self._start_lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._sources: tuple[Cursor, ...] = (cursor,)  # this process's own first; replaced as a whole
        self._turns = 0  # leases made; whose turn it is
        self._in_flight = InFlight(exporter, self._wake.set)
        self._defects = Defects()
        self._refuses = False  # records for good, and has taken none since
        self._gathering = Gathering(exporter)
        self.is_idle = True
        """Whether an append is to wake it; at first, to start it."""
        self.wakes_at = self._gathering.wakes_at
        """An append that makes the journal's end a multiple of this is to wake it in any case."""
        self._hurry_to = 0  # records below this one do not wait for company
        self._stopping, self._stop_by = False, 0.0

    # -- from any thread -----------------------------------------------------------------------------------

    def notify(self) -> None:
        """Say that there is a record for it. On the agent's thread: cheap, and never waits."""
        if self._thread is None:
            self._start()  # and let it wait for company
        elif not self._wake.is_set():
            self._wake.set()

    def add(self, cursor: Cursor) -> None:
        """Deliver from this cursor, too: of a journal that this process has adopted."""
        self._sources = (*self._sources, cursor)
        self._start()
        self._wake.set()

    def remove(self, cursor: Cursor) -> None:
        """Deliver no more from a cursor that was added."""
        self._sources = tuple(known for known in self._sources if known is not cursor)
        self._defects.forget(cursor)

    def find_out(self) -> None:
        """Find out which destination this is, also with nothing to deliver."""
        if self._unidentified is not None:
            self._is_curious = True
            self._start()
            self._wake.set()

    def hurry(self, end: int) -> None:
        """Deliver everything below `end` without waiting for fuller leases."""
        self._hurry_to = max(self._hurry_to, end)
        if self.cursor.low < end:
            self._start()
        self._wake.set()

    def wait_until(self, end: int, deadline_s: float) -> bool:
        """Wait until every record below `end` is settled; False when the monotonic deadline came first, or is sure to."""
        with self._settled:
            while self.cursor.low < end:
                left = deadline_s - time.monotonic()
                if left <= 0 or (self._thread is None and will_fork()):
                    return False
                # the cursor may also move without us (retention), hence the bound
                self._settled.wait(min(left, 0.1))
        return True

    def stop(self, deadline_s: float) -> bool:
        """Stop the thread and close the exporter by the monotonic deadline; False if it is stuck."""
        self._stop_by = deadline_s
        self._stopping = True
        self._wake.set()
        if isinstance(self.exporter, Interruptible):
            self.exporter.interrupt()
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
        """True unless the last try failed, or nothing of it was taken, or something stands in the way of this one."""
        return self._backoff.tries == 0 and not self._refuses and self.trouble is None

    @property
    def trouble(self) -> str | None:
        """What was wrong last, or stands in the way of what is tried now."""
        return self.last_error or self._in_flight.trouble()

    @property
    def is_in_touch(self) -> bool:
        """True when it has delivered something, and the last try did not fail: what is pending will take no time."""
        return self.alive and self.healthy and self.cursor.account().delivered > 0

    def _start(self) -> None:
        # not waited for: who holds it is starting the thread, and may be what this very call has interrupted
        if not self._start_lock.acquire(blocking=False):
            return
        try:
            if self._thread is None and not will_fork() and not self._stopping:
                thread = threading.Thread(target=self._run, name=f"otel-feedback-{self.exporter.name}", daemon=True)
                self._wake.renew()
                self._settled = threading.Condition()
                self.is_idle = False
                thread.start()
                self._thread = thread
                self._begun()
        except RuntimeError as exc:  # the interpreter is going down and starts no more threads
            self.is_idle, self.last_error = True, str(exc)
        finally:
            self._start_lock.release()

    # -- the worker's thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with suppress_instrumentation():
                self._gathering.begin()
                while not self._stopping:
                    try:
                        self._turn()
                    except Exception:  # not even what is done after a failure could be done
                        self._wake.wait(SOON_S)
        finally:
            self._close()

    def _turn(self) -> None:
        try:
            source = self._wait_for_work()
            if self._unidentified is not None and (self._is_curious or source is not None):
                self._identify(self._unidentified)
                return
            if source is not None:
                most = self._defects.most(source, self.exporter.lease_events)
                lease = source.lease(most, packed=self._takes_packed, most_bytes=self.exporter.lease_bytes)
                if source is self.cursor:
                    self._gathering.took(len(lease) or most)
                if lease:
                    self._export(lease, source)
                else:  # what was there could not be read, and is accounted for
                    self._announce(source)
            self._collect()
        except ExportError as exc:
            self._go_back(exc)
        except Exception as exc:  # a defect of ours, or of a library: the thread must survive it
            self._log.warning("defect", "the %s exporter failed: %s", self.exporter.name, describe(exc), exc_info=exc)
            self._go_back(ExportError("defect", describe(exc), retryable=True))

    def _identify(self, exporter: Identifying) -> None:
        try:
            exporter.identify()
        except ExportError:
            if not self._stopping:
                raise
            return  # it was interrupted: what has stood in the way is known, and nobody waits for it any more
        self._identified(self, self._sources)
        self._unidentified, self._is_curious = None, False
        self._backoff.reset()
        self.last_error = None

    def _wait_for_work(self) -> Cursor | None:
        """Wait until a lease is worth making, or there is something else to look at; return whose it is, if any."""
        available = self.cursor.available()
        left = self._gathering.look(available)
        room = len(self._in_flight) < self.exporter.max_leases
        if room and (due := self._due()) is not None:
            return due
        if left > 0 and (available > 0 or self._gathering.has_company):
            self._sleep(left)
        elif not room:
            self._sleep(None)
        else:
            self._wait_for_append()
        return None

    def _wait_for_append(self) -> None:
        self.is_idle = True
        # what came before this was said is seen here, what comes after it wakes us
        if self.cursor.available() <= 0 and self._due() is None and not self._stopping and not self._is_curious:
            self._sleep(None)
        if self.cursor.available() > 0:
            self._gathering.begin()
        self.is_idle = False

    def _sleep(self, most_s: float | None) -> None:
        """Sleep until somebody wakes us, or it is time to look at what is in flight."""
        if self._in_flight:
            poll_s = self._in_flight.poll_s
            most_s = poll_s if most_s is None else min(most_s, poll_s)
        self._wake.wait(most_s)

    def _due(self) -> Cursor | None:
        """Return the cursor whose turn it is; this process's own only when records have waited, or are in a hurry."""
        sources = self._sources
        for turn in range(self._turns + 1, self._turns + 1 + len(sources)):
            cursor = sources[turn % len(sources)]
            available = cursor.available()
            if available > 0 and (
                cursor is not self.cursor or self._gathering.is_due(available) or self._hurry_to > cursor.low
            ):
                self._turns = turn
                return cursor
        return None

    def _export(self, lease: Sequence[Record], source: Cursor) -> None:
        try:
            self._in_flight.add(self.exporter.export(lease), source)
        except ExportError as exc:
            if exc.retryable:
                raise
            self._refuse(lease, source, Refusal(exc.reason, exc.detail))
        except Exception as exc:
            if not self._defects.count(source, len(lease)):
                raise
            self._refuse(lease, source, Refusal("defect", describe(exc)))

    def _refuse(self, lease: Sequence[Record], source: Cursor, refusal: Refusal) -> None:
        for record in lease:
            self._lose(record, source, refusal)
        self._announce(source)

    def _collect(self) -> None:
        moved: set[Cursor] = set()
        try:
            if self._in_flight.collect(self._lose, moved):
                self.last_error, self._refuses = None, False
        finally:
            if moved:
                self._backoff.reset()
                self._defects.end(moved)
                self._announce(*moved)

    def _lose(self, record: Record, source: Cursor, refusal: Refusal) -> None:
        if source.settle(record.sequence, refusal.reason):
            name = self.exporter.name
            self._refuses, self.last_error = True, f"{refusal.reason}: {refusal.detail}"
            self._log.warning(
                refusal.reason, "%s refused event %s for good: %s: %s; its payload is kept",
                name, record.event_id, refusal.reason, refusal.detail,
            )  # fmt: skip
            self._refused(record, name, refusal)

    def _announce(self, *moved: Cursor) -> None:
        for source in moved:
            source.release()
        self._moved()
        with self._settled:
            self._settled.notify_all()

    def _go_back(self, exc: ExportError) -> None:
        delay_s = self._backoff.next_s(exc.retry_after_s)
        self.retries += 1
        self.last_error = f"{exc.reason}: {exc.detail}"
        self._in_flight.clear()
        for source in self._sources:
            source.rewind()
        self._gathering.again()
        self.exporter.abandon()
        self._log.warning(
            f"retry {exc.reason}", "%s did not take events (%s); %d wait, next try in %.1f s",
            self.exporter.name, self.last_error, sum(source.available() for source in self._sources), delay_s,
        )  # fmt: skip
        until = time.monotonic() + delay_s
        while not self._stopping and (left := until - time.monotonic()) > 0:
            self._wake.wait(left)

    def _close(self) -> None:
        try:
            self.exporter.abandon() if self._in_flight else None
            self.exporter.close(max(0.0, self._stop_by - time.monotonic()))
        except Exception:
            logger.exception("the %s exporter could not be closed", self.exporter.name)
