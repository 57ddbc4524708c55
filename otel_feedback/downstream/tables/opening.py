"""From where events are to where they can be asked for: log files, a store's folder, a topic; each gives `Tables`.

What is no event never fails a read nor takes its neighbours with it: it is counted, as `unread`. A value that does not fit
its column is NULL.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from otel_feedback.downstream.tables.columns import PIPELINE_COLUMNS
from otel_feedback.downstream.tables.tables import ALL_COLUMNS, EVENT_TIME, WINDOW_S, Tables, quoted
from otel_feedback.errors import FeedbackError

__all__ = ["SourceError", "add_log", "manifest_files", "open_log", "open_store", "read_until", "rows_of"]

MANIFEST = "manifest.json"
TRIES = 5


class SourceError(FeedbackError):
    """What events are to be read from is not there, or cannot be read; the message says what would be right."""


def open_log(paths: Sequence[Path], columns: Iterable[str] | None = None, window_s: int = WINDOW_S) -> Tables:
    """Read log files, plain or as `.gz`, and return the events in them.

    Args:
        paths: The files.
        columns: Those that will be asked for; None: all.
        window_s: How long a window is, in seconds.

    Raises:
        SourceError: A file is not there, or may not be read.
    """
    tables = Tables(columns, window_s)
    try:
        tables.make_table()
        add_log(tables, paths)
    except BaseException:
        tables.close()
        raise
    return tables


def add_log(tables: Tables, paths: Sequence[Path]) -> None:
    """Add the events of log files; of a compressed one that ends early what there is.

    Raises:
        SourceError: A file is not there, or may not be read.
    """
    try:
        tables.add_lines(paths)
    except duckdb.IOException as exc:
        damaged = [path for path in paths if path.suffix == ".gz" and not _is_whole(path)]
        if not damaged:
            raise SourceError(f"cannot read {_said(paths)}: {_first_line(exc)}") from exc
        whole = [path for path in paths if path not in damaged]
        if whole:
            tables.add_lines(whole)
        for path in damaged:
            salvaged = tables.folder / f"salvaged-{len(tables.damaged)}"
            with salvaged.open("wb") as file:
                file.writelines(data for data, _ in _unpacked(path))
            tables.add_lines([salvaged], source=path)
            tables.damaged.append(path)
    tables.count_unread()


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
        for tried in range(1, TRIES + 1):
            told = _manifest(folder)
            try:
                tables.make_views(
                    rows_of(tables.connection, _since(folder, told["files"], since)),
                    _pipeline(tables, folder, told, since),
                )
                break
            except duckdb.IOException as exc:  # made into another file meanwhile
                if tried == TRIES:
                    raise SourceError(f"cannot read the store {folder}: {_first_line(exc)}") from exc
    except BaseException:
        tables.close()
        raise
    return tables


def manifest_files(folder: Path, since: datetime | None = None) -> list[Path]:
    """Return the files of a store, by its manifest; those that end before a moment may be left out.

    Raises:
        SourceError: There is no store, or its manifest is none.
    """
    return _since(folder, _manifest(folder)["files"], since)


def read_until(folder: Path) -> datetime | None:
    """Return until when a store has all that there was to be read; None where an older version wrote it, which did not say.

    One that has not read all of it since it was begun has nothing wholly, since the beginning of time.

    Raises:
        SourceError: There is no store, or its manifest is none.
    """
    reading = _manifest(folder).get("reading")
    return None if reading is None else _moment(reading["until"] or "1970-01-01T00:00:00Z")


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        told: dict[str, Any] = json.loads(path.read_bytes())
        for file in told["files"]:
            Path(file["path"])
            _moment(file.get("last") or "0001-01-01")
    except FileNotFoundError:
        raise SourceError(f"{folder} is no store: it has no {MANIFEST}") from None
    except (OSError, ValueError, LookupError, TypeError) as exc:
        raise SourceError(f"{path} cannot be read: {exc}") from exc
    return told


def rows_of(connection: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> str:
    """Return the SELECT of the rows of a store's files: ALL_COLUMNS, those of a newer version, and `event_time`.

    Raises:
        duckdb.Error: A file cannot be read.
    """
    return f"SELECT *, {EVENT_TIME} AS event_time FROM ({_select(connection, files, ALL_COLUMNS)})"


def _since(folder: Path, files: Sequence[Mapping[str, Any]], since: datetime | None) -> list[Path]:
    return [
        folder / file["path"] for file in files
        if since is None or file.get("last") is None or _moment(file["last"]) >= since
    ]  # fmt: skip


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text))


def _pipeline(tables: Tables, folder: Path, told: Mapping[str, Any], since: datetime | None) -> dict[str, str]:
    """Return what the tables are that a store has beside the events, as SQL."""
    found: dict[str, str] = {}
    for name in ("accounts", "dead_letters"):
        files = [file for file in told.get("notices", []) if file["path"].startswith(f"{name}/")]
        found[name] = _select(tables.connection, _since(folder, files, since), PIPELINE_COLUMNS[name])
    reading = told.get("reading")
    if reading is not None:
        newest = max((file["last"] for file in told["files"] if file.get("last")), key=_moment, default=None)
        values = (reading["source"], reading["at"], reading["until"], reading["behind"], newest)
        found["reading"] = "SELECT " + ", ".join(
            f'{"NULL" if value is None else quoted(str(value))}::{kind} AS "{name}"'
            for (name, kind), value in zip(PIPELINE_COLUMNS["reading"].items(), values, strict=True)
        )
    return found


def _select(connection: duckdb.DuckDBPyConnection, files: Sequence[Path], columns: Mapping[str, str]) -> str:
    """Return a SELECT of the rows of files, with these columns, and others that they have."""
    there: set[str] = set()
    scan = "LIMIT 0"
    if files:
        names = ", ".join(quoted(str(file)) for file in files)
        scan = f"FROM read_parquet([{names}], union_by_name=true, hive_partitioning=false)"
        there = {name for name, *_ in connection.execute(f"DESCRIBE SELECT * {scan}").fetchall()}
    known = [f'"{name}"' if name in there else f'NULL::{kind} AS "{name}"' for name, kind in columns.items()]
    newer = [f'"{name}"' for name in sorted(there - columns.keys())]  # of a store that a newer version writes
    return f"SELECT {', '.join(known + newer)} {scan}"


def _is_whole(path: Path) -> bool:
    return not any(is_damaged for _, is_damaged in _unpacked(path))


def _unpacked(path: Path) -> Iterator[tuple[bytes, bool]]:
    """Yield what a compressed file holds, and whether it ends there though it should not."""
    try:
        with gzip.open(path) as file:
            while data := file.read1(2**20):
                yield data, False
    except (EOFError, OSError, zlib.error) as exc:
        if isinstance(exc, OSError) and exc.errno is not None:
            raise SourceError(f"cannot read {path}: {exc.strerror}") from exc
        yield b"", True


def _said(paths: Sequence[Path]) -> str:
    return str(paths[0]) if len(paths) == 1 else f"{len(paths)} files"


def _first_line(exc: Exception) -> str:
    return str(exc).partition("\n")[0]
