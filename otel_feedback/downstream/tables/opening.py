"""Events as tables of DuckDB: a relation `events`, and the views of `views/`, over log files, a store, or whatever adds lines.

    log files, a topic's records ──► read_json ──► a table of the columns that are wanted ──┐
    a store ──► its manifest ──► read_parquet, read when a query asks for it ───────────────┴──► events ──► outcomes ──► …

`events` has every record, repeats and revisions too: EVENT_COLUMNS, PLACE_COLUMNS and `event_time`, which is `end_time`,
else `timestamp`. What is no event never fails a read nor takes its neighbours with it: it is counted. A value that does
not fit its column is NULL. Nothing is downloaded, nothing is written but what DuckDB puts aside in a folder of its own.
For one thread; `interrupt()` of the connection may be called on any.
"""

from __future__ import annotations

import gzip
import json
import re
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import duckdb

from otel_feedback.downstream.tables.columns import EVENT_COLUMNS, PLACE_COLUMNS, struct_of
from otel_feedback.errors import FeedbackError
from otel_feedback.events.model import SCHEMA_VERSION, OutcomeStatus

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["VIEWS", "SourceError", "Tables", "columns_of", "manifest_files", "open_log", "open_store"]

VIEWS = ("outcomes", "windows", "runs", "failures", "costs", "producers")
WINDOW_S = 300
MANIFEST = "manifest.json"
ALL = {**EVENT_COLUMNS, **PLACE_COLUMNS}
ESSENTIAL = ("schema_version", "event_id", "revision", "timestamp", "end_time", "action_type", "status")
"""What tells whether a line is an event, and which of several counts."""
MOST_BYTES = 16 * 2**20
"""Of one line; DuckDB refuses what is longer, with the whole file."""
TRIES = 5

_MACROS = (
    # functions that Flink has and DuckDB has under other names
    "CREATE MACRO percentile(x, share) AS quantile_cont(x, share)",
    "CREATE MACRO to_timestamp_ltz(seconds, digits) AS to_timestamp(seconds)",
)
_WORDS = ", ".join(f"'{status.value}'" for status in OutcomeStatus)
_IS_EVENT = (
    f"coalesce(event_id <> '' AND action_type IS NOT NULL AND status IN ({_WORDS}) AND event_time IS NOT NULL"
    f" AND split_part(coalesce(schema_version, '1'), '.', 1) = '{SCHEMA_VERSION.partition('.')[0]}', false)"
)
_EVENT_TIME = 'coalesce(end_time, "timestamp")'


class SourceError(FeedbackError):
    """What events are to be read from is not there, or cannot be read; the message says what would be right."""


def text_of(view: str, window_s: int = WINDOW_S) -> str:
    """Return the SELECT of a view, with windows of so many seconds."""
    text = (Path(__file__).parent / "views" / f"{view}.sql").read_text(encoding="utf-8")
    return re.sub(rf"\b{WINDOW_S}\b", str(window_s), text)


def columns_of(text: str) -> set[str]:
    """Return the columns that a text of SQL names."""
    bare = re.sub("--.*", "", text)
    return set(re.findall(r"\w+", bare)) & ALL.keys()


