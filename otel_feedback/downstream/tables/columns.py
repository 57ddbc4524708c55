"""The columns of a table of events: a field is a column of the same name, and besides it is told where its record came from.

Derived from `OutcomeEvent`, so that a new field is a new column; files that were written before it are read with NULLs.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from otel_feedback.downstream.contract.fields import FIELDS, Kind

__all__ = ["EVENT_COLUMNS", "PLACE_COLUMNS", "struct_of"]

_TYPES: Mapping[Kind, str] = {
    Kind.TEXT: "VARCHAR", Kind.TRUTH: "BOOLEAN", Kind.WHOLE: "BIGINT", Kind.NUMBER: "DOUBLE",
    Kind.MOMENT: "TIMESTAMP WITH TIME ZONE", Kind.TEXTS: "VARCHAR[]", Kind.OBJECT: "JSON",
}  # fmt: skip

EVENT_COLUMNS: Mapping[str, str] = MappingProxyType({field.name: _TYPES[field.kind] for field in FIELDS})
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
