"""A connection to DuckDB with the events in it: a relation `events`, and the views of `views/` on it.

    lines, a topic's records ──► read_json ──► a table of the columns that are wanted ──┐
    a store's Parquet ──► read when a query asks for it ────────────────────────────────┴──► events ──► outcomes ──► …

`events` has every record, repeats and revisions too: EVENT_COLUMNS, PLACE_COLUMNS and `event_time`, which is `end_time`,
else `timestamp`. Nothing is downloaded, and nothing is written but what DuckDB puts aside in a folder of its own. For one
thread; `interrupt()` and `query_progress()` of the connection may be called on any.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import duckdb

from otel_feedback.downstream.tables.columns import PIPELINE_COLUMNS
from otel_feedback.downstream.tables.harm import may_be_harm
from otel_feedback.downstream.tables.joining import (
    JOINED_BY,
    add_feedback,
    feedback_in_log,
    make_joined,
    select_nothing,
)
from otel_feedback.downstream.tables.lines import ALL_COLUMNS, EVENT_TIME, quoted, select_of_lines
from otel_feedback.errors import FeedbackError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "ALL_COLUMNS", "EVENT_TIME", "QUIET", "VIEWS", "WINDOW_S", "Answer", "SourceError", "Tables", "answer_of", "any_of",
    "columns_of", "first_line", "highest", "quoted", "text_of",
]  # fmt: skip

Result = TypeVar("Result")

VIEWS = ("outcomes", "windows", "runs", "failures", "costs", "producers", "feedback")
WINDOW_S = 300
ESSENTIAL = ("schema_version", "event_id", "revision", "timestamp", "end_time", "action_type", "status")
"""What tells whether a line is an event, and which of several counts."""
QUIET = "SET enable_progress_bar = false"
"""For each connection: what takes DuckDB two seconds it would draw on stdout, also where that is a file."""
ZONED = "TIMESTAMP WITH TIME ZONE"
MENDED = 5
"""How often a query is tried again with other files at most."""

_MACROS = (
    # functions that Flink has and DuckDB has under other names
    "CREATE MACRO percentile(x, share) AS quantile_cont(x, share)",
    "CREATE MACRO to_timestamp_ltz(seconds, digits) AS to_timestamp(seconds)",
)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def text_of(view: str, window_s: int = WINDOW_S) -> str:
    """Return the SELECT of a view, with windows of so many seconds."""
    text = (Path(__file__).parent / "views" / f"{view}.sql").read_text(encoding="utf-8")
    return re.sub(rf"\b{WINDOW_S}\b", str(window_s), text)


def columns_of(text: str) -> set[str]:
    """Return the columns that a text of SQL names."""
    return set(re.findall(r"\w+", re.sub("--.*", "", text))) & ALL_COLUMNS.keys()


def any_of(column: str, patterns: Sequence[str]) -> str:
    """Return the condition that a column is like one of these patterns; with `*` among them it may be NULL, too."""
    if "*" in patterns:
        return "true"
    return "(" + " OR ".join(f"{column} GLOB {quoted(each)}" for each in patterns) + ")"


def first_line(exc: Exception) -> str:
    """Return what DuckDB says, without where in a query of ours."""
    return str(exc).partition("\n")[0]


def highest(events: str) -> str:
    """Return the SELECT of the outcomes among what another SELECT gives, with its columns."""
    return f"SELECT * EXCLUDE (place_among_revisions) FROM (WITH events AS ({events})\n{text_of('outcomes')})"


class SourceError(FeedbackError):
    """What events are to be read from is not there, or cannot be read; the message says what would be right."""


class Answer(NamedTuple):
    """What a query came to: names and types of DuckDB, and rows; moments are those of Python, in UTC."""

    names: list[str]
    kinds: list[str]
    rows: list[tuple[Any, ...]]


class Tables:
    """A connection in which the events are, and what was read to get them there.

    Args:
        columns: Those of the events that will be asked for; None: all. The fewer they are the faster lines are read.
        window_s: How long a window of the view `windows` is, in seconds: a whole number of at least 1.
        keep: A condition of SQL: lines that it does not hold for are let go of when they are read. On columns that no
            revision changes, or the highest one might be missing.
    """

    def __init__(self, columns: Iterable[str] | None = None, window_s: int = WINDOW_S, keep: str = "true") -> None:
        self._keep = keep
        wanted = set(ALL_COLUMNS if columns is None else columns) | set(ESSENTIAL)
        self.columns = [name for name in ALL_COLUMNS if name in wanted]
        self.window_s = window_s
        self.unread = 0
        """Lines, or records, that are no events."""
        self.unfit = 0
        """Values of events that do not fit their columns, such as a number beyond 64 bits; there they are NULL."""
        self.damaged: list[Path] = []
        """Compressed files that end early, or are none: what they have is read as far as it goes."""
        self.left_out: dict[Path, str] = {}
        """Files of a store that cannot be read, and why."""
        self._has_feedback = False
        self.mend: Callable[[], bool] | None = None
        """Called when a query fails because of what it reads; True where it may be tried again, with other files."""
        self._folder = tempfile.TemporaryDirectory(prefix="otel-feedback-tables-")
        self.folder = Path(self._folder.name)
        """A folder that is gone with this."""
        self.connection = duckdb.connect(config={
            "autoinstall_known_extensions": "false", "autoload_known_extensions": "true",
            "python_enable_replacements": "false",  # what is no table is none, whatever variables are called
            "temp_directory": str(self.folder),
        })  # fmt: skip
        self.connection.execute("SET TimeZone = 'UTC'")
        self.connection.execute(QUIET)
        # a store's files never change, and each view looks at all
        self.connection.execute("SET parquet_metadata_cache = true")
        for macro in _MACROS:
            self.connection.execute(macro)

    # -- what is in it -------------------------------------------------------------------------------------------

    def make_table(self) -> None:
        """Make `events` a table without rows, and the views on it."""
        names = ", ".join(f'"{name}" {ALL_COLUMNS[name]}' for name in self.columns)
        self.connection.execute(
            f"CREATE TABLE lines ({names}, event_time {ZONED}, is_event BOOLEAN, unfit INTEGER, is_feedback BOOLEAN)"
        )
        self.make_views("SELECT * EXCLUDE (is_event, unfit, is_feedback) FROM lines WHERE is_event")

    def make_views(
        self, events: str, outcomes: str | None = None, pipeline: Mapping[str, str] = MappingProxyType({}),
        feedback: str | None = None,
    ) -> None:  # fmt: skip
        """Make `events` what a SELECT says, and the views that the columns suffice for.

        Args:
            events: All records.
            outcomes: Another SELECT of what the text of that view selects; None: that text.
            pipeline: SQL of the tables of PIPELINE_COLUMNS; one that is not given has no rows.
            feedback: The SELECT of all records of feedback; None: there are none, and nothing is joined.
        """
        self.connection.execute(f"CREATE OR REPLACE VIEW events AS {events}")
        self.connection.execute(f"CREATE OR REPLACE VIEW every_outcome AS {outcomes or highest('FROM main.events')}")
        for name, columns in PIPELINE_COLUMNS.items():
            self.connection.execute(f"CREATE OR REPLACE VIEW {name} AS {pipeline.get(name, select_nothing(columns))}")
        self._make_views(feedback)

    def _make_views(self, feedback: str | None) -> None:
        texts = {view: text_of(view, self.window_s) for view in VIEWS}
        there = {view: text for view, text in texts.items() if columns_of(text) <= set(self.columns)}
        make_joined(self.connection, feedback, texts["feedback"], there.pop("windows", None), self.window_s)
        for view, text in there.items():
            if view not in ("outcomes", "feedback"):
                self.connection.execute(f"CREATE OR REPLACE VIEW {view} AS {text}")

    @property
    def joins_feedback(self) -> bool:
        """Whether it has the columns that feedback is joined by: without them what was read of it is left alone."""
        return set(self.columns) >= JOINED_BY

    def add_feedback(self, lines: Iterable[bytes]) -> None:
        """Add lines of `row_of_feedback`, for `join_feedback`."""
        add_feedback(self.connection, lines, self.folder / "feedback")
        self._has_feedback = True

    def join_feedback(self) -> None:
        """Join what was added of feedback, once all of it was."""
        if self._has_feedback:
            self._make_views("SELECT * FROM feedback_given")

    def add_lines(self, paths: Sequence[Path], *, with_places: bool = False, source: Path | None = None) -> None:
        """Add the events of files of JSON lines, and, where they are a log's, the feedback among them.

        Args:
            paths: The files, plain or as `.gz`.
            with_places: The lines have PLACE_COLUMNS, too; else `source` is the path and the others are NULL.
            source: In place of the path.

        Raises:
            duckdb.Error: A file cannot be read.
        """
        read = select_of_lines(self.columns, paths, with_places=with_places, source=source)
        self.connection.execute("SET preserve_insertion_order = false")  # else it waits, and keeps more in memory
        self.connection.execute(
            f"INSERT INTO lines BY NAME SELECT * FROM ({read}) WHERE NOT is_event OR ({self._keep})"
        )
        self.connection.execute("SET preserve_insertion_order = true")
        if self.query("SELECT any_value(true) FROM lines WHERE is_feedback")[0][0]:
            self.connection.execute("DELETE FROM lines WHERE is_feedback")
            if self.joins_feedback:
                wrong: list[str] = []
                self.add_feedback(feedback_in_log(self.connection, paths, source, wrong))
                self.unread += len(wrong)

    def count_unread(self) -> None:
        """Count what was added and is no event, and let go of it; and what does not fit in those that are."""
        counted = "SELECT count(*) FILTER (NOT is_event), coalesce(sum(unfit) FILTER (is_event), 0) FROM lines"
        found, self.unfit = self.query(counted)[0]
        if found:
            self.unread += found
            self.connection.execute("DELETE FROM lines WHERE NOT is_event")

    def choose(self, condition: str, columns: Iterable[str] | None = None) -> None:
        """Leave in `outcomes`, and so in the views on it, only those for which a condition holds.

        Args:
            condition: SQL, of which the values are quoted; where no columns are kept, on columns of events alone.
            columns: Keep these columns of them, and in memory; `windows` and `feedback` stay those of all. None: keep nothing,
                look again each time, and leave in `windows` and `feedback`, too, only what is about these.
        """
        if columns is not None:
            names = ", ".join(f'"{name}"' for name in sorted({*columns, "event_time"}))
            made = f"CREATE OR REPLACE TABLE chosen AS SELECT {names} FROM outcomes WHERE {condition}"
            self._mended(lambda: self.connection.execute(made))
            self.connection.execute("CREATE OR REPLACE VIEW outcomes AS SELECT * FROM chosen")
        elif condition != "true":
            chosen = f"SELECT * FROM every_outcome WHERE {condition}"
            self.connection.execute(f"CREATE OR REPLACE VIEW outcomes_alone AS {chosen}")
            for view in ("ratings", "feedback"):
                self.connection.execute(f"ALTER VIEW {view} RENAME TO all_{view}")
                about = f"SELECT f.* FROM all_{view} AS f SEMI JOIN outcomes_alone AS o ON f.counts_for = o.event_id"
                self.connection.execute(f"CREATE VIEW {view} AS {about}")

    # -- questions -----------------------------------------------------------------------------------------------

    def ask(self, text: str, parameters: Sequence[object] = ()) -> Answer:
        """Return the answer to a query.

        Raises:
            duckdb.Error: The query is wrong, or what it reads cannot be read.
        """
        return self._mended(lambda: answer_of(self.connection, text, parameters))

    def _mended(self, work: Callable[[], Result]) -> Result:
        for _ in range(MENDED):
            try:
                return work()
            except duckdb.Error as exc:
                if self.mend is None or not may_be_harm(exc) or not self.mend():
                    raise
        return work()

    def query(self, text: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return self.ask(text, parameters).rows

    def rows(self, text: str) -> list[dict[str, Any]]:
        """Return the rows of a query by column."""
        answer = self.ask(text)
        return [dict(zip(answer.names, row, strict=True)) for row in answer.rows]

    def leave(self) -> None:
        """Remove what was put aside, while a query may still be running."""
        self._folder.cleanup()

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


def answer_of(connection: duckdb.DuckDBPyConnection, text: str, parameters: Sequence[object] = ()) -> Answer:
    """Return the answer to a query of a connection.

    Raises:
        duckdb.Error: The query is wrong, or what it reads cannot be read.
    """
    relation = connection.sql(text, params=list(parameters) or None)
    if relation is None:  # pyright: ignore[reportUnnecessaryComparison]  # nothing is asked, as by CREATE
        return Answer([], [], [])
    names, kinds = list(relation.columns), [str(kind) for kind in relation.types]
    moments = [place for place, kind in enumerate(kinds) if kind == ZONED]
    if any(ZONED in kind for kind in kinds):  # DuckDB makes moments with pytz, where that is installed
        relation = relation.project(", ".join(_shown(place, kind) for place, kind in enumerate(kinds, 1)))
    return Answer(names, kinds, _rows(relation, moments))


def _shown(place: int, kind: str) -> str:
    if kind == ZONED:
        return f"epoch_us(#{place})"
    return f"#{place}::VARCHAR" if ZONED in kind else f"#{place}"


def _rows(relation: duckdb.DuckDBPyRelation, moments: Sequence[int]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = relation.fetchall()
    for number, row in enumerate(rows if moments else ()):
        values = list(row)
        for place in moments:
            values[place] = _moment(values[place])
        rows[number] = tuple(values)
    return rows


def _moment(us: int | None) -> datetime | None:
    try:
        return None if us is None else _EPOCH + timedelta(microseconds=us)
    except OverflowError:  # later than Python knows
        return None