class Tables:
    """A connection to DuckDB in which the events are, and what was read to get them there.

    Args:
        columns: Those of the events that will be asked for; None: all. The fewer they are the faster lines are read.
        window_s: How long a window of the view `windows` is, in seconds: a whole number of at least 1.
    """

    def __init__(self, columns: Iterable[str] | None = None, window_s: int = WINDOW_S) -> None:
        wanted = set(ALL if columns is None else columns) | set(ESSENTIAL)
        self.columns = [name for name in ALL if name in wanted]
        self.window_s = window_s
        self.unread = 0
        """Lines, or records, that are no events."""
        self.damaged: list[Path] = []
        """Compressed files that end early, or are none: what they have is read as far as it goes."""
        self._folder = tempfile.TemporaryDirectory(prefix="otel-feedback-tables-")
        self.connection = duckdb.connect(config={
            "autoinstall_known_extensions": "false", "autoload_known_extensions": "true",
            "temp_directory": self._folder.name, "preserve_insertion_order": "false",
        })  # fmt: skip
        self.connection.execute("SET TimeZone = 'UTC'")
        for macro in _MACROS:
            self.connection.execute(macro)
        self.folder = Path(self._folder.name)
        """A folder that is gone with this."""

    def make_views(self) -> None:
        """Make the views that the columns suffice for, over `events`."""
        seen = set(self.columns)
        for view in VIEWS:
            text = text_of(view, self.window_s)
            if columns_of(text) <= seen:
                if view == "outcomes":
                    text = f"SELECT * EXCLUDE (place_among_revisions) FROM ({text})"
                self.connection.execute(f"CREATE OR REPLACE VIEW {view} AS {text}")

    # -- lines ---------------------------------------------------------------------------------------------------

    def make_table(self) -> None:
        """Make `events` a table without rows, and the views on it."""
        names = ", ".join(f'"{name}" {ALL[name]}' for name in self.columns)
        self.connection.execute(
            f"CREATE TABLE lines ({names}, event_time TIMESTAMP WITH TIME ZONE, is_event BOOLEAN);"
            "CREATE VIEW events AS SELECT * EXCLUDE (is_event) FROM lines WHERE is_event"
        )
        self.make_views()

    def add_lines(self, paths: Sequence[Path], *, with_places: bool = False) -> None:
        """Add the events of files of JSON lines.

        Args:
            paths: The files, plain or as `.gz`.
            with_places: The lines have PLACE_COLUMNS, too; else `source` is the path and the others are NULL.

        Raises:
            SourceError: A file is not there, or may not be read.
        """
        try:
            self._add(paths, with_places=with_places)
        except duckdb.IOException as exc:
            damaged = [path for path in paths if path.suffix == ".gz" and not self._is_whole(path)]
            if not damaged:
                raise SourceError(f"cannot read {_said(paths)}: {_first_line(exc)}") from exc
            self._add([path for path in paths if path not in damaged], with_places=with_places)
            for path in damaged:
                self._add([self._salvaged(path)], with_places=with_places, source=path)
                self.damaged.append(path)

    def _add(self, paths: Sequence[Path], *, with_places: bool, source: Path | None = None) -> None:
        if not paths:
            return
        fields = {name: ALL[name] for name in self.columns if with_places or name not in PLACE_COLUMNS}
        values = [_value(name, with_places=with_places, source=source) for name in self.columns]
        files = ", ".join(_quoted(str(path)) for path in paths)
        self.connection.execute(
            f"INSERT INTO lines SELECT *, {_IS_EVENT} FROM (SELECT {', '.join(values)}, {_EVENT_TIME} AS event_time"
            f" FROM read_json([{files}], format='newline_delimited', columns={struct_of(fields)}, ignore_errors=true,"
            f" maximum_object_size={MOST_BYTES}, filename='file_of_line'))"
        )

    def _is_whole(self, path: Path) -> bool:
        return not any(is_damaged for _, is_damaged in _unpacked(path))

    def _salvaged(self, path: Path) -> Path:
        """Return a file with what can be unpacked of one."""
        salvaged = self.folder / f"salvaged-{len(self.damaged)}"
        with salvaged.open("wb") as file:
            file.writelines(data for data, _ in _unpacked(path))
        return salvaged

    def count_unread(self) -> None:
        """Count what was added and is no event, and let go of it."""
        self.unread += self.query("SELECT count(*) FROM lines WHERE NOT is_event")[0][0]
        if self.unread:
            self.connection.execute("DELETE FROM lines WHERE NOT is_event")

    def query(self, text: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return self.connection.execute(text, list(parameters)).fetchall()

    def close(self) -> None:
        """Close the connection, and remove what was put aside."""
        self.connection.close()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


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
        tables.add_lines(paths)
        tables.count_unread()
    except BaseException:
        tables.close()
        raise
    return tables


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
                _make_events(tables, files)
                break
            except duckdb.IOException as exc:  # made into another file meanwhile
                if tried == TRIES:
                    raise SourceError(f"cannot read the store {folder}: {_first_line(exc)}") from exc
        tables.make_views()
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


def _make_events(tables: Tables, files: Sequence[Path]) -> None:
    there: set[str] = set()
    scan = ""
    if files:
        names = ", ".join(_quoted(str(file)) for file in files)
        scan = f"FROM read_parquet([{names}], union_by_name=true, hive_partitioning=false)"
        there = {name for name, *_ in tables.query(f"DESCRIBE SELECT * {scan}")}
    columns = [f'"{name}"' if name in there else f'NULL::{kind} AS "{name}"' for name, kind in ALL.items()]
    newer = [f'"{name}"' for name in sorted(there - ALL.keys())]  # of a store that a newer version writes
    inner = f"SELECT {', '.join(columns + newer)} {scan or 'LIMIT 0'}"
    tables.connection.execute(f"CREATE OR REPLACE VIEW events AS SELECT *, {_EVENT_TIME} AS event_time FROM ({inner})")


def _value(name: str, *, with_places: bool, source: Path | None) -> str:
    if name == "revision":  # the first outcome, where nobody says
        return 'coalesce("revision", 1) AS "revision"'
    if with_places or name not in PLACE_COLUMNS:
        return f'"{name}"'
    if name != "source":
        return f"NULL::{ALL[name]} AS {name}"
    return f"{'file_of_line' if source is None else _quoted(str(source))} AS source"


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


def _quoted(text: str) -> str:
    escaped = text.replace("'", "''")
    return f"'{escaped}'"


def _said(paths: Sequence[Path]) -> str:
    return str(paths[0]) if len(paths) == 1 else f"{len(paths)} files"


def _first_line(exc: Exception) -> str:
    return str(exc).partition("\n")[0]
