"""From an event's JSON to a line of what DuckDB reads: only what is an event, in its plainest form, with where it is from.

    record ──► decoded by its type ──► encoded again ──► {"source_position": …, "e": {the event}}
                 └ SchemaError: no row

Encoded again, since what msgspec and DuckDB take for valid JSON differs (a key twice, nanoseconds, a `z`), and one line that
DuckDB refuses is a whole batch that it refuses. Pure functions; safe on any thread.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any

import msgspec

from otel_feedback.downstream.tables.columns import EVENT_COLUMNS, PLACE_COLUMNS
from otel_feedback.downstream.topic.received import Headers, check_whose, event_in
from otel_feedback.events.model import OutcomeEvent

__all__ = ["READ_COLUMNS", "row_of_line", "row_of_record"]

_LARGEST = 2**63 - 1
_Whole: Any = Annotated[int, msgspec.Meta(ge=-_LARGEST - 1, le=_LARGEST)]


def _row_type() -> Any:
    """Return the event's type with whole numbers that a BIGINT can hold."""
    fields: list[Any] = []
    for field in msgspec.structs.fields(OutcomeEvent):
        kind = field.type
        if EVENT_COLUMNS[field.encode_name] == "BIGINT":
            kind = _Whole if kind is int else _Whole | None
        if field.default_factory is not msgspec.NODEFAULT:
            fields.append((field.name, kind, msgspec.field(default_factory=field.default_factory)))
        else:
            fields.append((field.name, kind, field.default))
    methods = {name: vars(OutcomeEvent)[name] for name in ("__post_init__", "_complete")}
    return msgspec.defstruct("Row", fields, namespace=methods, omit_defaults=True, gc=False)


_Row = _row_type()
_decode = msgspec.json.Decoder(_Row).decode
_encode = msgspec.json.Encoder().encode

_PLACES = ", ".join(f"'{name}': '{kind}'" for name, kind in PLACE_COLUMNS.items())
_STRUCT = ", ".join(f"{name} {kind}" for name, kind in EVENT_COLUMNS.items())
READ_COLUMNS = f"{{{_PLACES}, 'e': 'STRUCT({_STRUCT})'}}"
"""The columns of a file of such lines, as `columns=` of DuckDB's `read_json` takes them."""


def row_of_record(
    payload: bytes | None, headers: Headers, topic: bytes, partition: int, offset: int, owner: str | None = None
) -> bytes:
    """Return the line of a record of a topic.

    Args:
        payload: The JSON of its value.
        headers: Its headers.
        topic: The topic's name, as JSON.
        partition: Where it is.
        offset: And at which offset.
        owner: The tenant whose topic it is; None: all write to it.

    Raises:
        SchemaError: It is no event that a row can hold, or another tenant's; the message says which field.
    """
    told = dict(headers)
    said = told.get("schema_version")
    event = event_in(payload, None if said is None else said.decode("utf-8", "replace"), _Row, _decode)
    check_whose(event.tenant_id, owner)
    producer_id, sequence = told.get("producer_id"), told.get("sequence")
    if producer_id is None or sequence is None or not _is_number(sequence):
        whose = b""
    else:
        whose = b'"producer_id":%b,"sequence":%b,' % (_said(producer_id), sequence)
    return b'{%b"source":%b,"source_partition":%d,"source_position":%d,"e":%b}\n' % (
        whose, topic, partition, offset, _encode(event),
    )  # fmt: skip


def row_of_line(line: bytes, path: bytes, position: int) -> bytes:
    """Return the line of a line of a log file.

    Args:
        line: As it is in the file.
        path: The log's path, as JSON.
        position: The byte at which it starts.

    Raises:
        SchemaError: It is no event that a row can hold; the message says which field.
    """
    event = event_in(line, None, _Row, _decode)
    return b'{"source":%b,"source_position":%d,"e":%b}\n' % (path, position, _encode(event))


@lru_cache(1_024)
def _said(text: bytes) -> bytes:
    return _encode(text.decode("utf-8", "replace"))


def _is_number(text: bytes) -> bool:
    return text.isdigit() and len(text) < 19 and (text[:1] != b"0" or len(text) == 1)  # else it is no JSON
