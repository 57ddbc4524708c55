"""The journal on disk, whole: `appending.py` has the agent's side; here is what is done beside it, by one thread.

    tend():  heal · sync · write the cursors down · remove what everybody has · keep to the caps

Also: taking over what dead processes left, and the end. Input: a call of `tend()` every 100 ms or so while there is
something to do. Guarantee: what is removed was settled by every durable cursor, and that was written down before; or
it is counted as `lost[retention]`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from otel_feedback.events.record import Record
from otel_feedback.journal.adopted import AdoptedJournal, together
from otel_feedback.journal.ahead import Ahead, bring_in
from otel_feedback.journal.appending import AppendingJournal
from otel_feedback.journal.files import free_bytes
from otel_feedback.journal.folder import Folder, folders
from otel_feedback.journal.frames import Kind, frame
from otel_feedback.journal.interface import CloseAction, Elsewhere, JournalHealth, Recognize
from otel_feedback.journal.limits import WRITE_AT_ONCE, DiskLimits
from otel_feedback.journal.segments import append_to
from otel_feedback.journal.state import save_state
from otel_feedback.journal.steady import SteadyTime
from otel_feedback.logger import get_logger
from otel_feedback.sdk.forks import import_guard
from otel_feedback.throttle import ThrottledLog

__all__ = ["DiskJournal", "DiskLimits"]

logger = get_logger(__name__)

SYNC_S = 0.5
HEAL_S = 1.0
CAPS_S = 5.0


class DiskJournal(AppendingJournal):
    """An append-only log on disk.

    Args:
        root: The directory of the service's journals.
        service_name: Goes with the records, also where another process delivers them.
        durability: "interval": synced every 500 ms, off the agent's thread; "fsync": by every append, which waits.
        adopts: The producers whose journals may be adopted; None: all of them.
        clock: Monotonic seconds; a test has its own.
    """

    def __init__(
        self,
        root: Path,
        *,
        service_name: str,
        durability: str = "interval",
        limits: DiskLimits | None = None,
        adopts: Collection[str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(root, service_name, durability, limits or DiskLimits())
        self._adopts = adopts
        self._clock = clock
        self._log = ThrottledLog(logger)
        self._steady = SteadyTime(self._limits.max_age_s)
        self._sync_due = self._heal_due = self._caps_due = 0.0
        self._saved_marks: list[tuple[int, int, str]] = []
        self._ahead = Ahead()
        self._adopted: list[AdoptedJournal] = []
        self._claimed: Folder | None = None  # the last one that is, or is to be, of these
        self._elsewhere: Sequence[Elsewhere] = ()
        self._damaged_before = 0  # bytes, in adopted journals that were let go of

    # -- now and then --------------------------------------------------------------------------------------

    def tend(self) -> bool:
        now = self._clock()
        if now >= self._heal_due:
            self._heal_due = now + HEAL_S
            self._heal()
        if not self._is_closed:
            if now >= self._sync_due:
                self._sync_due = now + SYNC_S
                self._sync(self._written, closes=True)
            if now >= self._caps_due:
                self._caps_due = now + CAPS_S
                self._keep_to_caps()
            self._save_cursors()
            self._remove_settled()
            self._go_ahead()
        return self._problem is not None or self._synced < self._end or self._marks() != self._saved_marks

    def _heal(self) -> None:
        if self._is_closed:
            return
        self._notice_removal()
        problem = self._problem
        if problem is not None and not self._try_again(problem):
            return
        while self._written < self._end and self._problem is None and not self._is_closed:
            with self._lock:
                self._write_events(WRITE_AT_ONCE)
        if problem is not None and self._problem is None:
            self._log.warning("healed", "the journal in %s is on disk again", self._root)

    def _notice_removal(self) -> None:
        """See whether somebody removed or cut what is written to; if so, what is in memory is written once more."""
        folder = self._folder
        if folder is None:
            return
        is_there = folder.is_there
        if is_there:
            folder.keep_lock()
        with self._lock:
            writer = self._writer
            first = 0 if writer is None else writer.segment.first
            if not is_there:
                self._stop_writing(OSError(0, "the journal's folder is gone", str(folder.path)))
                folder.release()
                self._folder = None
            elif writer is not None and not writer.is_intact:
                self._stop_writing(OSError(0, "somebody removed or cut it", str(writer.segment.path)))
            else:
                return
            if not any(segment.size for segment in self._segments):
                self._segments, self._sealed, self._sealed_bytes, first = (), {}, 0, 0
            self._written = max(first, min(self._written, self._tail.first))
            self._rewrites += 1  # a sync that is under way must not say that it has these
            self._synced = min(self._synced, self._written)

    def _try_again(self, problem: str) -> bool:
        self._log.warning(
            "problem", "%s: events are kept in memory, up to %d MiB, until the disk takes them again; they would not "
            "survive the death of this process", problem, self._limits.memory_bytes // 2**20,
        )  # fmt: skip
        if self._is_short_of_space():
            self._problem = f"{self._root}: less than {self._limits.min_free_bytes:,} bytes are free"
            return False
        with self._lock:
            if self._is_closed:
                return False
            self._problem = None
            self._begin_segment()
        return True

    def _is_short_of_space(self) -> bool:
        free = free_bytes(self._root)
        return free is not None and free < self._limits.min_free_bytes

    def _marks(self) -> list[tuple[int, int, str]]:
        return [(cursor.low, cursor.settled, cursor.destination) for cursor in self._cursors if cursor.durable]

    def _save_cursors(self) -> None:
        marks = self._marks()
        folder = self._folder
        if marks == self._saved_marks or folder is None:
            return
        with self._lock:
            state = self._state()
        with contextlib.suppress(OSError):  # repeats, should the process die now; the next try is soon
            save_state(folder.path, state)
            # of a cursor that somebody is at it is an older state; what that needs must stay
            if all(saved.low >= low for saved, (low, _, _) in zip(state.cursors, marks, strict=False)):
                self._saved_marks = marks

    def _remove_settled(self) -> None:
        """Remove the segments that no cursor needs, once that is written down."""
        # a full disk may need the room before the cursors can be written
        saved = self._marks() if self._problem is not None else self._saved_marks
        lows = [low for low, _, _ in saved] + [cursor.low for cursor in self._cursors if not cursor.durable]
        while lows:
            with self._lock:  # or the cap might remove the first in between, and we the second
                if len(self._segments) < 2 or self._segments[1].first > min(lows):
                    return
                self._remove_segment(self._segments[0])

    def _keep_to_caps(self) -> None:
        """Drop the oldest segments beyond the caps: those of dead processes first."""
        oldest_allowed = self._steady.now() - self._limits.max_age_s
        for adopted in self._in_hand():
            adopted.keep_to_age(oldest_allowed)
        while self._bytes() > self._limits.max_bytes and self._drop_adopted():
            pass
        with self._lock:
            writer = self._writer
            if writer is not None and self._written > writer.segment.first and writer.segment.modified < oldest_allowed:
                self._begin_segment()
            while len(self._segments) > 1 and self._segments[0].modified < oldest_allowed:
                self._drop_segment()
        while self._problem is None and self._is_short_of_space():
            if self._drop_adopted():
                continue
            with self._lock:
                if len(self._segments) > 1:
                    self._drop_segment()
                else:
                    self._stop_writing(OSError(0, f"less than {self._limits.min_free_bytes:,} bytes are free"))

    def _drop_adopted(self) -> bool:
        return any(adopted.drop_segment() for adopted in self._in_hand())

    def _bytes(self) -> int:
        writer = self._writer
        own = self._sealed_bytes + (0 if writer is None else writer.size)
        return own + sum(adopted.bytes for adopted in self._in_hand())

    def health(self) -> JournalHealth:
        problem = self._problem
        path = self._root / self.origin.producer_id
        theirs = sum(adopted.kept_aside.damaged_bytes for adopted in self._adopted)
        damaged = self._quarantine.damaged_bytes + self._damaged_before + theirs
        return JournalHealth(
            "disk" if problem is None else "memory", str(path), self._bytes(), len(self._segments), problem,
            len(self._open_actions), damaged,
        )  # fmt: skip

    def secure(self) -> int:
        self._heal()
        self._sync(self._written, closes=True)
        if self._problem is not None:
            self._forget_ended()
        return self._written if self._folder is not None else 0

    def _forget_ended(self) -> None:
        """Let nobody close actions as if they never ended which ended while the disk took nothing: for that there may be room."""
        with self._lock, contextlib.suppress(OSError):
            ended = self._noted.difference(self._open_actions)
            if ended and self._segments:
                append_to(self._segments[-1], b"".join([frame(Kind.FORGET, self._end, one.encode()) for one in ended]))
                self._noted -= ended

    def quarantine(self, record: Record, exporter: str, reason: str, detail: str) -> bool:
        return self._quarantine.keep_refused(record, exporter, reason, detail)

    def _go_ahead(self) -> None:
        """Have pages in memory for what is written next: for an agent, to come by one takes longer than all the rest."""
        writer = self._writer
        if writer is None or self._syncs_each:  # then an append waits for the disk anyway, and would for this, too
            return
        begin, length = self._ahead.room(writer)
        if length > begin:
            with self._lock:
                if writer is not self._writer:
                    return
                writer.lengthen(length)
            bring_in(writer.file, begin, length)  # of one that was closed meanwhile: of none

    # -- other processes' journals -------------------------------------------------------------------------

    def _others(self) -> list[Path]:
        known = {self.origin.producer_id, *(adopted.origin.producer_id for adopted in self._in_hand())}
        wanted = self._adopts
        return [
            path for path in folders(self._root) if path.name not in known and (wanted is None or path.name in wanted)
        ]

    def _in_hand(self) -> list[AdoptedJournal]:
        """Return those that were not let go of: what became of the others is not ours to touch."""
        return [adopted for adopted in self._adopted if not adopted.is_closed]

    def has_orphans(self) -> bool:
        return bool(self._others())

    def adopt(
        self,
        destinations: Sequence[tuple[str, str]],
        close_action: CloseAction,
        recognize: Recognize | None = None,
    ) -> Sequence[AdoptedJournal]:
        let_go = [adopted for adopted in self._adopted if adopted.is_closed]
        self._damaged_before += sum(adopted.kept_aside.damaged_bytes for adopted in let_go)
        self._adopted = self._in_hand()
        taken: list[AdoptedJournal] = []
        others = [waiting for adopted in self._adopted for waiting in adopted.elsewhere()]
        oldest_allowed = self._steady.now() - self._limits.max_age_s
        for path in self._others():
            folder: Folder | None = None
            try:
                with import_guard:  # a child that is forked meanwhile would have a lock that it does not know of
                    folder = self._claimed = Folder.claim(path)
                if folder is None:
                    continue
                adopted = AdoptedJournal.open(folder, destinations, close_action, oldest_allowed, recognize)
            except Exception as exc:  # one that cannot be read must not hold up the others
                if folder is not None:
                    folder.release()
                self._log.warning("adopt", "the journal %s cannot be taken over: %r", path, exc)
                continue
            if adopted is not None:
                others += adopted.elsewhere()
                if not adopted.is_closed:
                    self._adopted.append(adopted)
                    taken.append(adopted)
        self._elsewhere = together(others)
        return taken

    def elsewhere(self) -> Sequence[Elsewhere]:
        return self._elsewhere

    # -- the end -------------------------------------------------------------------------------------------

    def close(self, *, is_announced: bool = False) -> None:
        with self._lock:
            self._is_closed = True
        if is_announced:
            self._is_announced, self._saved_marks = True, []
        self._save_cursors()
        self._let_go()

    def forget_start(self, *event_ids: str) -> None:
        super().forget_start(*event_ids)
        if self._is_closed:
            self._let_go()

    def _let_go(self) -> None:
        """Remove the folder, or leave it to whoever comes next: after `close()`, once no action is open any more.

        Until then it stays ours, or somebody might close actions that are alive; the end of the process ends that.
        """
        with self._lock:
            folder = self._folder
            if folder is None or self._open_actions:
                return
            self._folder = None
            if self._writer is not None:
                self._retire(self._writer)
            is_done = all(cursor.low >= self._end for cursor in self._cursors if cursor.durable)
        self._sync(self._end + 1, closes=True)
        if is_done:
            folder.remove()
        else:
            folder.release()

    def leave_to_parent(self) -> None:
        """In a forked child: close its copies of what is the parent's, above all the locks."""
        self._is_closed = True  # the numbers of those files will be others', so nothing may be written any more
        retired, self._retired = self._retired, []
        writer, self._writer = self._writer, None
        folder, self._folder = self._folder, None
        for one in [*retired, *([] if writer is None else [writer])]:
            with contextlib.suppress(OSError):
                one.close()
        for one in (folder, self._claimed):
            if one is not None:
                one.leave_to_parent()
        for adopted in self._in_hand():
            adopted.leave_to_parent()
