"""The wire form of an outcome event: one JSON object, RFC 3339 times, unknown fields absent.

Pure functions; safe on any thread. The JSON Schema that consumers rely on is made from the same type.
"""

from __future__ import annotations

from datetime import timezone
from enum import Enum
from typing import Any, cast

import msgspec

from otel_feedback.errors import SchemaError
from otel_feedback.events.model import SCHEMA_VERSION, OutcomeEvent, encode

__all__ = ["decode", "encode", "json_schema", "mended", "to_dict", "validate"]

decode = OutcomeEvent.from_json
to_dict = OutcomeEvent.to_dict


def mended(event: OutcomeEvent) -> OutcomeEvent:
    """Return the event with a question mark for each half of a character, which UTF-8 cannot hold."""
    fields = msgspec.structs.asdict(event)
    return msgspec.structs.replace(event, **{name: _mended(value) for name, value in fields.items()})


def _mended(value: Any) -> Any:
    if isinstance(value, str) and not isinstance(value, Enum):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        given = cast("dict[Any, Any]", value)
        return {_mended(key): _mended(item) for key, item in given.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(_mended(item) for item in cast("list[Any]", value))
    return value


def validate(event: object) -> OutcomeEvent:
    """Return the event if every field has its declared type; with its times in UTC, as they are on the wire.

    Raises:
        SchemaError: It is no `OutcomeEvent`, or a field has a value of another type; the field is named.
    """
    if not isinstance(event, OutcomeEvent):
        raise SchemaError(f"expected an OutcomeEvent, got {type(event).__name__}")
    try:
        msgspec.convert(msgspec.structs.asdict(event), OutcomeEvent)
        encode(event)
    except (msgspec.ValidationError, TypeError, ValueError, OverflowError) as exc:
        raise SchemaError(f"not a valid outcome event: {exc}") from exc
    moved = {
        name: moment.astimezone(timezone.utc)
        for name in ("timestamp", "start_time", "end_time")
        if (moment := getattr(event, name)) is not None and moment.tzinfo is not timezone.utc
    }
    return msgspec.structs.replace(event, **moved) if moved else event


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the wire form."""
    schema = msgspec.json.schema(OutcomeEvent)
    body = schema["$defs"]["OutcomeEvent"]
    for name in ("action_type", "status", "severity"):
        body["properties"][name].pop("default", None)
    # the encoder always writes these, though a reader may leave them to their defaults
    body["required"] = sorted(
        {"action_type", "status", "schema_version", "event_id", "revision", "timestamp", "severity"}
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Agent outcome event {SCHEMA_VERSION}",
        **schema,
    }
