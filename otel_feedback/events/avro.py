"""The event's schema in Avro, which Kafka's values are written by where they are Avro. Pure; safe on any thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from otel_feedback.events.fields import FIELDS, Field, Kind
from otel_feedback.events.model import SCHEMA_VERSION

__all__ = ["avro_schema"]

_SCALARS = ["boolean", "long", "double", "string"]
_TYPES: Mapping[Kind, Any] = {
    Kind.TEXT: "string", Kind.TRUTH: "boolean", Kind.WHOLE: "long", Kind.NUMBER: "double",
    Kind.MOMENT: {"type": "long", "logicalType": "timestamp-micros"},
    Kind.TEXTS: {"type": "array", "items": "string"},
    Kind.OBJECT: {"type": "map", "values": [*_SCALARS, {"type": "array", "items": _SCALARS}]},
}  # fmt: skip
_EMPTY: Mapping[Kind, Any] = {Kind.TEXTS: [], Kind.OBJECT: {}}


def avro_schema() -> dict[str, Any]:
    """Return the Avro schema of the event, as `fastavro.parse_schema` takes it."""

    def told(field: Field) -> dict[str, Any]:
        kind = _TYPES[field.kind]
        if field.always:
            return {"name": field.name, "type": kind}
        if field.kind in _EMPTY:
            return {"name": field.name, "type": kind, "default": _EMPTY[field.kind]}
        return {"name": field.name, "type": ["null", kind], "default": None}

    return {
        "type": "record",
        "name": "OutcomeEvent",
        "namespace": "otel_feedback",
        "doc": f"How one agent action ended, version {SCHEMA_VERSION}.",
        "fields": [told(field) for field in FIELDS],
    }
