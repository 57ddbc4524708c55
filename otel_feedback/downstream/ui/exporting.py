"""What a browser saves: events, failures, costs or a comparison as CSV or JSON, some thousand rows at a time."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from otel_feedback.downstream.tables.columns import EVENT_COLUMNS
from otel_feedback.downstream.ui.asking import Asked
from otel_feedback.downstream.ui.groups import costs, failures
from otel_feedback.downstream.ui.reader import Reader

__all__ = ["VIEWS", "export"]

VIEWS = ("events", "failures", "cost", "experiments")
AT_ONCE = 2_000
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


def export(
    reader: Reader, asked: Asked, view: str, form: str, by: str, own: Iterator[Sequence[Any]] | None = None
) -> Iterator[bytes]:
    """Yield a file in pieces.

    Args:
        reader: Of who asks; used until the last piece.
        asked: Which actions.
        view: Of VIEWS.
        form: `csv`, or `json`: an array of objects.
        by: What costs are told by.
        own: The names of columns, and then rows, of a view that makes them itself.
    """
    pieces = (
        own if own is not None else _events(reader, asked) if view == "events" else _groups(reader, asked, view, by)
    )
    names = next(pieces)
    if form == "csv":
        yield _csv([names])
        for rows in pieces:
            yield _csv([[_plain(value) for value in row] for row in rows])
        return
    before = b"[\n"
    for rows in pieces:
        for row in rows:
            yield before + msgspec.json.encode(dict(zip(names, row, strict=True)))
            before = b",\n"
    yield b"[]\n" if before == b"[\n" else b"\n]\n"


def _events(reader: Reader, asked: Asked) -> Iterator[Sequence[Any]]:
    reader.open_stored(asked.since, asked.until)
    reader.open_feedback()
    kinds = {**EVENT_COLUMNS, "feedback_score": "DOUBLE", "feedback_count": "BIGINT"}
    # moments as text: DuckDB would want another library to make them Python's
    columns = ", ".join(
        f"strftime({name}, '%Y-%m-%dT%H:%M:%S.%fZ')"
        if "TIMESTAMP" in kind
        else f"{name}::VARCHAR"
        if kind == "JSON"
        else name
        for name, kind in kinds.items()
    )
    yield list(kinds)
    answer = reader.cursor.execute(
        f"SELECT {columns} FROM outcomes WHERE {asked.whole_condition} ORDER BY event_time, event_id"
    )
    while rows := answer.fetchmany(AT_ONCE):
        yield rows


def _groups(reader: Reader, asked: Asked, view: str, by: str) -> Iterator[Sequence[Any]]:
    groups = failures(reader, asked)["groups"] if view == "failures" else costs(reader, asked, by, "day")["groups"]
    yield list(groups[0]) if groups else []
    yield [list(group.values()) for group in groups]


def _csv(rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        value = " ".join(map(str, value))
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
