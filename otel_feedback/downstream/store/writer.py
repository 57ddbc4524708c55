"""The writer's thread: batches become files, and files and position one commit; beside it the store is kept in order.

    whoever reads ──Batch──► [one waits] ──► parquet files ──► manifest ──► position: committed
                                                 └ the disk does not take it: said, tried again, nothing lost

Guarantee: a row is in a file that the manifest names exactly when its source's position there is behind it. One batch is
being written while one waits, so memory is bounded by three. Threads: one of ours; `put` and the properties are for others.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from otel_feedback.downstream.store import erasures
from otel_feedback.downstream.store.batch import Batch
from otel_feedback.downstream.store.commits import Commits, added, changed, of_table
from otel_feedback.downstream.store.erasures import Rule
from otel_feedback.downstream.store.folder import ERASED, EVENTS, FEEDBACK, StoreFolder
from otel_feedback.downstream.store.keeping import Limits
from otel_feedback.downstream.store.manifest import DataFile, Manifest, Reading
from otel_feedback.downstream.store.upkeep import Upkeep
from otel_feedback.errors import describe
from otel_feedback.retry import Backoff

__all__ = ["StoreWriter"]

LOOK_S = 0.25
KEEP_S = 30.0
"""How often to look for what is too old or too much, when nothing else asks for it."""


class StoreWriter:
    """Writes batches, keeps limits and rules.

    Args:
        folder: The store, whose lock is held.
        limits: What is kept.
        say: Told, on the thread here, what stands in its way, by kind.
        refuse: Told of a line that DuckDB does not take, and why.
        sorts_out: At its end it sorts out what there is, since nothing follows; else the next one does.
    """

    def __init__(
        self,
        folder: StoreFolder,
        limits: Limits,
        say: Callable[[str, str], None],
        refuse: Callable[[bytes, str], None],
        *,
        sorts_out: bool = False,
    ) -> None:
        self._folder = folder
        self._say = say
        self._refuse = refuse
        self._sorts_out = sorts_out
        self._commits = Commits(folder)
        self._upkeep = Upkeep(self._commits, limits, say, lambda: self._is_given_up, lambda: self._waiting is not None)
        self._rules_seen: tuple[int, int] | None = None
        self._rules: list[Rule] = []
        self._changed = threading.Condition()
        self._waiting: Batch | None = None  # guarded by self._changed
        self._is_busy = False  # guarded by self._changed
        self._is_closing = False
        self._is_given_up = False
        self._keep_due_s = self._obey_due_s = 0.0
        self._thread = threading.Thread(target=self._run, name="otel-feedback-store", daemon=True)
        self._has_ended = threading.Event()  # join() that Ctrl-C interrupts takes the thread for ended (Python 3.11)
        self._problems: dict[str, str] = {}
        self.is_left = False
        """Whether it was given up on something that it was given: that is read again the next time."""
        self.failure: BaseException | None = None
        """Why it is over, where it is for good."""

    @property
    def manifest(self) -> Manifest:
        """What was committed last."""
        return self._commits.manifest

    @property
    def problem(self) -> str | None:
        """What it cannot do just now, and tries again; None while all is well."""
        return next(iter(self._problems.values()), None)

    @property
    def is_idle(self) -> bool:
        """Whether all that it was given is committed."""
        with self._changed:
            return self._waiting is None and not self._is_busy

    def start(self) -> None:
        """Start the thread, once."""
        self._thread.start()

    def put(self, batch: Batch, timeout_s: float) -> bool:
        """Hand over a batch; False where another one still waits after so many seconds.

        Raises:
            Exception: What has ended the thread.
        """
        with self._changed:
            free = self._changed.wait_for(lambda: self._waiting is None or self.failure is not None, timeout_s)
            if self.failure is not None:
                raise self.failure
            if free:
                self._waiting = batch
                self._changed.notify_all()
            return free

    def give_up(self) -> None:
        """Try nothing again from now on: what is not committed is read again by the next writer."""
        self._is_given_up = True
        with self._changed:
            self._changed.notify_all()

    def abandon(self) -> None:
        """End as soon as that can be, whatever is left; the interpreter must not end while DuckDB works."""
        self.give_up()
        with contextlib.suppress(Exception):
            self.close()

    def close(self) -> None:
        """Write what was handed over, and end.

        Raises:
            Exception: What has ended the thread.
        """
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._has_ended.wait()
        self._thread.join()  # for what its frames still hold of DuckDB
        if self.failure is not None:
            raise self.failure

    # -- the thread --------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            from otel_feedback.downstream.store.parquet import ParquetFiles

            files = ParquetFiles(self._folder)
            try:
                self._work(files)
            finally:
                files.close()
        except BaseException as exc:  # at a thread's top; raised again where it is asked
            self.failure = exc
        finally:
            with self._changed:
                self._changed.notify_all()
            self._has_ended.set()

    def _work(self, files: Any) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting is not None or self._is_closing, LOOK_S)
                batch, self._waiting = self._waiting, None
                self._is_busy = batch is not None
                self._changed.notify_all()
            self._obey(files)
            if batch is not None:
                self.is_left |= not self._insist("write", lambda batch=batch: self._write(files, batch))
                with self._changed:
                    self._is_busy = False
                    self._changed.notify_all()
            if batch is not None or time.monotonic() >= self._keep_due_s or self._is_closing:
                self._keep_due_s = time.monotonic() + KEEP_S
                if not self._is_given_up:
                    # what it cannot do now it tries again the next time
                    is_quiet = batch is None and (self._sorts_out or not self._is_closing)
                    self._try("keep", lambda is_quiet=is_quiet: self._upkeep.keep(files, is_quiet=is_quiet))
                    self._try("sum up", lambda: self._upkeep.sum_up(files))
            if batch is None and self._is_closing:
                return

    def _try(self, what: str, attempt: Callable[[], None]) -> bool:
        """Try once; what the disk says is said."""
        from duckdb import Error

        try:
            attempt()
        except (OSError, Error) as exc:
            self._problems[what] = f"{self._folder.path}: {_plain(exc)}"
            self._say(what, f"{self._problems[what]}; it will be tried again, and nothing is lost")
            return False
        if self._problems.pop(what, None) is not None and not self._problems:
            self._say("well", f"{self._folder.path}: all is well again")
        return True

    def _insist(self, what: str, attempt: Callable[[], None]) -> bool:
        """Try until it is done, or given up; return which."""
        backoff = Backoff(0.2, 10.0)
        while not self._is_given_up:
            if self._try(what, attempt):
                return True
            with self._changed:
                self._changed.wait_for(lambda: self._is_given_up, backoff.next_s())
        return False

    def _write(self, files: Any, batch: Batch) -> None:
        counts = dict(batch.counts)

        def refuse(line: bytes, why: str) -> None:
            counts["no_events"] = counts.get("no_events", 0) + 1
            self._refuse(line, why)

        made, erased = files.write(batch.lines, self._rules, refuse) if batch.lines else ([], 0)
        counts["written"] = sum(file.rows for file in of_table(made, EVENTS))
        old = self._commits.manifest
        newly = of_table(made, ERASED)
        known = [*of_table(old.notices, ERASED), *newly]
        for table, lines in batch.notices.items():
            is_given = table == FEEDBACK
            told, kept_out = files.write(
                lines, self._rules if is_given else [], refuse, table, known if is_given else ()
            )
            made += told
            if is_given:
                counts["feedback"] = counts.get("feedback", 0) + sum(file.rows for file in told)
            erased += kept_out
        gone, left, more = self._of_erased(files, of_table(old.notices, FEEDBACK), newly)
        made += left
        counts["erased"] = erased + more
        new = msgspec.structs.replace(
            changed(old, gone, made),
            positions=old.positions if batch.position is None else {**old.positions, **batch.position},
            counts=added(old.counts, counts),
            reading=_newer(old.reading, batch.reading),
        )
        self._commits.exchange(new, made, gone)

    def _of_erased(
        self, files: Any, feedback: list[DataFile], newly: list[DataFile]
    ) -> tuple[list[DataFile], list[DataFile], int]:
        """Return the files of feedback that was there before the events that it is about, which are erased; others in their
        place; and how many rows went.
        """
        gone = {file: rows for file in feedback if newly and (rows := files.count(file, [], newly))}
        left = [other for file in gone if (other := files.without(file, [], newly)) is not None]
        return list(gone), left, sum(gone.values())

    # -- rules and limits ----------------------------------------------------------------------------------------

    def _obey(self, files: Any) -> None:
        """Look whether there are new rules of erasure: what is written from now on obeys them, and then what there is."""
        seen = _seen(self._folder.erasures)
        if seen != self._rules_seen:
            if not self._insist("rules", self._read_rules):
                return
            self._rules_seen = seen
        obeyed = self._commits.manifest.erasures
        if time.monotonic() >= self._obey_due_s and any(rule.id not in obeyed for rule in self._rules):
            # a file that the disk does not give must not hold up what comes
            done = self._try("erase", lambda: self._upkeep.erase(files, self._rules))
            self._obey_due_s = 0.0 if done else time.monotonic() + KEEP_S

    def _read_rules(self) -> None:
        self._rules = erasures.load(self._folder)


def _newer(old: Reading | None, new: Reading | None) -> Reading | None:
    """Return how far the source is read; what was read before does not become unread while nobody knows how far it is."""
    if old is None or new is None or new.until is not None:
        return new or old
    return msgspec.structs.replace(new, until=old.until)


def _seen(path: Path) -> tuple[int, int] | None:
    """Return what tells one state of a file from another; None where it is not there."""
    try:
        seen = path.stat()
    except FileNotFoundError:
        return None
    return seen.st_mtime_ns, seen.st_ino


def _plain(exc: BaseException) -> str:
    """Return what the disk said, without the path that DuckDB repeats, and in one line."""
    if isinstance(exc, OSError) and exc.strerror:
        return exc.strerror
    text = " ".join(str(exc).split())
    return text[:300] if text else describe(Exception(type(exc).__name__))
