"""The columns of a table of events: a field is a column of the same name, and besides it is told where its record came from.

Derived from `OutcomeEvent`, so that a new field is a new column; files that were written before it are read with NULLs.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from otel_feedback.events.fields import FIELDS, Kind

__all__ = [
    "EVENT_COLUMNS", "FEEDBACK_COLUMNS", "KEY_COLUMNS", "KEY_TYPE", "PIPELINE_COLUMNS", "PLACE_COLUMNS", "struct_of",
]  # fmt: skip

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

KEY_COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        # not md5_number_upper and md5_number_lower, which take seven times as long
        "event_key_a": "(md5_number(event_id) & 18446744073709551615)::UBIGINT",
        "event_key_b": "(md5_number(event_id) >> 64)::UBIGINT",
    }
)
"""What a store's files have beside the event once they are sorted out, for who looks events up in them: the halves of the id's MD5, little-endian,
and how DuckDB makes them. Read and compared in a fifth of the time that ids take; one half could be of two events, both cannot."""
KEY_TYPE = "UBIGINT"

_ZONED, _OF_RECORD = (
    _TYPES[Kind.MOMENT],
    {"source": "VARCHAR", "source_partition": "INTEGER", "source_position": "BIGINT"},
)
PIPELINE_COLUMNS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        # records of the audit topic; `type` is high_water or loss
        "accounts": MappingProxyType({
            "timestamp": _ZONED, "type": "VARCHAR", "producer_id": "VARCHAR", "service_name": "VARCHAR",
            "exporter": "VARCHAR", "destination": "VARCHAR",
            "reason": "VARCHAR", "first_sequence": "BIGINT", "last_sequence": "BIGINT", "events": "BIGINT",  # of a loss
            "next_sequence": "BIGINT", "delivered": "BIGINT", "pending": "BIGINT", "lost": "JSON", "closed": "BOOLEAN",
            **_OF_RECORD,
        }),
        # those of the dead letters, without anything of the event; `reader` is the group that could not use it
        "dead_letters": MappingProxyType({
            "timestamp": _ZONED, "reason": "VARCHAR", "culprit": "VARCHAR", "reader": "VARCHAR",
            "producer_id": "VARCHAR", "sequence": "BIGINT", "original_topic": "VARCHAR",
            "original_partition": "INTEGER", "original_offset": "BIGINT", **_OF_RECORD,
        }),
        # one row: all that was on the topic, or in the files, at `until` is in the store; `behind` records are not
        "reading": MappingProxyType({
            "source": "VARCHAR", "looked_at": _ZONED, "until": _ZONED, "behind": "BIGINT", "newest": _ZONED,
        }),
    }
)  # fmt: skip
"""What a store knows of the pipeline, as tables beside the events: DuckDB's types by table and name."""

FEEDBACK_COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("schema_version", "feedback_id", "target", "event_id", "run_id", "tenant_id", "service_name"), "VARCHAR"),
        "timestamp": _ZONED, "name": "VARCHAR", "source": "VARCHAR", "by": "VARCHAR", "score": "DOUBLE", "label": "VARCHAR",
        "comment": "VARCHAR",
        # where its record came from; `source` is who says so
        "read_from": "VARCHAR", "read_partition": "INTEGER", "read_position": "BIGINT",
    }
)  # fmt: skip
"""Records of feedback: a field of `Feedback` is a column of the same name, and besides it is told where each came from."""


def struct_of(columns: Mapping[str, str]) -> str:
    """Return columns as the value that `columns=` of DuckDB's `read_json` takes."""
    return "{" + ", ".join(f"'{name}': '{kind}'" for name, kind in columns.items()) + "}"
