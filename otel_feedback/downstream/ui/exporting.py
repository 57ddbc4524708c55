"""What a browser saves: events, failures, costs, a comparison, choices or gaps as CSV or JSON, some thousand rows at a time."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from otel_feedback.downstream.tables.columns import EVENT_COLUMNS
from otel_feedback.downstream.ui.asking import Asked, RefusedError
from otel_feedback.downstream.ui.groups import costs, failures
from otel_feedback.downstream.ui.learning import choices, gaps
from otel_feedback.downstream.ui.reader import Reader

__all__ = ["FORMS", "VIEWS", "export"]

VIEWS = ("events", "failures", "cost", "experiments", "choices", "gaps")
FORMS = {"csv": "text/csv; charset=utf-8", "json": "application/json", "jsonl": "application/x-ndjson"}
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
        form: `csv`, or `json`: an array of objects. `jsonl`, of gaps alone: their actions, a line each.
        by: What costs are told by.
        own: The names of columns, and then rows, of a view that makes them itself.

    Raises:
        RefusedError: There is nothing of the view in this form.
    """
    if form == "jsonl":
        if view != "gaps":
            raise RefusedError(400, f"there are no lines of {view}", "use view=gaps, or format=json")
        yield from gaps.actions(reader, asked)
        return
    pieces = _PIECES[view](reader, asked, by) if own is None else own
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


def _events(reader: Reader, asked: Asked, _by: str) -> Iterator[Sequence[Any]]:
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


def _of(groups: Sequence[dict[str, Any]]) -> Iterator[Sequence[Any]]:
    yield list(groups[0]) if groups else []
    yield [list(group.values()) for group in groups]


_PIECES: dict[str, Callable[[Reader, Asked, str], Iterator[Sequence[Any]]]] = {
    "events": _events,
    "failures": lambda reader, asked, _: _of(failures(reader, asked)["groups"]),
    "cost": lambda reader, asked, by: _of(costs(reader, asked, by, "day")["groups"]),
    "choices": lambda reader, asked, _: choices.table(reader, asked),
    "gaps": lambda reader, asked, _: gaps.table(reader, asked),
}


def _csv(rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        value = " ".join(map(str, value))
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
