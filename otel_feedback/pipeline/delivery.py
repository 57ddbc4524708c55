"""From the journal to the destinations: a worker for each, the keeper, the ledger, and what dead processes left.

    append ──► journal ──► cursor ──► worker ──► exporter          one worker for each destination
                  ▲           ▲
               keeper       ledger                                  one thread that looks after the journal

Guarantee: `appended = delivered + pending + sum(lost)` for each destination; after `finish()` what is pending is on
disk and goes out with another process. A process has one of these, a forked child makes its own.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from otel_feedback.events.record import Record, Recordable
from otel_feedback.exporters.interface import Exporter, Notices, Refusal
from otel_feedback.journal.interface import CLOSED, Adopted, CloseAction, Cursor, Journal, StartedAction
from otel_feedback.logger import get_logger, number_of
from otel_feedback.pipeline.accounts import say_what_is_left
from otel_feedback.pipeline.destinations import address_of, recognize
from otel_feedback.pipeline.elsewhere import ElsewhereWatch
from otel_feedback.pipeline.keeper import Keeper
from otel_feedback.pipeline.ledger import DeliveryLedger, Entry
from otel_feedback.pipeline.worker import Refused, Worker
from otel_feedback.sdk.forks import can_be_patched, is_patched, may_be_patched
from otel_feedback.throttle import ThrottledLog

__all__ = ["LOST_SHUTDOWN", "Delivery", "Refused"]

logger = get_logger(__name__)

LOST_SHUTDOWN = "shutdown"
WAIT_S = 0.02
CHILD_ADOPTS_S = 2.0
"""How old a forked process is when it first adopts: one that ends after its first task could not deliver anyway."""
PATCH_COMES_S = 10.0
"""The same of one that gevent or eventlet may yet patch, which is to come before there are threads that do anything."""


class Delivery:
    """Sees what is appended delivered.

    Args:
        refused: Keeps a record that a destination refused for good, where the journal has no place for it.
        notices: Takes dead letters and the account.
        rescan_s: How often to look for journals of dead processes, in seconds.
        audit_s: How often to tell the account, in seconds.
        close_action: Makes the final event of an action whose process died.
        begun: Called when a worker starts, as the first event makes it.
        is_child: This process was forked, perhaps for one task only: it adopts others' journals when it has lived a while.
        also_tend: Each called every few seconds while something was appended since.
        also_adopt: Called when journals of dead processes were looked for.
        end_notices: Called with the monotonic deadline when everything is told that this one has to tell.
    """

    def __init__(
        self,
        journal: Journal,
        exporters: Sequence[Exporter],
        *,
        refused: Refused,
        notices: Notices | None,
        rescan_s: float,
        audit_s: float,
        close_action: CloseAction,
        begun: Callable[[], None] = lambda: None,
        is_child: bool = False,
        also_tend: Sequence[Callable[[], None]] = (),
        also_adopt: Callable[[], None] = lambda: None,
        end_notices: Callable[[float], None] = lambda deadline_s: None,
    ) -> None:
        self.journal = journal
        self._begun = begun
        self._began_unpatched = False  # whether a worker was started before gevent or eventlet patched the process
        self.workers = tuple(
            Worker(
                exporter,
                journal.cursor(
                    exporter.name, exporter.destination, durable=exporter.durable, address=address_of(exporter)
                ),
                self._keep_refused,
                identified=self._bind,
                begun=self._note_begun,
                moved=self._say_settled,
            )
            for exporter in exporters
        )
        self._durable = {worker.exporter.name: worker for worker in self.workers if worker.exporter.durable}
        self.elsewhere = ElsewhereWatch(journal, self._durable)
        self.ledger = DeliveryLedger(
            [Entry(journal.origin, w.exporter.name, w.cursor, lambda: journal.end) for w in self.workers],
            notices,
        )
        self._refused = refused
        self._notices = notices
        self._also_tend, self._also_adopt = also_tend, also_adopt
        self._end_notices = end_notices
        self._audit_s = audit_s
        self._close_action = close_action
        self._audit_due = time.monotonic() + audit_s
        self._told_end = 0  # how far the last high-water mark said that we are
        self._adopted: list[tuple[Adopted, list[Entry]]] = []  # by the keeper's thread, and at the end
        self._binding = threading.Lock()  # held while it is decided whose cursors of adopted journals are
        self._log = ThrottledLog(logger)
        self._rescan_s = rescan_s
        waits_s = CHILD_ADOPTS_S if is_child else PATCH_COMES_S if can_be_patched() else 0.0
        self._keeper = Keeper(
            self._tend, self._adopt, rescan_s, first_s=min(rescan_s, waits_s),
            is_alone=lambda: not self._began_unpatched,
        )  # fmt: skip
        if journal.has_orphans() and not (is_child and may_be_patched()):
            self._keeper.start()

    def append(self, key: str, payload: bytes, event: Recordable, sampled: bool) -> bool:
        """Append one event, or feedback; False when the end has come. On the agent's thread: cheap, never waits."""
        end = self.journal.append(key, payload, event, sampled)
        if end == CLOSED:
            return False
        end += 1
        for worker in self.workers:
            if worker.is_idle or end % worker.wakes_at == 0:
                worker.notify()
        if self._keeper.is_idle:
            self._keeper.notify()
        return True

    def note_ended(self, left: StartedAction) -> bool:
        """Write down what a span left that the keeper's thread is to convert, once it is told; False where that cannot be."""
        if self._keeper.is_running and self.journal.note_start(left):
            return True
        self.journal.forget_start(left.event_id)
        return False

    def convert_soon(self) -> None:
        """See that the keeper's thread converts what has been put off. On the agent's thread: cheap, and never waits."""
        if self._keeper.is_idle:
            self._keeper.notify()

    def _note_begun(self) -> None:
        self._began_unpatched = self._began_unpatched or not is_patched()
        self._begun()

    def _say_settled(self) -> None:
        # the keeper may have gone to sleep when all was on disk, and nothing may ever follow that would wake it
        self._keeper.notify()

    # -- by the keeper's thread ----------------------------------------------------------------------------

    def _tend(self) -> float:
        """Look after everything once; return after how many seconds to do so again."""
        is_busy = self.journal.tend()
        for tend in self._also_tend:
            tend()
        self.ledger.tell_losses()
        now, end = time.monotonic(), self.journal.end
        if self._told_end < end and now >= self._audit_due:
            self._audit_due, self._told_end = now + self._audit_s, end
            self.ledger.tell_high_water()
        for adopted, entries in list(self._adopted):
            if adopted.tend():
                self._let_go(adopted, entries)
        if is_busy or self._adopted:
            return 0.0
        return max(0.0, self._audit_due - now) if self._told_end < end else math.inf

    def _adopt(self) -> None:
        """Take over what dead processes left for our destinations."""
        destinations = [(w.exporter.name, w.exporter.destination) for w in self._durable.values()]
        for adopted in self.journal.adopt(destinations, self._close_action, self._recognize):
            try:
                self._take_over(adopted)
            except Exception as exc:  # the others are in our hands, too, and nobody else's
                self._log.warning("adopt", "the journal of %s is not delivered: %r", adopted.origin.producer_id, exc)
                self._let_go(adopted, ())
        self.elsewhere.look()
        self._also_adopt()

    def _take_over(self, adopted: Adopted) -> None:
        ours = [c for (name, _), c in adopted.cursors.items() if self._recognize(name, c.destination, c.address)]
        waiting = max((cursor.account().pending for cursor in ours), default=0)
        if waiting and not adopted.is_announced:  # said before anybody can see that it is ours, and end this process
            logger.warning(
                "the process %s ended with %s undelivered; this process takes over",
                adopted.origin.producer_id, number_of(waiting, "event"),
            )  # fmt: skip
        with self._binding:
            for (exporter, _), cursor in list(adopted.cursors.items()):
                name = self._recognize(exporter, cursor.destination, cursor.address)  # as is known by now
                if name is None:
                    adopted.disown(cursor)
                else:
                    cursor.rename(*name)
            cursors = {exporter: cursor for (exporter, _), cursor in adopted.cursors.items()}
            entries = [
                Entry(adopted.origin, exporter, cursor, lambda: adopted.end) for exporter, cursor in cursors.items()
            ]
            self._adopted.append((adopted, entries))
            self.ledger.add(entries)
            for exporter, cursor in cursors.items():
                self._durable[exporter].add(cursor)

    def _recognize(self, exporter: str, destination: str, address: str) -> tuple[str, str] | None:
        """Tell whether what was written down for a destination is for one of ours, and by which name that is known."""
        worker = self._durable.get(exporter)
        return recognize(None if worker is None else worker.exporter, destination, address)

    # -- by a worker's thread ------------------------------------------------------------------------------

    def _bind(self, worker: Worker, sources: Sequence[Cursor]) -> None:
        """Call what is for a destination that has just become known by its name, and leave alone what is not."""
        exporter = worker.exporter
        with self._binding:
            for cursor in sources:
                name = self._recognize(exporter.name, cursor.destination, cursor.address)
                if name is not None:
                    cursor.rename(*name)
                    continue
                worker.remove(cursor)
                for adopted, entries in self._adopted:
                    adopted.disown(cursor)
                    for entry in [entry for entry in entries if entry.cursor is cursor]:
                        entries.remove(entry)
                        self.ledger.forget(entry)
        self._keeper.look_again()  # there may be more that is known by its name only

    def _let_go(self, adopted: Adopted, entries: Sequence[Entry]) -> None:
        self._adopted = [pair for pair in self._adopted if pair[0] is not adopted]
        for entry in entries:
            for worker in self.workers:
                worker.remove(entry.cursor)
            self.ledger.finish(entry)
        adopted.close()

    def _keep_refused(self, record: Record, exporter: str, refusal: Refusal) -> None:
        """Keep a record that was refused for good, and tell those who look after such records."""
        try:
            if not self.journal.quarantine(record, exporter, refusal.reason, refusal.detail):
                self._refused(record, exporter, refusal)
        except Exception as exc:  # a full disk, a closed stderr: the count stands all the same
            self._log.warning("unkept", "the payload of a refused event could not be kept: %s", exc)
        if self._notices is not None and exporter == "kafka":
            self._notices.dead_letter(record, refusal)

    # -- flush and the end ---------------------------------------------------------------------------------

    def hurry(self) -> None:
        """Deliver what was appended so far at once, without waiting for it."""
        for worker in self.workers:
            worker.hurry(self.journal.end)

    def force_flush(self, timeout_s: float) -> bool:
        """Deliver what was appended so far; True only when all of it was acknowledged in time."""
        deadline = time.monotonic() + max(0.0, timeout_s)
        lost_before = [sum(worker.cursor.account().lost.values()) for worker in self.workers]
        end = self.journal.end
        for worker in self.workers:
            worker.hurry(end)
        settled = [worker.wait_until(end, deadline) for worker in self.workers]
        lost_after = [sum(worker.cursor.account().lost.values()) for worker in self.workers]
        return all(settled) and lost_before == lost_after

    def finish_in_child(self, most_s: float) -> bool:
        """End a pool's child, within so many seconds; True when everything ever was delivered.

        Many may end after one task each. One at a time connects, and delivers what all of them leave; one that is connected
        to a destination delivers its own there. The others leave their journals, which is as it should be, and say nothing.
        """
        from otel_feedback.journal.turns import Turn

        deadline = time.monotonic() + most_s
        connected = [worker for worker in self.workers if worker.is_in_touch or not worker.exporter.durable]
        for worker in connected:
            worker.hurry(self.journal.end)
        for worker in connected:
            worker.wait_until(self.journal.end, deadline)
        path = self.journal.health().path
        is_kept = path is not None and self.journal.secure() >= self.journal.end
        if path is None or not is_kept or all(worker.is_in_touch for worker in self.workers):
            return self.finish(deadline)
        turn = Turn(Path(path).parent, self._rescan_s)
        try:
            return self.finish(deadline) if turn.is_ours else self.finish(time.monotonic(), leaves=True)
        finally:
            turn.pass_on(in_vain=time.monotonic() >= deadline)

    def finish(self, deadline_s: float, *, leaves: bool = False) -> bool:
        """Deliver what is pending until the monotonic deadline, then end; True when everything ever was delivered.

        Args:
            leaves: Everything is on disk, and is left to another process, as it should be: nobody says anything.
        """
        has_records = self.journal.end > 0
        if self._notices is not None and has_records and not leaves:
            self._notices.prepare()
        # of children, above all, that ended without an end; has_orphans() first: what it does not see any more is in hand then
        if time.monotonic() < deadline_s and (self.journal.has_orphans() or self._keeper.is_rescanning):
            self._keeper.rescan(max(0.0, deadline_s - time.monotonic()))
        is_flushed = self.force_flush(deadline_s - time.monotonic())
        while self._adopted and time.monotonic() < deadline_s:
            time.sleep(WAIT_S)
        for worker in self.workers:
            worker.stop(deadline_s if worker.alive else time.monotonic())
        self._keeper.stop(max(0.1, deadline_s - time.monotonic()))
        kept = self.journal.secure()
        lost = 0
        for worker in self.workers:
            given_up = worker.cursor.give_up(LOST_SHUTDOWN, kept if worker.exporter.durable else 0)
            account = worker.cursor.account()
            lost += sum(account.lost.values())
            say_what_is_left(worker, given_up, 0 if leaves else account.pending, self.journal.health().path)
        for adopted, entries in list(self._adopted):
            adopted.tend()
            self._let_go(adopted, entries)
        self.ledger.tell_losses()
        if not leaves:  # or whoever delivers it says so
            self.ledger.tell_high_water(closed=True)
        self._end_notices(deadline_s)
        self.journal.close(is_announced=leaves)
        return is_flushed and lost == 0

    def leave_to_parent(self) -> None:
        """In a forked child: let go of what is the parent's, without touching it."""
        self.journal.leave_to_parent()
