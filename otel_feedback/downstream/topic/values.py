"""The value of a record as the event's JSON, whether it is JSON or Avro: both may be on one topic.

    {"event_id": …                                                     as it is
    0x00, id of a schema, Avro ──► the schema by which it was written ──► its JSON, with fields that this version does not know
                                        └ from the registry, once

A schema that is not here yet is wanted first (`SchemaWantedError`), and to get it is up to who reads, on a thread that may wait:
a registry that is away does not make dead letters of good records. For one thread at a time.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import msgspec

from otel_feedback.errors import ConfigError, ExportError, FeedbackError, SchemaError
from otel_feedback.exporters.kafka.avro.registry import REASON, SchemaRegistry
from otel_feedback.exporters.kafka.avro.writing import AVRO, MAGIC, PREFIX
from otel_feedback.sdk.forks import import_guard
from otel_feedback.settings.registry import RegistryConfig

__all__ = ["SchemaWantedError", "TopicValues"]

_encode = msgspec.json.Encoder().encode


class SchemaWantedError(FeedbackError):
    """A record cannot be read before a schema is here."""

    def __init__(self, schema_id: int, record: Any, *, is_ours: bool) -> None:
        self.schema_id = schema_id
        self.is_ours = is_ours
        """Whether the record says that it is Avro: others may begin with a zero, too."""
        self.place = f"{record.topic}, partition {record.partition}, offset {record.offset}"
        super().__init__(f"schema {schema_id} is needed for {self.place}")


class TopicValues:
    """Reads values.

    Args:
        registry: Where schemas are; None: nobody said.
    """

    def __init__(self, registry: RegistryConfig | None) -> None:
        self._registry = None if registry is None else SchemaRegistry(registry)
        self._schemas: dict[int, Any] = {}
        self._read: Callable[..., Any] = _unread

    def json_of(self, record: Any) -> bytes | None:
        """Return the JSON of a record's value; at once.

        Raises:
            SchemaWantedError: A schema has to be fetched first.
            SchemaError: It is not what its schema says.
        """
        value: bytes | None = record.value
        if not value or value[0] != MAGIC or len(value) < PREFIX.size:
            return value
        schema_id: int = PREFIX.unpack_from(value)[1]
        schema = self._schemas.get(schema_id)
        if schema is None:
            is_ours = any(name == "content-type" and kind == AVRO for name, kind in record.headers)
            if not is_ours and self._registry is None:
                return value
            raise SchemaWantedError(schema_id, record, is_ours=is_ours)
        stream = io.BytesIO(value)
        stream.seek(PREFIX.size)
        try:
            event = self._read(stream, schema, None)
            payload = _encode({name: told for name, told in event.items() if told is not None})
        except Exception as exc:  # fastavro has no error of its own for bytes that are something else
            raise SchemaError(f"not an outcome event: not Avro by schema {schema_id}: {exc!r:.200}") from exc
        if stream.tell() < len(value):
            raise SchemaError(f"not an outcome event: Avro by schema {schema_id}, and bytes after its end")
        return payload

    def fetch(self, wanted: SchemaWantedError) -> None:
        """Get a schema. Waits some seconds at most.

        Raises:
            ExportError: The registry is away, or does not know a schema by which a producer of ours has written; try again.
            SchemaError: It has none that such a record could be written by.
            ConfigError: There is no registry in the settings, or what reads Avro is not installed.
        """
        if self._registry is None:
            expected = f"the address of the registry: there are values in Avro ({wanted.place})"
            raise ConfigError("SCHEMA_REGISTRY_URL", "", expected)
        if find_spec("fastavro") is None:
            expected = f"to read values in Avro ({wanted.place}) with fastavro: pip install 'otel-feedback[avro]'"
            raise ConfigError("SCHEMA_REGISTRY_URL", self._registry.name, expected)
        text = self._registry.schema(wanted.schema_id)
        if text is None and wanted.is_ours:
            detail = (
                f"{self._registry.name} knows no schema {wanted.schema_id}, by which {wanted.place} was written: "
                "correct SCHEMA_REGISTRY_URL, or give the registry its schemas back"
            )
            raise ExportError(REASON, detail, retryable=True)
        if text is None:
            raise SchemaError(
                f"not an outcome event: it is no JSON, and the registry knows no schema {wanted.schema_id}"
            )
        with import_guard:
            import fastavro
        try:
            self._schemas[wanted.schema_id] = fastavro.parse_schema(json.loads(text))
        except Exception as exc:  # of what is no Avro
            raise SchemaError(f"not an outcome event: schema {wanted.schema_id} is not Avro: {exc!r:.200}") from exc
        self._read = fastavro.schemaless_reader

    def json_fetched(self, record: Any) -> bytes | None:
        """Return the JSON of a record's value; where a schema is not here yet, wait for it.

        Raises:
            ExportError, SchemaError, ConfigError: As `fetch` and `json_of` do.
        """
        while True:
            try:
                return self.json_of(record)
            except SchemaWantedError as wanted:
                self.fetch(wanted)


def _unread(*_: object) -> Any:
    raise AssertionError("read without a schema")
