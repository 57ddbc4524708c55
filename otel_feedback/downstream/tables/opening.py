"""From where events are to where they can be asked for: log files, a store's folder, a topic; each gives `Tables`.

What is no event never fails a read nor takes its neighbours with it: it is counted, as `unread`. A value that does not fit
its column is NULL.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

import duckdb

from otel_feedback.downstream.tables.tables import ALL_COLUMNS, EVENT_TIME, WINDOW_S, Tables, quoted
from otel_feedback.errors import FeedbackError

__all__ = ["SourceError", "add_log", "manifest_files", "open_log", "open_store", "rows_of"]

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
            files = manifest_files(folder, since)
            try:
                tables.make_views(rows_of(tables.connection, files))
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
    path = folder / MANIFEST
    try:
        told = json.loads(path.read_bytes())
        files = [(folder / each["path"], each.get("last")) for each in told["files"]]
        return [
            file for file, last in files
            if since is None or last is None or datetime.fromisoformat(re.sub("[zZ]$", "+00:00", last)) >= since
        ]  # fmt: skip
    except FileNotFoundError:
        raise SourceError(f"{folder} is no store: it has no {MANIFEST}") from None
    except (OSError, ValueError, LookupError, TypeError) as exc:
        raise SourceError(f"{path} cannot be read: {exc}") from exc


def rows_of(connection: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> str:
    """Return the SELECT of the rows of a store's files: ALL_COLUMNS, those of a newer version, and `event_time`.

    Raises:
        duckdb.Error: A file cannot be read.
    """
    there: set[str] = set()
    scan = "LIMIT 0"
    if files:
        names = ", ".join(quoted(str(file)) for file in files)
        scan = f"FROM read_parquet([{names}], union_by_name=true, hive_partitioning=false)"
        there = {name for name, *_ in connection.execute(f"DESCRIBE SELECT * {scan}").fetchall()}
    columns = [f'"{name}"' if name in there else f'NULL::{kind} AS "{name}"' for name, kind in ALL_COLUMNS.items()]
    newer = [f'"{name}"' for name in sorted(there - ALL_COLUMNS.keys())]  # of a store that a newer version writes
    return f"SELECT *, {EVENT_TIME} AS event_time FROM (SELECT {', '.join(columns + newer)} {scan})"


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
