"""The columns of a table of events: a field is a column of the same name, and besides it is told where its record came from.

Derived from `OutcomeEvent`, so that a new field is a new column; files that were written before it are read with NULLs.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

import msgspec

from otel_feedback.events.model import OutcomeEvent

__all__ = ["EVENT_COLUMNS", "PLACE_COLUMNS", "struct_of"]

_TYPES: Mapping[type, str] = {
    str: "VARCHAR", bool: "BOOLEAN", int: "BIGINT", float: "DOUBLE", datetime: "TIMESTAMP WITH TIME ZONE",
    tuple: "VARCHAR[]", dict: "JSON",
}  # fmt: skip


def _type_of(field: Any) -> str:
    kinds = msgspec.inspect
    match field:
        case kinds.UnionType():
            (only,) = (each for each in field.types if not isinstance(each, kinds.NoneType))
            return _type_of(only)
        case kinds.EnumType():  # of words
            return _TYPES[str]
        case kinds.VarTupleType():
            return _TYPES[tuple]
        case kinds.DictType():
            return _TYPES[dict]
        case kinds.DateTimeType():
            return _TYPES[datetime]
        case _:
            plain = {kinds.StrType: str, kinds.BoolType: bool, kinds.IntType: int, kinds.FloatType: float}
            return _TYPES[plain[type(field)]]


def _event_columns() -> Mapping[str, str]:
    told = msgspec.inspect.type_info(OutcomeEvent)
    assert isinstance(told, msgspec.inspect.StructType)
    return MappingProxyType({field.encode_name: _type_of(field.type) for field in told.fields})


EVENT_COLUMNS: Mapping[str, str] = _event_columns()
"""By field of an event: DuckDB's type of its column."""

PLACE_COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        "producer_id": "VARCHAR",  # of the header; NULL in a log file
        "sequence": "BIGINT",  # the producer's, of the header; NULL in a log file
        "source": "VARCHAR",  # the topic, or the path of the log file
        "source_partition": "INTEGER",  # NULL in a log file
        "source_position": "BIGINT",  # the offset, or the byte at which the line starts
    }
)
"""Where a row came from: DuckDB's types by name."""


def struct_of(columns: Mapping[str, str]) -> str:
    """Return columns as the value that `columns=` of DuckDB's `read_json` takes."""
    return "{" + ", ".join(f"{name}: '{kind}'" for name, kind in columns.items()) + "}"
