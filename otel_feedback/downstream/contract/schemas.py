"""The event's schema in five languages, and what each of them says of a field, read back out of its text.

    OutcomeEvent ──► FIELDS ──► JSON Schema · Avro · BigQuery · Flink SQL · Parquet ──► files in docs/schemas/
                                                    │
                                                    └──► said(): by field its type, and whether it must be there

Pure; safe on any thread. What reads events by these must ignore fields that it does not know.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from otel_feedback.events.avro import avro_schema
from otel_feedback.events.codec import json_schema
from otel_feedback.events.feedback import feedback_schema
from otel_feedback.events.fields import FIELDS, Field, Kind
from otel_feedback.events.model import SCHEMA_VERSION

__all__ = ["ALL_SCHEMAS", "SCHEMAS", "Said", "Schema", "flink_columns"]

TOPIC = "agent-outcomes"


class Said(NamedTuple):
    """What a schema says of one field; the type as the schema has it."""

    type: str
    required: bool


class Schema(NamedTuple):
    """One language: the text of its file, and what a text of it says of each field."""

    file: str
    text: Callable[[], str]
    said: Callable[[str], dict[str, Said]]


# -- JSON Schema -----------------------------------------------------------------------------------------------


def _json_text() -> str:
    return _lines(json_schema())


def _json_said(text: str) -> dict[str, Said]:
    whole = json.loads(text)
    body = whole["$defs"][whole["$ref"].rpartition("/")[2]]

    def type_of(told: Mapping[str, Any]) -> str:
        words = {"description", "default", "title"}
        plain = {name: value for name, value in told.items() if name not in words}
        if "$ref" in plain:  # a list of words
            plain = {"enum": whole["$defs"][plain["$ref"].rpartition("/")[2]]["enum"]}
        return json.dumps(plain, sort_keys=True)

    return {name: Said(type_of(told), name in body["required"]) for name, told in body["properties"].items()}


# -- Avro ------------------------------------------------------------------------------------------------------


def _avro_said(text: str) -> dict[str, Said]:
    fields = json.loads(text)["fields"]
    return {field["name"]: Said(json.dumps(field["type"], sort_keys=True), "default" not in field) for field in fields}


# -- BigQuery --------------------------------------------------------------------------------------------------

_BIGQUERY: Mapping[Kind, str] = {
    Kind.TEXT: "STRING", Kind.TRUTH: "BOOLEAN", Kind.WHOLE: "INTEGER", Kind.NUMBER: "FLOAT", Kind.MOMENT: "TIMESTAMP",
    Kind.TEXTS: "STRING", Kind.OBJECT: "JSON",
}  # fmt: skip


def _bigquery_text() -> str:
    def mode(field: Field) -> str:
        return "REPEATED" if field.kind is Kind.TEXTS else "REQUIRED" if field.always else "NULLABLE"

    return _lines([{"name": field.name, "type": _BIGQUERY[field.kind], "mode": mode(field)} for field in FIELDS])


def _bigquery_said(text: str) -> dict[str, Said]:
    def said(field: Mapping[str, str]) -> Said:
        repeated = " REPEATED" if field["mode"] == "REPEATED" else ""
        return Said(field["type"] + repeated, field["mode"] == "REQUIRED")

    return {field["name"]: said(field) for field in json.loads(text)}


# -- Flink SQL -------------------------------------------------------------------------------------------------

_FLINK: Mapping[Kind, str] = {
    Kind.TEXT: "STRING", Kind.TRUTH: "BOOLEAN", Kind.WHOLE: "BIGINT", Kind.NUMBER: "DOUBLE",
    Kind.MOMENT: "TIMESTAMP_LTZ(3)", Kind.TEXTS: "ARRAY<STRING>", Kind.OBJECT: "MAP<STRING, STRING>",
}  # fmt: skip


def flink_columns() -> list[str]:
    """Return the columns of the event, as a CREATE TABLE of Flink has them.

    None is NOT NULL: a record that lacks something is for a query to leave out, not a reason to end the job.
    """
    return [f"`{field.name}` {_FLINK[field.kind]}" for field in FIELDS]


def _flink_text() -> str:
    columns = [*flink_columns(), "`event_time` AS COALESCE(`end_time`, `timestamp`)"]
    listed = ",\n".join(f"    {column}" for column in columns)
    return f"""\
-- The topic {TOPIC} as a table, version {SCHEMA_VERSION}. What is between {{{{ }}}} is yours.
CREATE TABLE events (
{listed}
) WITH (
    'connector' = 'kafka',
    'topic' = '{TOPIC}',
    'properties.bootstrap.servers' = '{{{{ bootstrap_servers }}}}',
    'scan.startup.mode' = 'earliest-offset',
    'format' = 'json',
    'json.timestamp-format.standard' = 'ISO-8601',
    'json.ignore-parse-errors' = 'true'
)
"""


def _flink_said(text: str) -> dict[str, Said]:
    return {name: Said(kind, False) for name, kind in re.findall(r"^ {4}`(\w+)` (?!AS )(.+?),?$", text, re.MULTILINE)}


# -- Parquet ---------------------------------------------------------------------------------------------------

_PARQUET: Mapping[Kind, str] = {
    Kind.TEXT: "BYTE_ARRAY (UTF8)", Kind.TRUTH: "BOOLEAN", Kind.WHOLE: "INT64 (INT_64)", Kind.NUMBER: "DOUBLE",
    Kind.MOMENT: "INT64 (TIMESTAMP_MICROS)", Kind.TEXTS: "LIST of BYTE_ARRAY (UTF8)", Kind.OBJECT: "BYTE_ARRAY (JSON)",
}  # fmt: skip


def _parquet_text() -> str:
    # as the store writes them: what a column lacks in an older file is NULL
    lines = [f"  optional {field.name}: {_PARQUET[field.kind]};" for field in FIELDS]
    return f"message OutcomeEvent {{ // version {SCHEMA_VERSION}\n" + "\n".join(lines) + "\n}\n"


def _parquet_said(text: str) -> dict[str, Said]:
    return {
        name: Said(kind, rule == "required")
        for rule, name, kind in re.findall(r"^ {2}(optional|required) (\w+): (.+);$", text, re.MULTILINE)
    }


def _lines(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


SCHEMAS: Mapping[str, Schema] = MappingProxyType(
    {
        "json": Schema("outcome-event.schema.json", _json_text, _json_said),
        "avro": Schema("outcome-event.avsc", lambda: _lines(avro_schema()), _avro_said),
        "bigquery": Schema("outcome-event.bigquery.json", _bigquery_text, _bigquery_said),
        "flink": Schema("outcome-event.flink.sql", _flink_text, _flink_said),
        "parquet": Schema("outcome-event.parquet.txt", _parquet_text, _parquet_said),
    }
)
"""The event's in all languages, by the name that `otel-feedback schema` takes."""

ALL_SCHEMAS: Mapping[str, Schema] = MappingProxyType(
    {**SCHEMAS, "feedback": Schema("feedback.schema.json", lambda: _lines(feedback_schema()), _json_said)}
)
"""These, and that of feedback, which is JSON wherever it is."""
