"""Parquet files by DuckDB: lines written by day, files joined, rows taken out. Each file is made in `unfinished/` and then published.

Input: lines of `rows.py`, or files of the store. Output: `DataFile`s that are in their places and not yet in a manifest.
For one thread. DuckDB gives the interpreter lock away while it works, so whoever reads the topic goes on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import msgspec

from otel_feedback.downstream.store.erasures import Rule, matching
from otel_feedback.downstream.store.folder import ERASED, EVENTS, FEEDBACK, StoreFolder, free_name, publish
from otel_feedback.downstream.store.forms import FORMS
from otel_feedback.downstream.store.manifest import NEWEST, OUTDATED, RECORDS, DataFile, Manifest, Rollup
from otel_feedback.downstream.store.rollups import current, day_after, day_sums
from otel_feedback.downstream.tables.columns import KEY_COLUMNS, KEY_TYPE
from otel_feedback.downstream.tables.harm import harm_of

__all__ = ["ParquetFiles", "is_about_data"]

BY_TENANT = " ORDER BY tenant_id, coalesce(end_time, timestamp)"
"""How rows lie in a file that was sorted out: what is read of one tenant are few groups of rows, and all else as before."""

LEAST_MEMORY_MB = 192
"""What DuckDB may take for a file of usual events."""
MOST_MEMORY_MB = 2_048
"""What it may take for one of the largest, of which a group of rows alone has some hundred megabytes."""
THREADS = 2
_Made = TypeVar("_Made")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

_WRITTEN = "(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE 30720)"
"""DuckDB's own size of a row group has 170 MB of events in memory; its own level takes half as long again for 1 % fewer bytes."""
_LEAST_OBJECT_BYTES = 1 << 20
_KEYS, _KEY_NAMES = ", ".join(f"{key} AS {name}" for name, key in KEY_COLUMNS.items()), ", ".join(KEY_COLUMNS)
_SAME_KEYS = " AND ".join(f"known.{name} = sorted.{name}" for name in KEY_COLUMNS)
MOST_SORTED = 2_000_000
"""So many rows are sorted out at a time; files with more stay what they are."""


def is_about_data(exc: Exception) -> bool:
    """Tell whether DuckDB refused what it read, and not to write, which may pass."""
    return isinstance(exc, duckdb.DataError | duckdb.InvalidInputException | duckdb.ConversionException)


