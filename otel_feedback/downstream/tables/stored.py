"""A store's folder as tables: the files that its manifest names, read when a query asks for them.

    newest, one row an event ────────────────────┬─ but where a record of the event is higher ─┐
    records, as they came ──► highest revision ──┴─ but where the newest is as high ───────────┴──► outcomes
    outdated ──► only in events
    feedback ──► joined to outcomes, where there is any

So only the last few files are looked through for revisions, whatever there is besides: of the newest a short key is read once
more, not their rows. A file that cannot be read is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from otel_feedback.downstream.tables.columns import FEEDBACK_COLUMNS, KEY_COLUMNS, KEY_TYPE, PIPELINE_COLUMNS
from otel_feedback.downstream.tables.harm import harm_of
from otel_feedback.downstream.tables.tables import (
    ALL_COLUMNS,
    EVENT_TIME,
    WINDOW_S,
    SourceError,
    Tables,
    first_line,
    highest,
    quoted,
)

__all__ = ["feedback_rows", "manifest_files", "open_store", "read_until", "rows_of"]

MANIFEST, FEEDBACK = "manifest.json", "feedback"
TRIES = 5
RECORDS, NEWEST, OUTDATED = "records", "newest", "outdated"
KEYED = "newest, with keys"
KINDS = (RECORDS, NEWEST, KEYED, OUTDATED)
_KNOWN_BY = {
    kind: {**dict.fromkeys(names, of), "revision": "BIGINT"}
    for kind, names, of in (
        (KEYED, KEY_COLUMNS, KEY_TYPE), (NEWEST, ("event_id",), "VARCHAR"), (RECORDS, ("event_id",), "VARCHAR"),
    )
}  # fmt: skip
_KNOWN_BY[RECORDS] |= dict.fromkeys(KEY_COLUMNS, KEY_TYPE)
_KEYS = dict.fromkeys(KEY_COLUMNS, KEY_TYPE)
_WITHOUT_KEYS = f" EXCLUDE ({', '.join(KEY_COLUMNS)})"


def open_store(folder: Path, since: datetime | None = None, window_s: int = WINDOW_S) -> Tables:
    """Return the events of a store; they are read when they are asked for, as they were when this was called.

    Args:
        folder: The store's.
        since: Files without an event of this time or later may be left out.
        window_s: How long a window is, in seconds.

    Raises:
        SourceError: There is no store, or its manifest is none.
    """
    tables = Tables(None, window_s)
    try:
        stored = _Stored(tables, folder, since)
        stored.open()
        tables.mend = stored.mend
    except BaseException:
        tables.close()
        raise
    return tables


class _Stored:
    """The files of a store, and views on them: `stored_events`, `stored_outcomes`, `stored_feedback`, and one for each of
    PIPELINE_COLUMNS.

    All others are views on these, which can be made of other files at any time.
    """

    def __init__(self, tables: Tables, folder: Path, since: datetime | None) -> None:
        self._tables = tables
        self._folder = folder
        self._since = since
        self._told: Mapping[str, Any] = {}
        self._files: Mapping[Path, str] = {}
        self._has_views = False

    def open(self) -> None:
        """Make the views; where a file was made into another meanwhile, or cannot be read, of what there is then."""
        for tried in range(1, TRIES + 1):
            self._files = self._named()
            try:
                self._make()
                return
            except duckdb.Error as exc:
                if not self._leave_out_harmed() and tried == TRIES:
                    raise SourceError(f"cannot read the store {self._folder}: {first_line(exc)}") from exc

    def mend(self) -> bool:
        """Make the views of what can be read now; False where that is what they were made of."""
        if self._named().keys() == self._files.keys() and not self._leave_out_harmed():
            return False
        self.open()
        return True

    def _named(self) -> Mapping[Path, str]:
        """Return the files that the manifest names now, with what they hold: of events, and, by table, of the pipeline."""
        self._told = told = _manifest(self._folder)
        files = {self._folder / file["path"]: _kind_of(file) for file in _since(told["files"], self._since)}
        for file in told.get("notices", []):
            table = file["path"].split("/")[0]
            # feedback may have been given before what it is about ended, and the newest of a rater tells what does not count
            if table == FEEDBACK or _since([file], self._since):
                files[self._folder / file["path"]] = table
        return {path: holds for path, holds in files.items() if path not in self._tables.left_out}

    def _leave_out_harmed(self) -> bool:
        """Take note of what cannot be read; what the manifest no longer names is not harmed, but was made into another."""
        harmed = {path: why for path in self._files if (why := harm_of(self._tables.connection, path)) is not None}
        named = self._named()
        new = {path: why for path, why in harmed.items() if path in named}
        self._tables.left_out |= new
        return bool(new)

    def _make(self) -> None:
        by_kind = {kind: [path for path, holds in self._files.items() if holds == kind] for kind in KINDS}
        connection = self._tables.connection
        there = {kind: _columns_of(connection, by_kind[kind]) for kind in KINDS}
        columns = _all_columns({name: kind for found in there.values() for name, kind in found.items()})
        scans = {kind: _timed(_select(files, there[kind], columns)) for kind, files in by_kind.items() if files}
        nothing = _timed(_select([], {}, columns))
        for name, kinds in PIPELINE_COLUMNS.items():
            files = [path for path, holds in self._files.items() if holds == name]
            is_told = name == "reading" and self._told.get("reading") is not None
            text = _reading(self._told) if is_told else _select(files, _columns_of(connection, files), kinds)
            self._view(f"stored_{name}", text)
        given = [path for path, holds in self._files.items() if holds == FEEDBACK]
        self._view("stored_feedback", feedback_rows(connection, given))
        if not self._has_views:
            # each view is bound when it is made, with all that it is on: over many files that took half of the opening
            self._view("stored_events", nothing)
            self._view("stored_outcomes", nothing)
            pipeline = {name: f"SELECT * FROM stored_{name}" for name in PIPELINE_COLUMNS}
            feedback = "SELECT * FROM stored_feedback" if given else None
            self._tables.make_views("SELECT * FROM stored_events", "SELECT * FROM stored_outcomes", pipeline, feedback)
        self._view("stored_events", " UNION ALL ".join(scans.values()) or nothing)
        for kind in scans.keys() & {KEYED, RECORDS}:
            scans[kind] = _timed(_select(by_kind[kind], there[kind], {**columns, **_KEYS}))
        known = {kind: _select(by_kind[kind], there[kind], _KNOWN_BY[kind]) for kind in scans if kind in _KNOWN_BY}
        self._view("stored_outcomes", _outcomes(scans, known) or nothing)
        self._has_views = True

    def _view(self, name: str, text: str) -> None:
        self._tables.connection.execute(f"CREATE OR REPLACE VIEW {name} AS {text}")


def manifest_files(folder: Path, since: datetime | None = None) -> list[Path]:
    """Return the files of events of a store, by its manifest; those that end before a moment may be left out.

    Raises:
        SourceError: There is no store, or its manifest is none.
    """
    return [folder / file["path"] for file in _since(_manifest(folder)["files"], since)]


def read_until(folder: Path) -> datetime | None:
    """Return until when a store has all that there was to be read; None where an older version wrote it, which did not say.

    One that has not read all of it since it was begun has nothing wholly, since the beginning of time.

    Raises:
        SourceError: There is no store, or its manifest is none.
    """
    reading = _manifest(folder).get("reading")
    return None if reading is None else _moment(reading["until"] or "1970-01-01T00:00:00Z")


def rows_of(connection: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> str:
    """Return the SELECT of the rows of a store's files: ALL_COLUMNS, those of a newer version, and `event_time`.

    Raises:
        duckdb.Error: A file cannot be read.
    """
    there = _columns_of(connection, files)
    return _timed(_select(files, there, _all_columns(there)))


def feedback_rows(connection: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> str:
    """Return the SELECT of the rows of a store's files of feedback.

    Raises:
        duckdb.Error: A file cannot be read.
    """
    return _select(files, _columns_of(connection, files), FEEDBACK_COLUMNS)


def _all_columns(there: Mapping[str, str]) -> Mapping[str, str]:
    newer = {name: kind for name, kind in sorted(there.items()) if name not in ALL_COLUMNS and name not in KEY_COLUMNS}
    return {**ALL_COLUMNS, **newer}


def _kind_of(file: Mapping[str, Any]) -> str:
    holds: str = file.get("holds", RECORDS)
    return KEYED if holds == NEWEST and file.get("has_keys", False) else holds


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        told: dict[str, Any] = json.loads(path.read_bytes())
        for file in told["files"]:
            Path(file["path"])
            _moment(file.get("last") or "0001-01-01")
    except FileNotFoundError:
        raise SourceError(f"{folder} is no store: it has no {MANIFEST}") from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as exc:
        raise SourceError(f"{path} cannot be read: {exc}") from exc
    return told


def _since(files: Sequence[Mapping[str, Any]], since: datetime | None) -> list[Mapping[str, Any]]:
    return [file for file in files if since is None or file.get("last") is None or _moment(file["last"]) >= since]


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text))


def _scan(files: Sequence[Path]) -> str:
    names = ", ".join(quoted(str(file)) for file in files)
    return f"FROM read_parquet([{names}], union_by_name=true, hive_partitioning=false)" if files else "LIMIT 0"


def _columns_of(connection: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> dict[str, str]:
    if not files:
        return {}
    return {name: kind for name, kind, *_ in connection.execute(f"DESCRIBE SELECT * {_scan(files)}").fetchall()}


def _select(files: Sequence[Path], there: Mapping[str, str], columns: Mapping[str, str]) -> str:
    values = ", ".join(_value(name, kind, there.get(name)) for name, kind in columns.items())
    return f"SELECT {values} {_scan(files)}"


def _value(name: str, kind: str, found: str | None) -> str:
    if found is None:
        return f'NULL::{kind} AS "{name}"'
    return f'"{name}"' if found == kind else f'TRY_CAST("{name}" AS {kind}) AS "{name}"'


def _timed(rows: str) -> str:
    return f"SELECT *, {EVENT_TIME} AS event_time FROM ({rows})"


def _reading(told: Mapping[str, Any]) -> str:
    """Return the one row of `reading`, as SQL."""
    reading = told["reading"]
    newest = max((file["last"] for file in told["files"] if file.get("last")), key=_moment, default=None)
    values = (reading["source"], reading["at"], reading["until"], reading["behind"], newest)
    return "SELECT " + ", ".join(
        f'{"NULL" if value is None else quoted(str(value))}::{kind} AS "{name}"'
        for (name, kind), value in zip(PIPELINE_COLUMNS["reading"].items(), values, strict=True)
    )


def _outcomes(scans: Mapping[str, str], known: Mapping[str, str]) -> str | None:
    """Return the SELECT of the outcomes; each join's smaller side are the records.

    Args:
        scans: By kind the SELECT of the rows, of the keyed ones with their keys.
        known: By kind the SELECT of what events are known by, and revisions.
    """
    records = scans.get(RECORDS)
    # those that were sorted out once have theirs: to make one takes as long as to read a row
    made = ", ".join(f"coalesce({name}, {key}) AS {name}" for name, key in KEY_COLUMNS.items())
    keyed = f"SELECT * REPLACE ({made}) FROM"
    parts: list[str] = []
    others = ""
    for kind, excluded in ((KEYED, _WITHOUT_KEYS), (NEWEST, "")):
        if kind not in scans:
            continue
        part = f"SELECT n.*{excluded} FROM ({scans[kind]}) AS n"
        if records is not None:
            same = " AND ".join(f"n.{name} = r.{name}" for name in _KNOWN_BY[kind] if name != "revision")
            part += f" ANTI JOIN ({keyed} ({known[RECORDS]})) AS r ON {same} AND r.revision > n.revision"
            others += f" ANTI JOIN ({known[kind]}) AS n ON {same} AND n.revision >= r.revision"
        parts.append(part)
    if records is not None:
        parts.append(f"SELECT r.*{_WITHOUT_KEYS} FROM ({keyed} ({highest(records)})) AS r{others}")
    return " UNION ALL ".join(parts) or None
