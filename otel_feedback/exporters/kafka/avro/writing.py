"""An event's JSON as a value in Avro, in Confluent's wire format.

    0x00   id of the schema, 4 bytes, big endian   the event in Avro's binary encoding

The schema is registered under `<topic>-value` before the first event goes; from then on nobody is asked. Used on the worker's
thread only, where fastavro is imported, too.
"""

from __future__ import annotations

import io
import json
import struct
from datetime import datetime
from typing import Any

import msgspec

from otel_feedback.errors import SchemaError
from otel_feedback.events.avro import avro_schema
from otel_feedback.events.fields import FIELDS, Kind
from otel_feedback.events.model import epoch_us
from otel_feedback.exporters.kafka.avro.registry import SchemaRegistry
from otel_feedback.sdk.forks import import_guard
from otel_feedback.settings.registry import RegistryConfig

__all__ = ["AVRO", "MAGIC", "PREFIX", "AvroValues", "schema_text", "subject_of"]

AVRO = b"application/avro"
MAGIC = 0
PREFIX = struct.Struct(">bI")
_NAMES = frozenset(field.name for field in FIELDS)
_MOMENTS = tuple(field.name for field in FIELDS if field.kind is Kind.MOMENT)
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def subject_of(topic: str) -> str:
    """Return what the schema of a topic's values is registered as."""
    return f"{topic}-value"


def schema_text() -> str:
    """Return the schema as it is registered; the same text each time, since a registry may take another for another."""
    return json.dumps(avro_schema(), separators=(",", ":"))


class AvroValues:
    """Makes the values of one topic.

    Args:
        registry: Where the schema is registered.
        topic: Whose subject it is registered under.
    """

    content_type = AVRO

    def __init__(self, registry: RegistryConfig, topic: str) -> None:
        self._registry = SchemaRegistry(registry)
        self._subject = subject_of(topic)
        self._prefix = b""
        self._schema: Any = None
        self._write: Any = None

    def prepare(self) -> None:
        if self._prefix:
            return
        with import_guard:
            import fastavro
        self._schema, self._write = fastavro.parse_schema(avro_schema()), fastavro.schemaless_writer
        self._prefix = PREFIX.pack(MAGIC, self._registry.register(self._subject, schema_text()))

    def encode(self, payload: bytes) -> bytes:
        try:
            event = _decode(payload)
            for name in _MOMENTS:
                said = event.get(name)
                if said is not None:
                    event[name] = epoch_us(msgspec.convert(said, datetime))
            value = io.BytesIO()
            value.write(self._prefix)
            self._write(value, self._schema, event)
        except (ValueError, TypeError, KeyError, OverflowError, AttributeError, msgspec.MsgspecError) as exc:
            raise SchemaError(f"it does not fit the Avro schema: {' '.join(str(exc).split())[:200]}") from exc
        if not event.keys() <= _NAMES:  # of a newer version's journal: without them it would be another event
            unknown = ", ".join(sorted(event.keys() - _NAMES)[:10])
            raise SchemaError(f"the Avro schema of this version has no field for {unknown}")
        return value.getvalue()
