"""Feedback joined to what it is about: views around `outcomes` and `windows`, whose own texts know nothing of it.

    feedback_records ──► feedback_latest ──► feedback_counted ──┬─► feedback
                            newest of an id     for which action └─► ratings, one row an action that has any
    every_outcome ──────────────────────────────────┘                     │
      └─ those chosen ──► outcomes_alone ──────────────────► outcomes ◄───┤ score, count
                            └──► windows_alone ────────────► windows  ◄───┘ score, count, coverage

Of the few actions of which something was said a window gets the sums; nothing is joined to the others for it. Where there is
no feedback these are the views without it, with columns that say so: they cost nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import duckdb

from otel_feedback.downstream.tables.columns import FEEDBACK_COLUMNS, struct_of
from otel_feedback.downstream.topic.given import MARK, feedback_of_line, row_of_feedback
from otel_feedback.errors import SchemaError

__all__ = ["JOINED_BY", "add_feedback", "feedback_in_log", "make_joined", "select_nothing"]

JOINED_BY = frozenset({"run_id", "root_event_id", "tenant_id", "agent_name", "action_type"})
"""The columns of events, besides those that are always there, that feedback is joined by."""
WINDOW = 300
_AROUND = Path(__file__).parent / "given"
_ADDED = {"counts_for": "VARCHAR", "agent_name": "VARCHAR", "action_type": "VARCHAR", "delay_s": "DOUBLE"}
_UNKNOWN = "NULL::DOUBLE AS feedback_score, 0::BIGINT AS feedback_count"
_AT_ONCE = 10_000


def make_joined(
    connection: duckdb.DuckDBPyConnection, records: str | None, feedback: str, windows: str | None = None,
    window_s: int = WINDOW, *, kind: str = "VIEW",
) -> None:  # fmt: skip
    """Make `outcomes_alone`, `outcomes`, `feedback`, `feedback_latest`, `ratings` and `windows`, of `every_outcome`.

    Args:
        connection: In which that is.
        records: The SELECT of all records of feedback; None: there are none.
        feedback: The text of the view `feedback`.
        windows: The text of the view `windows`; None: its columns are not there.
        window_s: How long a window is, in seconds.
        kind: What is made: VIEW, or TEMP VIEW of this connection alone.
    """

    def view(name: str, text: str) -> None:
        connection.execute(f"CREATE OR REPLACE {kind} {name} AS {text}")

    def around(name: str) -> str:
        text = (_AROUND / f"{name}.sql").read_text(encoding="utf-8")
        return re.sub(rf"\b{WINDOW}\b", str(window_s), text)

    view("outcomes_alone", "FROM every_outcome")
    if records is None:
        view("outcomes", f"SELECT *, {_UNKNOWN} FROM outcomes_alone")
        view("ratings", select_nothing({"counts_for": "VARCHAR"}))
        view("feedback_latest", select_nothing(FEEDBACK_COLUMNS))
        view("feedback", select_nothing({**FEEDBACK_COLUMNS, **_ADDED}))
    else:
        view("feedback_records", records)
        for name in ("latest", "counted"):
            view(f"feedback_{name}", around(name))
        view("ratings", around("ratings"))
        view("outcomes", around("outcomes"))
        view("feedback", feedback)
    if windows is not None:
        view("windows_alone", f"WITH outcomes AS (FROM outcomes_alone)\n{windows}")
        nobody = "CASE WHEN executions > 0 THEN 0::DOUBLE END AS feedback_coverage"
        view("windows", f"SELECT *, {_UNKNOWN}, {nobody} FROM windows_alone" if records is None else around("windows"))


def select_nothing(columns: Mapping[str, str]) -> str:
    """Return the SELECT of no row with these columns."""
    return "SELECT " + ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in columns.items()) + " LIMIT 0"


def add_feedback(connection: duckdb.DuckDBPyConnection, lines: Iterable[bytes], aside: Path) -> None:
    """Add lines of `row_of_feedback` to a table `feedback_given`, which is made where it is not there.

    Args:
        connection: Where to.
        lines: They.
        aside: A file that may be written for it.
    """
    with aside.open("wb") as file:
        file.writelines(lines)
    names = ", ".join(f'"{name}" {kind}' for name, kind in FEEDBACK_COLUMNS.items())
    connection.execute(f"CREATE TABLE IF NOT EXISTS feedback_given ({names})")
    connection.execute(
        f"INSERT INTO feedback_given SELECT * FROM read_json(?, format='newline_delimited', columns={struct_of(FEEDBACK_COLUMNS)})",
        [str(aside)],
    )


def feedback_in_log(
    connection: duckdb.DuckDBPyConnection, paths: Sequence[Path], source: Path | None, refuse: list[str]
) -> Iterator[bytes]:
    """Yield the lines of `row_of_feedback` of the feedback among the lines of log files.

    Args:
        connection: Which reads them.
        paths: The files.
        source: The path that is told in place of theirs.
        refuse: Is given what was wrong with each line that says that it is feedback, and is none.
    """
    connection.execute(
        "SELECT json::VARCHAR, filename FROM read_json_objects(?, format='newline_delimited', ignore_errors=true, filename=true)"
        f" WHERE contains(json::VARCHAR, '{MARK.decode()}') AND (json ->> '$.status') IS NULL",
        [[str(path) for path in paths]],
    )
    while rows := connection.fetchmany(_AT_ONCE):
        for text, path in rows:
            try:
                yield row_of_feedback(feedback_of_line(text.encode()), str(source or path))
            except SchemaError as exc:
                refuse.append(str(exc))
