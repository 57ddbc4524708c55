"""The journal on disk, whole: `appending.py` has the agent's side; here is what is done beside it, by one thread.

    tend():  heal · sync · write the cursors down · remove what everybody has · keep to the caps

Also: taking over what dead processes left, and the end. Input: a call of `tend()` every 100 ms or so while there is
something to do. Guarantee: what is removed was settled by every durable cursor, and that was written down before; or
it is counted as `lost[retention]`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from otel_feedback.events.record import Record
from otel_feedback.journal.adopted import AdoptedJournal
from otel_feedback.journal.appending import WRITE_AT_ONCE, AppendingJournal, DiskLimits
from otel_feedback.journal.folder import Folder, folders
from otel_feedback.journal.interface import CloseAction, JournalHealth
from otel_feedback.journal.state import save_state
from otel_feedback.throttle import ThrottledLog

__all__ = ["DiskJournal", "DiskLimits"]

logger = logging.getLogger(__name__)

SYNC_S = 0.5
HEAL_S = 1.0
CAPS_S = 5.0


class DiskJournal(AppendingJournal):
    """An append-only log on disk.

    Args:
        root: The directory of the service's journals.
        service_name: Goes with the records, also where another process delivers them.
        durability: "interval": synced every 500 ms, off the agent's thread; "fsync": by every append, which waits.
        clock: Monotonic seconds; a test has its own.
    """

    def __init__(
        self,
        root: Path,
        *,
        service_name: str,
        durability: str = "interval",
        limits: DiskLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(root, service_name, durability, limits or DiskLimits())
        self._clock = clock
        self._log = ThrottledLog(logger)
        self._sync_due = self._heal_due = self._caps_due = 0.0
        self._saved_marks: list[tuple[int, int]] = []
        self._adopted: list[AdoptedJournal] = []

    # -- now and then --------------------------------------------------------------------------------------

    def tend(self) -> bool:
        now = self._clock()
        if now >= self._heal_due:
            self._heal_due = now + HEAL_S
            self._heal()
        if self._end and not self._is_closed:
            if now >= self._sync_due:
                self._sync_due = now + SYNC_S
                self._sync(self._written)
            self._save_cursors()
            self._remove_settled()
            if now >= self._caps_due:
                self._caps_due = now + CAPS_S
                self._keep_to_caps()
        return self._problem is not None or self._synced < self._written or self._marks() != self._saved_marks

    def _heal(self) -> None:
        folder = self._folder
        if folder is not None and not folder.is_there:
            with self._lock:
                self._stop_writing(OSError(0, "the journal's folder is gone", str(folder.path)))
                folder.release()
                self._folder, self._segments, self._sealed_bytes = None, (), 0
                self._written = min(self._written, self._tail.first)  # what is in memory is written once more
        if self._problem is None:
            return
        problem = self._problem
        self._log.warning(
            "problem", "%s: events are kept in memory, up to %d MB, until the disk takes them again; they would not "
            "survive the death of this process", problem, self._limits.memory_bytes // 10**6,
        )  # fmt: skip
        if self._is_short_of_space():
            self._problem = f"{self._root}: less than {self._limits.min_free_bytes} bytes are free"
            return
        with self._lock:
            if self._is_closed:
                return
            self._problem = None
            self._begin_segment()
        while self._written < self._end and self._problem is None:
            with self._lock:
                self._write_events(WRITE_AT_ONCE)
        if self._problem is None:
            logger.warning("the journal in %s is on disk again", self._root)

    def _is_short_of_space(self) -> bool:
        floor = self._limits.min_free_bytes
        there = self._root
        while not there.exists() and there != there.parent:
            there = there.parent
        try:
            seen = os.statvfs(there)
        except OSError:
            return False
        return not seen.f_bavail * seen.f_frsize >= floor

    def _marks(self) -> list[tuple[int, int]]:
        return [(cursor.low, cursor.settled) for cursor in self._cursors if cursor.durable]

    def _save_cursors(self) -> None:
        marks = self._marks()
        folder = self._folder
        if marks == self._saved_marks or folder is None:
            return
        with self._lock:
            state = self._state()
        with contextlib.suppress(OSError):  # repeats, should the process die now; the next try is soon
            save_state(folder.path, state)
            self._saved_marks = marks

    def _remove_settled(self) -> None:
        """Remove the segments that no cursor needs, once that is written down."""
        # a full disk may need the room before the cursors can be written
        saved = self._marks() if self._problem is not None else self._saved_marks
        lows = [low for low, _ in saved] + [cursor.low for cursor in self._cursors if not cursor.durable]
        while lows and len(self._segments) > 1 and self._segments[1].first <= min(lows):
            with self._lock:
                self._remove_segment(self._segments[0])

    def _keep_to_caps(self) -> None:
        """Drop the oldest segments beyond the caps: those of dead processes first."""
        oldest_allowed = time.time() - self._limits.max_age_s
        for adopted in self._adopted:
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
                    self._stop_writing(OSError(0, f"less than {self._limits.min_free_bytes} bytes are free"))

    def _drop_adopted(self) -> bool:
        return any(adopted.drop_segment() for adopted in self._adopted)

    def _bytes(self) -> int:
        writer = self._writer
        own = self._sealed_bytes + (0 if writer is None else writer.size)
        return own + sum(adopted.bytes for adopted in self._adopted)

    def health(self) -> JournalHealth:
        problem = self._problem
        path = self._root / self.origin.producer_id
        return JournalHealth(
            "disk" if problem is None else "memory", str(path), self._bytes(), len(self._segments), problem,
            len(self._open_actions), self._quarantine.damaged_bytes,
        )  # fmt: skip

    def secure(self) -> int:
        self._heal()
        self._sync(self._written)
        return self._written if self._folder is not None else 0

    def quarantine(self, record: Record, exporter: str, reason: str, detail: str) -> bool:
        return self._quarantine.keep_refused(record, exporter, reason, detail)

    # -- other processes' journals -------------------------------------------------------------------------

    def _others(self) -> list[Path]:
        known = {self.origin.producer_id, *(adopted.origin.producer_id for adopted in self._adopted)}
        return [path for path in folders(self._root) if path.name not in known]

    def has_orphans(self) -> bool:
        return bool(self._others())

    def adopt(self, destinations: Sequence[tuple[str, str]], close_action: CloseAction) -> Sequence[AdoptedJournal]:
        self._adopted = [adopted for adopted in self._adopted if not adopted.is_closed]
        taken: list[AdoptedJournal] = []
        for path in self._others():
            try:
                folder = Folder.claim(path)
                adopted = None if folder is None else AdoptedJournal.open(folder, destinations, close_action)
            except OSError as exc:
                self._log.warning("adopt", "the journal %s cannot be taken over: %s", path, exc.strerror or exc)
                continue
            if adopted is not None:
                taken.append(adopted)
        self._adopted += taken
        return taken

    # -- the end -------------------------------------------------------------------------------------------

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
        self._save_cursors()
        self._let_go()

    def forget_start(self, event_id: str) -> None:
        super().forget_start(event_id)
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
                self._writer = None
            is_done = all(cursor.low >= self._end for cursor in self._cursors if cursor.durable)
        self._sync(self._end + 1)
        if is_done:
            folder.remove()
        else:
            folder.release()

    def leave_to_parent(self) -> None:
        """In a forked child: close its copies of what is the parent's, above all the locks."""
        for file in [*self._retired, *([] if self._writer is None else [self._writer.file])]:
            with contextlib.suppress(OSError):
                os.close(file)
        for folder in [self._folder, *(adopted.folder for adopted in self._adopted)]:
            if folder is not None:
                folder.release()
