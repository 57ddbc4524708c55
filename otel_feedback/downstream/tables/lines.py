"""Lines of JSON as rows: the SELECT that reads files of them, with what is no event told from what is one.

A text that does not fit its column is NULL and counted, so that no value takes its neighbours with it. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from otel_feedback.downstream.tables.columns import EVENT_COLUMNS, PLACE_COLUMNS, struct_of
from otel_feedback.events.model import SCHEMA_VERSION, OutcomeStatus

__all__ = ["ALL_COLUMNS", "EVENT_TIME", "quoted", "select_of_lines"]

ALL_COLUMNS = {**EVENT_COLUMNS, **PLACE_COLUMNS}
EVENT_TIME = 'coalesce(end_time, "timestamp")'
_WORDS = ", ".join(f"'{status.value}'" for status in OutcomeStatus)
_IS_EVENT = (
    f"coalesce(event_id <> '' AND action_type IS NOT NULL AND status IN ({_WORDS}) AND event_time IS NOT NULL"
    f" AND split_part(coalesce(schema_version, '1'), '.', 1) = '{SCHEMA_VERSION.partition('.')[0]}', false)"
)


def quoted(text: str) -> str:
    """Return a text as SQL has it."""
    escaped = text.replace("'", "''")
    return f"'{escaped}'"


def select_of_lines(columns: Sequence[str], paths: Sequence[Path], *, with_places: bool, source: Path | None) -> str:
    """Return the SELECT of lines, with `event_time`, `is_event`, `unfit` (values that do not fit) and `is_feedback`.

    Args:
        columns: Those of ALL_COLUMNS that are wanted.
        paths: The files, plain or as `.gz`.
        with_places: The lines have PLACE_COLUMNS, too; else `source` is the path and the others are NULL.
        source: In place of the path.
    """
    fields = {name: _read_as(name) for name in columns if with_places or name not in PLACE_COLUMNS}
    values = [_value(name, with_places=with_places, source=source) for name in columns]
    unfit = " + ".join(
        f"coalesce(\"{name}\"::VARCHAR <> 'null' AND {_cast(name)} IS NULL, false)::INTEGER"
        for name in fields
        if fields[name] != ALL_COLUMNS[name]
    )
    files = ", ".join(quoted(str(path)) for path in paths)
    # on a topic feedback has another one
    is_feedback = "false" if with_places else "feedback_id IS NOT NULL AND status IS NULL"
    read = struct_of(fields if with_places else {**fields, "feedback_id": "VARCHAR"})
    return (
        f"SELECT *, {_IS_EVENT} AS is_event FROM (SELECT *, {EVENT_TIME} AS event_time"
        f" FROM (SELECT {', '.join(values)}, {unfit} AS unfit, {is_feedback} AS is_feedback"
        f" FROM read_json([{files}], format='newline_delimited', columns={read}, ignore_errors=true,"
        " filename='file_of_line')))"
    )


def _read_as(name: str) -> str:
    """Return the type that a column of lines is read as: where a text may not fit its column, that text."""
    kind = ALL_COLUMNS[name]
    return kind if name in PLACE_COLUMNS or kind == "VARCHAR" else "JSON"


def _cast(name: str) -> str:
    if _read_as(name) == ALL_COLUMNS[name]:
        return f'"{name}"'
    value = f'TRY_CAST("{name}" AS {ALL_COLUMNS[name]})'
    return f"CASE WHEN isfinite({value}) THEN {value} END" if ALL_COLUMNS[name] == "DOUBLE" else value


def _value(name: str, *, with_places: bool, source: Path | None) -> str:
    if name == "revision":  # the first outcome, where nobody says
        return f'coalesce({_cast(name)}, 1) AS "revision"'
    if name not in PLACE_COLUMNS:
        return f'{_cast(name)} AS "{name}"'
    if with_places:
        return f'"{name}"'
    if name != "source":
        return f"NULL::{ALL_COLUMNS[name]} AS {name}"
    return f"{'file_of_line' if source is None else quoted(str(source))} AS source"