class ParquetFiles:
    """Makes the files of a store.

    Args:
        folder: The store, whose lock is held.
    """

    def __init__(self, folder: StoreFolder) -> None:
        self._folder = folder
        self._lines = folder.unfinished / "lines.json"
        self._database = duckdb.connect(
            config={
                "memory_limit": f"{LEAST_MEMORY_MB}MB",
                "threads": THREADS,
                "temp_directory": str(folder.unfinished / "spill"),
                "autoinstall_known_extensions": False,
                "python_enable_replacements": False,
            }
        )
        self._run("SET TimeZone = 'UTC'")
        self._run("SET enable_progress_bar = false")  # it would be drawn on stdout

    def close(self) -> None:
        """Give up what DuckDB holds."""
        self._database.close()

    def _run(self, statement: str, given: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self._database.execute(statement, list(given)).fetchall()

    def _with_room(self, attempt: Callable[[], _Made]) -> _Made:
        """Attempt with little memory, and where rows are too large for that, again with twice as much."""
        memory_mb = LEAST_MEMORY_MB
        try:
            while True:
                try:
                    return attempt()
                except duckdb.OutOfMemoryException:
                    if memory_mb >= MOST_MEMORY_MB:
                        raise
                    memory_mb *= 2
                    self._run(f"SET memory_limit = '{memory_mb}MB'")
        finally:
            if memory_mb > LEAST_MEMORY_MB:
                with contextlib.suppress(duckdb.Error):  # it may hold more still; then the next time
                    self._run(f"SET memory_limit = '{LEAST_MEMORY_MB}MB'")

    def write(
        self, lines: Sequence[bytes], rules: list[Rule], refuse: Callable[[bytes, str], None], table: str = EVENTS,
        erased: Sequence[DataFile] = (),
    ) -> tuple[list[DataFile], int]:  # fmt: skip
        """Write lines as rows of a table, a file a day.

        Args:
            lines: Of `rows.py`, of `notices.py`, or of feedback.
            rules: Rows of which are not written.
            refuse: Told of each line that DuckDB does not take, and why, though it should.
            table: Which.
            erased: Files that say which events are erased, for feedback.

        Returns:
            The files, one more where the rules have kept out events: of the table `erased`; and how many rows they have.

        Raises:
            OSError: The disk does not take it.
            duckdb.Error: The same, as DuckDB says it.
        """
        try:
            return self._with_room(lambda: self._write(lines, rules, table, erased))
        except duckdb.Error as exc:
            if not is_about_data(exc):
                raise
            if len(lines) == 1:
                refuse(lines[0], " ".join(str(exc).split())[:300])
                return [], 0
            middle = len(lines) // 2
            first, erased_first = self.write(lines[:middle], rules, refuse, table, erased)
            second, erased_second = self.write(lines[middle:], rules, refuse, table, erased)
            return first + second, erased_first + erased_second

    def _write(
        self, lines: Sequence[bytes], rules: list[Rule], table: str, erased: Sequence[DataFile]
    ) -> tuple[list[DataFile], int]:
        form = FORMS[table]
        try:
            with self._lines.open("wb") as spool:
                spool.writelines(lines)
            most = max(_LEAST_OBJECT_BYTES, 2 * max(map(len, lines)))
            self._run(
                f"CREATE OR REPLACE TEMP TABLE batch AS SELECT {form.fields} FROM "
                f"read_json(?, format = 'newline_delimited', columns = {form.read}, maximum_object_size = {most})",
                [str(self._lines)],
            )
            made, kept_out = self._keep_out(rules, table, erased)
            days = self._run(f"SELECT {form.day} AS day, {form.told} FROM batch GROUP BY day ORDER BY day")
            for day, rows, first_us, last_us in days:
                rest = f" WHERE {form.day} = DATE '{day}'" if len(days) > 1 else ""
                made.append(self._make(table, f"SELECT * FROM batch{rest}", str(day), (rows, first_us, last_us)))
            return made, kept_out
        finally:
            with contextlib.suppress(OSError):
                self._lines.unlink(missing_ok=True)
            self._run("DROP TABLE IF EXISTS batch")

    def _keep_out(self, rules: list[Rule], table: str, erased: Sequence[DataFile]) -> tuple[list[DataFile], int]:
        """Take out of the batch what it must not have; return the file that says what that was, if any, and how many rows."""
        if not rules:
            return [], 0
        condition, given = self._about(table, rules, erased)
        noted = self._noted("batch", condition, given) if table == EVENTS else []
        return noted, int(self._run(f"DELETE FROM batch WHERE {condition}", given)[0][0])

    def _about(self, table: str, rules: Sequence[Rule], erased: Sequence[DataFile]) -> tuple[str, list[object]]:
        """Return the condition for rows that go, never NULL, and its parameters."""
        condition, given = matching(rules, table)
        if table == FEEDBACK and erased:
            ids = self._rows_of(erased)
            condition = (
                f"({condition} OR coalesce(md5(event_id) IN (SELECT event_md5 FROM {ids}), false)"
                f" OR (target = 'run' AND coalesce(md5(run_id) IN (SELECT run_md5 FROM {ids} WHERE run_md5 IS NOT NULL), false)))"
            )
        return condition, given

    def _noted(self, rows: str, condition: str, given: Sequence[object]) -> list[DataFile]:
        """Write which events are about to be erased."""
        now = datetime.now(timezone.utc)
        [(count,)] = self._run(f"SELECT count(*) FROM {rows} WHERE {condition}", given)
        if not count:
            return []
        at = f"CAST('{now.isoformat()}' AS TIMESTAMP WITH TIME ZONE)"
        ids = f"SELECT {at} AS timestamp, md5(event_id) AS event_md5, md5(run_id) AS run_md5 FROM {rows} WHERE {condition}"
        now_us = (now - _EPOCH) // timedelta(microseconds=1)
        return [self._make(ERASED, ids, now.strftime("%Y-%m-%d"), (count, now_us, now_us), given)]

    def join(self, files: Sequence[DataFile], newest: Sequence[DataFile]) -> list[DataFile]:
        """Write the rows of several files of one table and day into one, or into one for each thing that a file can hold.

        Older files get the columns that they lack.

        Args:
            files: Which hold the same.
            newest: All files of the store that hold the newest.

        Raises:
            OSError, duckdb.Error: It cannot be written, or a file cannot be read.
        """
        return self._with_room(lambda: self._join(files, newest))

    def _join(self, files: Sequence[DataFile], newest: Sequence[DataFile]) -> list[DataFile]:
        told = sum(file.rows for file in files), *_bounds(files)
        table, day, holds = files[0].table, files[0].day, files[0].holds
        if table != EVENTS or holds != RECORDS or told[0] > MOST_SORTED:
            return [self._make(table, f"SELECT * FROM {self._rows_of(files)}", day, told, holds=holds)]
        made: list[DataFile] = []
        try:
            self._sort_out(files, newest)
            asked = f"SELECT holds, {FORMS[table].told} FROM sorted GROUP BY holds ORDER BY holds"
            for holds, *told in self._run(asked):
                # most rows are the newest: of those the others are looked up
                which = (
                    "ANTI JOIN (FROM sorted WHERE holds <> ?)"
                    if holds == NEWEST
                    else "SEMI JOIN (FROM sorted WHERE holds = ?)"
                )
                chosen = (
                    f"SELECT * EXCLUDE (filename, file_row_number) FROM {self._rows_of(files, with_places=True)} "
                    f"{which} AS others USING (filename, file_row_number)"
                )
                order, is_looked_up = BY_TENANT if holds == NEWEST else "", holds != OUTDATED
                made.append(self._make(table, chosen, day, told, [holds], holds, order, is_looked_up))
        except BaseException:
            for file in made:
                (self._folder.path / file.path).unlink(missing_ok=True)
            raise
        finally:
            self._run("DROP TABLE IF EXISTS sorted")
        return made

    def _sort_out(self, files: Sequence[DataFile], newest: Sequence[DataFile]) -> None:
        """Make a table `sorted` of where the rows of these files are, and what they are to the events of the store."""
        columns = f"event_id, {_KEYS}, revision, end_time, timestamp"
        self._run(
            f"CREATE OR REPLACE TEMP TABLE sorted AS SELECT filename, file_row_number, {columns}, "
            "row_number() OVER (PARTITION BY event_id ORDER BY revision DESC) AS place, "
            f"'{NEWEST}' AS holds FROM {self._rows_of(files, with_places=True)}"
        )
        self._run(f"UPDATE sorted SET holds = '{OUTDATED}' WHERE place > 1")
        for has_keys, columns, keys in ((True, _KEY_NAMES, _KEY_NAMES), (False, "event_id", _KEYS)):
            known = [file for file in newest if file.has_keys is has_keys]
            if known:
                # only these columns of them are read
                self._run(
                    f"UPDATE sorted SET holds = CASE WHEN sorted.revision > known.revision THEN '{RECORDS}' ELSE '{OUTDATED}' END "
                    f"FROM (SELECT {keys}, revision FROM {self._rows_of(known)} SEMI JOIN sorted USING ({columns}))"
                    f" AS known WHERE {_SAME_KEYS} AND place = 1"
                )

    def count(self, file: DataFile, rules: Sequence[Rule], erased: Sequence[DataFile] = ()) -> int:
        """Return how many rows of a file go, by rules, and, of feedback, by which events are erased."""
        condition, given = self._about(file.table, rules, erased)
        return int(self._run(f"SELECT count(*) FROM {self._rows_of([file])} WHERE {condition}", given)[0][0])

    def noted(self, file: DataFile, rules: Sequence[Rule]) -> list[DataFile]:
        """Write which events of a file the rules erase, for the feedback on them.

        Raises:
            OSError, duckdb.Error: It cannot be written, or the file cannot be read.
        """
        return self._with_room(lambda: self._noted(self._rows_of([file]), *matching(rules)))

    def without(self, file: DataFile, rules: Sequence[Rule], erased: Sequence[DataFile] = ()) -> DataFile | None:
        """Write what is left of a file into another, see `count`; None where that is nothing.

        Raises:
            OSError, duckdb.Error: It cannot be written, or the file cannot be read.
        """
        return self._with_room(lambda: self._without(file, rules, erased))

    def _without(self, file: DataFile, rules: Sequence[Rule], erased: Sequence[DataFile]) -> DataFile | None:
        condition, given = self._about(file.table, rules, erased)
        kept = f"FROM {self._rows_of([file])} WHERE NOT {condition}"
        [told] = self._run(f"SELECT {FORMS[file.table].told} {kept}", given)
        return self._make(file.table, f"SELECT * {kept}", file.day, told, given, file.holds) if told[0] else None

    def with_sums(self, manifest: Manifest, day: str) -> Manifest:
        """Write the sums of a day, and return the manifest with them.

        Raises:
            OSError, duckdb.Error: It cannot be written, or a file cannot be read.
        """
        files = [file for file in manifest.files if file.day in (day, day_after(day))]
        rows = sum(file.rows for file in files if file.day == day)
        sums = day_sums(self._rows_of(files), day)
        place = self._with_room(lambda: self._written(EVENTS, sums, day, ".rollup"))
        made = Rollup(day, str(place.relative_to(self._folder.path)), rows)
        others = [rollup for rollup in current(manifest) if rollup.day != day]
        return msgspec.structs.replace(manifest, rollups=[*others, made])

    def harm_of(self, file: DataFile) -> str | None:
        """Return what is wrong with a file that cannot be read; None where it can be, or where that may pass."""
        return harm_of(self._database, self._folder.path / file.path)

    def _rows_of(self, files: Sequence[DataFile], *, with_places: bool = False) -> str:
        """Return what to select from: the rows of these files, with all columns of today and all that they have.

        With places: also with the columns `filename` and `file_row_number`.
        """
        places = ", filename = true, file_row_number = true" if with_places else ""
        paths = ", ".join(_quoted(str(self._folder.path / file.path)) for file in files)
        return (
            f"(SELECT {FORMS[files[0].table].nothing} WHERE false UNION ALL BY NAME "
            f"SELECT * FROM read_parquet([{paths}], union_by_name = true, hive_partitioning = false{places}))"
        )

    def _make(
        self, table: str, query: str, day: str, told: Sequence[int], given: Sequence[object] = (), holds: Any = RECORDS,
        order: str = "", has_keys: bool = False,
    ) -> DataFile:  # fmt: skip
        has_keys |= holds == NEWEST
        place = self._written(table, (_with_keys(query) if has_keys else query) + order, day, ".parquet", given)
        rows, first_us, last_us = told
        path = str(place.relative_to(self._folder.path))
        return DataFile(path, rows, place.stat().st_size, _moment(first_us), _moment(last_us), holds, has_keys)

    def _written(self, table: str, query: str, day: str, suffix: str, given: Sequence[object] = ()) -> Path:
        name = free_name(suffix)
        made = self._folder.unfinished / name
        try:
            self._run(f"COPY ({query}) TO {_quoted(str(made))} {_WRITTEN}", given)
            place = self._folder.day(day, table) / name
            publish(made, place)
        except BaseException:
            with contextlib.suppress(OSError):  # it may be what the disk is full of
                made.unlink()
            raise
        return place


def _with_keys(query: str) -> str:
    """Return the SELECT of the rows of another one with KEY_COLUMNS, which they may have or lack."""
    nothing = ", ".join(f"NULL::{KEY_TYPE} AS {name}" for name in KEY_COLUMNS)
    made = ", ".join(f"coalesce({name}, {key}) AS {name}" for name, key in KEY_COLUMNS.items())
    return f"SELECT * REPLACE ({made}) FROM ({query} UNION ALL BY NAME SELECT {nothing} WHERE false)"


def _bounds(files: Sequence[DataFile]) -> tuple[int, int]:
    first, last = min(file.first for file in files), max(file.last for file in files)
    return (first - _EPOCH) // timedelta(microseconds=1), (last - _EPOCH) // timedelta(microseconds=1)


def _moment(us: int) -> datetime:
    try:
        return _EPOCH + timedelta(microseconds=us)
    except OverflowError:  # year 0, by its zone
        return datetime.min.replace(tzinfo=timezone.utc)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
