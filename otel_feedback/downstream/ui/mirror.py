"""What there is of a store's newest days, one row an action, in this process's memory; kept up by a thread.

    manifest ──changed?──► its new files ──► the rows that are new or a higher revision ──► kept.hot ──► listeners: rows from `seen` on
                                                                                           └──► kept.past: what they took the place of

What rows share is in `kinds`, once. Days that do not fit are sums, `days`; their hours stay in files. Whoever asks gets a
`Reader`, in which all of these are views of what may be seen.

Threads: one of ours, which writes; `open()` and the properties are for any.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Generator, Sequence
from datetime import datetime, timedelta, timezone
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from otel_feedback.downstream.store import manifest as manifests
from otel_feedback.downstream.store.folder import StoreError, StoreFolder
from otel_feedback.downstream.store.manifest import DataFile, Manifest
from otel_feedback.downstream.store.rollups import DAY_MS, KEYS, sums_of
from otel_feedback.downstream.tables.selection import SAID, WORDS, literal
from otel_feedback.downstream.tables.stored import rows_of
from otel_feedback.downstream.tables.tables import QUIET
from otel_feedback.downstream.ui.days import Days
from otel_feedback.downstream.ui.given import GIVEN_COLUMNS, Given
from otel_feedback.downstream.ui.reader import Reader
from otel_feedback.errors import FeedbackError

__all__ = ["HOT", "Mirror"]

LOOK_S, MOST_LOOK_S = 0.25, 2.0
"""How long to wait between two looks, at least and at most."""
SHARE = 20
"""Looks take one part in so many of the time: what a change costs depends little on how many rows it has."""
MOST_JOINED = 3
"""Files that several of a day become when they are joined: see `manifest.py`."""
MOST_HOT = 1_500_000
"""Rows up to which all of a store is in memory; of a larger one the days that a day and the day before it may need."""
DAYS = 2
MEMORY = "1GB"
THREADS = 2
MOST_TEXT = 500
MOST_PAST = 20_000
"""Rows that others took the place of, which are kept for who has seen them and does not know yet."""

_LATENCY = "CASE WHEN status <> 'pending' THEN coalesce(latency_ms, duration_ms) END"
HOT = {
    "event_id": "event_id", "revision": "revision", "run_id": "run_id", "parent_event_id": "parent_event_id",
    "trace_id": "trace_id", "tenant_id": "tenant_id", "user_id": "user_id", "session_id": "session_id",
    "workflow_id": "workflow_id", "service_name": "service_name", "agent_name": "agent_name", "action_type": "action_type",
    "tool_name": "tool_name", "model": "model", "status": "status", "severity": "severity", "start_time": "start_time",
    "end_time": "end_time", "duration_ms": "duration_ms", "own_tokens": "own_tokens", "own_cost": "own_cost",
    "quality_score": "quality_score", "error_type": "error_type", "error_message": f"left(error_message, {MOST_TEXT})",
    "tags": "tags", "said": SAID, "event_time": "event_time", "t": "(epoch_us(event_time) // 1000)", "took": _LATENCY,
    "key": "hash(event_id)", **GIVEN_COLUMNS,
}  # fmt: skip
"""By column of `hot`: what it is of a row of a store. `t` is milliseconds since 1970, `took` what counts as its latency."""
_SAME_KIND = " AND ".join(f"f.{name} IS NOT DISTINCT FROM k.{name}" for name in KEYS)


def _extent(files: Sequence[DataFile]) -> tuple[int, datetime, datetime]:
    return sum(file.rows for file in files), min(file.first for file in files), max(file.last for file in files)


class Mirror:
    """Keeps up with a store.

    Args:
        folder: The store; it may come later.
        most_hot: Rows up to which everything is in memory.
    """

    def __init__(self, folder: StoreFolder, most_hot: int = MOST_HOT) -> None:
        self.folder = folder
        self.manifest = Manifest()
        """What was taken in last."""
        self.problem: str | None = None
        """Why it is not up to date."""
        self.seen = 0
        """Number of the change that was taken in last: rows of `hot` have the number with which they came, those of `past`
        the one with which they went."""
        self.whole = 0
        """From which change on it is known what went."""
        self.given = 0
        """Number of the newest change that brought feedback: rows of `hot` have the one that brought theirs."""
        self.begin: datetime | None = None
        """From when on events are in `hot`; None: all are."""
        self.newest: datetime | None = None
        self._name = secrets.token_hex(4)
        self._most_hot = most_hot
        self._lock = threading.RLock()  # a signal may come while this thread holds it
        self._running = set[duckdb.DuckDBPyConnection]()  # guarded by self._lock
        self._listeners: list[Callable[[], None]] = []
        self._known: dict[str, DataFile] = {}
        self._version: object = None
        self._stop = threading.Event()
        self._aside = TemporaryDirectory(prefix="otel-feedback-ui-")
        connection = duckdb.connect(config={
            "memory_limit": MEMORY, "threads": THREADS, "temp_directory": self._aside.name,
            "autoinstall_known_extensions": "false", "python_enable_replacements": "false",
        })  # fmt: skip
        connection.execute("SET GLOBAL TimeZone = 'UTC'")
        self.connection = connection
        self._own = connection.cursor()  # the thread's; of `connection` there are only cursors
        self._run(QUIET)
        self._run("CREATE SCHEMA kept")
        self._make_empty()
        self._given = Given(folder, self._own)
        self.days = Days(folder, self._own, Path(self._aside.name))
        """What there is of the days before `begin`."""
        self._thread = threading.Thread(target=self._follow, name="otel-feedback-mirror", daemon=True)

    @property
    def mark(self) -> str:
        """What a reader names the change that it has seen by, to be told what has come since."""
        return f"{self._name}-{self.seen}"

    def seen_by(self, mark: str | None) -> int:
        """Return the number of the change of a mark; of one that is another process's: the newest."""
        name, _, number = (mark or "").partition("-")
        is_ours = name == self._name and number.isascii() and number.isdecimal() and len(number) < 16
        return min(int(number), self.seen) if is_ours else self.seen

    def start(self) -> None:
        """Take in what there is, and then what comes, on a thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread, and let go of everything."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._own.close()
        self.connection.close()
        self._aside.cleanup()

    def listen(self, listener: Callable[[], None]) -> None:
        """Have it called, on the thread here, when rows have come."""
        self._listeners.append(listener)

    @contextlib.contextmanager
    def open(self, tenant: str | None) -> Generator[Reader, None, None]:
        """Give what an asker may see: all, or one tenant's."""
        reader = Reader(self, tenant)
        try:
            with self.running(reader.cursor):
                yield reader
        finally:
            reader.cursor.close()

    @contextlib.contextmanager
    def running(self, connection: duckdb.DuckDBPyConnection) -> Generator[None, None, None]:
        """Have `interrupt` end the queries of a connection, too, which is another one than ours."""
        with self._lock:
            self._running.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._running.discard(connection)

    def interrupt(self) -> None:
        """End the queries that are running, for who does not wait for them."""
        with self._lock:
            for connection in self._running:
                connection.interrupt()

    def _run(self, text: str) -> list[tuple[object, ...]]:
        return self._own.execute(text).fetchall()

    # -- the thread --------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        while not self._stop.is_set():
            began_s = time.monotonic()
            try:
                self.look()
            except (FeedbackError, OSError, duckdb.Error) as exc:
                self.problem = f"{self.folder.path} cannot be read: {' '.join(str(exc).split())[:300]}"
            except BaseException as exc:  # at a thread's top
                self.problem = f"{type(exc).__name__}: {exc}"
                raise
            self._stop.wait(min(MOST_LOOK_S, max(LOOK_S, SHARE * (time.monotonic() - began_s))))

    def look(self) -> None:
        """Take in what has changed; readers see all of it, or nothing.

        Raises:
            FeedbackError, OSError, duckdb.Error: The store cannot be read; the next call tries again.
        """
        version = self._stat()
        if version != self._version:
            if version is None and self._known:  # what was read stays to be seen
                raise StoreError("it was moved or removed; bring it back, or start the page on one that is there")
            if self._version is None:
                self.problem = "the store is being read for the first time"
            manifest = manifests.load(self.folder)
            begin = self._begin(manifest)
            is_other = manifest.erasures != self.manifest.erasures or _written(manifest) < _written(self.manifest)
            is_anew = begin != self.begin or is_other
            if is_anew:
                self._known = {}
                self.days.clear()
            self._run("BEGIN")
            is_less = is_anew or manifest.counts.get("expired", 0) != self.manifest.counts.get("expired", 0)
            number = 0 if is_anew else self.seen + 1
            try:
                if is_anew:
                    self._make_empty()
                added = self._take(self._new_in(manifest), begin, number)
                if is_less:
                    self._trim(manifest)
                    self.whole = self.seen + 1  # what has gone is not told one by one
                is_given = self._given.take(manifest, begin, number, is_less=is_less)
                self._run("COMMIT")
            except BaseException:
                self._given.forget()
                self._run("ROLLBACK")
                raise
            is_change = added or is_less or is_given
            if is_change:  # before the rest says that it is there: who asks from then on has its number
                self.seen += 1
                self.given = self.seen if is_given else self.given
            self.manifest, self.begin, self._version = manifest, begin, version
            self._known = {file.path: file for file in manifest.files}
            self.newest = max((file.last for file in manifest.files), default=None)
            for listener in self._listeners if is_change else ():
                listener()
        elif self.begin is not None and self.begin != self._midnight():
            self._version = None  # another day
        self.problem = None if self.begin is None else self.days.take(self.manifest, self.begin.strftime("%Y-%m-%d"))

    def _new_in(self, manifest: Manifest) -> list[DataFile]:
        """Return the files that may have rows that are new: all that we do not know, but those that were joined of such."""
        new = [file for file in manifest.files if file.path not in self._known]
        gone: dict[str, list[DataFile]] = {}
        for path in self._known.keys() - {file.path for file in manifest.files}:
            gone.setdefault(self._known[path].day, []).append(self._known[path])
        for day, files in gone.items():
            joined, of_day = _extent(files), [file for file in new if file.day == day]
            # they may have become several, by what they hold
            tried = (some for number in range(1, MOST_JOINED + 1) for some in combinations(of_day, number))
            like = next((some for some in tried if _extent(some) == joined), ())
            new = [file for file in new if file not in like]
        return new

    def _stat(self) -> object:
        try:
            told = self.folder.manifest.stat()
        except FileNotFoundError:
            return None
        return told.st_ino, told.st_mtime_ns, told.st_size

    def _begin(self, manifest: Manifest) -> datetime | None:
        return None if manifest.rows <= self._most_hot else self._midnight()

    def _midnight(self) -> datetime:
        today = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
        return today - timedelta(days=DAYS)

    def _make_empty(self) -> None:
        columns = ", ".join(f"{what} AS {name}" for name, what in HOT.items())
        nothing = f"(SELECT {columns}, 0::BIGINT AS seen FROM ({rows_of(self._own, [])}))"
        keys = ", ".join(KEYS)
        self._run(
            f"CREATE OR REPLACE TABLE kept.kinds AS SELECT 0::INTEGER AS kind, {keys}, '' AS words FROM {nothing}"
        )
        for name in ("hot", "past"):
            self._run(
                f"CREATE OR REPLACE TABLE kept.{name} AS SELECT * EXCLUDE ({keys}), 0::INTEGER AS kind FROM {nothing}"
            )
        sums = sums_of(f"(SELECT * FROM {nothing})", step=DAY_MS)
        self._run(f"CREATE OR REPLACE TABLE kept.days AS SELECT ''::VARCHAR AS day, * FROM ({sums})")

    def _take(self, new: Sequence[DataFile], begin: datetime | None, number: int) -> int:
        """Take in the rows of files that are new to us, and return how many there were."""
        paths = [self.folder.path / file.path for file in new if begin is None or file.last >= begin]
        if not paths:
            return 0
        since = "true" if begin is None else f"event_time >= {literal(begin)}"
        columns = ", ".join(f"{what} AS {name}" for name, what in HOT.items())
        self._run(
            f"CREATE OR REPLACE TEMP TABLE fresh AS SELECT f.*, k.kind FROM (SELECT {columns}, {number}::BIGINT AS seen"
            f" FROM ({rows_of(self._own, paths)}) WHERE {since}"
            " QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY revision DESC) = 1) AS f"
            f" LEFT JOIN kept.kinds AS k ON {_SAME_KIND}"
        )
        # by a number, not by 49 characters: what is there is looked through at each change
        [(known,)] = self._run(
            "CREATE OR REPLACE TEMP TABLE known AS SELECT h.rowid AS place, h.event_id, h.revision FROM kept.hot AS h"
            " WHERE h.key IN (SELECT key FROM fresh)"
        )
        if known:
            self._run(
                "DELETE FROM fresh USING known WHERE fresh.event_id = known.event_id AND fresh.revision <= known.revision"
            )
            went = "WHERE rowid IN (SELECT place FROM known SEMI JOIN fresh USING (event_id))"
            self._run(f"INSERT INTO kept.past SELECT * REPLACE ({number}::BIGINT AS seen) FROM kept.hot {went}")
            self._run(f"DELETE FROM kept.hot {went}")
            for (cut,) in self._run(f"SELECT seen FROM kept.past ORDER BY seen DESC LIMIT 1 OFFSET {MOST_PAST}"):
                self.whole = int(str(cut))
                self._run(f"DELETE FROM kept.past WHERE seen <= {cut}")
        keys, of_kinds = ", ".join(KEYS), "fresh"
        if self._run("SELECT 1 FROM fresh WHERE kind IS NULL LIMIT 1"):
            self._run(
                "INSERT INTO kept.kinds SELECT (SELECT coalesce(max(kind), 0) FROM kept.kinds) + row_number() OVER (), *,"
                f" {WORDS} FROM (SELECT DISTINCT {keys} FROM fresh WHERE kind IS NULL)"
            )
            of_kinds = f"(SELECT f.* EXCLUDE (kind), k.kind FROM fresh AS f JOIN kept.kinds AS k ON {_SAME_KIND})"
        [(added,)] = self._run(f"INSERT INTO kept.hot BY NAME SELECT * EXCLUDE ({keys}) FROM {of_kinds}")
        self._run("DROP TABLE fresh")
        self._run("DROP TABLE known")
        return int(str(added))

    def _trim(self, manifest: Manifest) -> None:
        """Let go of what the store has let go of."""
        first = min((file.first for file in manifest.files), default=None)
        self._run(
            "DELETE FROM kept.hot" if first is None else f"DELETE FROM kept.hot WHERE event_time < {literal(first)}"
        )
        self._run("DELETE FROM kept.past")
        self._run("DELETE FROM kept.kinds WHERE kind NOT IN (SELECT kind FROM kept.hot)")


def _written(manifest: Manifest) -> int:
    return manifest.counts.get("written", 0)
