"""From the code's own tables to Markdown, JSON Schema and `.env.example`: pure functions, one for each generated part."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, get_type_hints

import msgspec

from otel_feedback.convert.conventions.own import FIELDS
from otel_feedback.events import codec
from otel_feedback.events.model import OutcomeStatus, Severity
from otel_feedback.exporters.kafka.headers import record_headers
from otel_feedback.exporters.otlp.encoding import encode_request
from otel_feedback.settings.kafka import KafkaConfig
from otel_feedback.settings.registry import RegistryConfig
from otel_feedback.settings.store import ALL_SETTINGS
from otel_feedback.settings.table import Setting
from tools import docs_tables as texts
from tools.sample import sample_event, sample_record

__all__ = [
    "accepted",
    "env_example",
    "event_always",
    "event_example",
    "event_fields",
    "event_names",
    "kafka_headers",
    "kafka_options",
    "otel_variables",
    "schema",
    "settings",
]

Cells = Sequence[str]


def _table(head: Cells, rows: Iterable[Cells]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


# -- settings ----------------------------------------------------------------------------------------------


def accepted(setting: Setting) -> str:
    """Return what a setting takes, in the words of its error message."""
    try:
        setting.read(object())
    except ValueError as exc:
        return str(exc)
    raise TypeError(f"{setting.name} takes anything")


def _default(setting: Setting) -> str:
    return "" if setting.default is None else _code(setting.default)


def _sections() -> list[tuple[str, list[Setting]]]:
    # in the table's order, though a section need not stand together there
    order = list(dict.fromkeys(setting.section for setting in ALL_SETTINGS))
    ordered = sorted(ALL_SETTINGS, key=lambda setting: order.index(setting.section))
    return [(section, list(rows)) for section, rows in groupby(ordered, key=lambda setting: setting.section)]


def settings() -> str:
    """Return one table for each section of the settings."""
    head = ("Variable", "Argument", "Default", "Takes", "Meaning")
    parts: list[str] = []
    for section, rows in _sections():
        cells = [
            (
                _code(row.variable), _code(row.name), _default(row), accepted(row),
                row.meaning + (" Never shown in a message." if row.secret else ""),
            )
            for row in rows
        ]  # fmt: skip
        parts.append(f"### {section}\n\n{_table(head, cells)}")
    return "\n\n".join(parts)


def kafka_options() -> str:
    """Return the fields of `KafkaConfig` that no variable sets."""
    hints = get_type_hints(KafkaConfig)
    rows: list[Cells] = []
    for field in msgspec.structs.fields(KafkaConfig):
        if field.name in texts.KAFKA_OPTIONS:
            default = "" if field.default is msgspec.NODEFAULT else _code(str(field.default))
            kind = {int: "int", RegistryConfig | None: "RegistryConfig"}.get(hints[field.name], "mapping")
            rows.append((_code(field.name), kind, default, texts.KAFKA_OPTIONS[field.name]))
    return _table(("Field", "Type", "Default", "Meaning"), rows)


def otel_variables() -> str:
    """Return the variables of OpenTelemetry that are obeyed."""
    parts: list[str] = []
    for section, (introduction, variables) in texts.OTEL.items():
        rows = [(_code(one.name), _code(one.default), one.meaning) for one in variables]
        parts.append(f"### {section}\n\n{introduction}\n\n{_table(('Variable', 'Default', 'Meaning'), rows)}")
    return "\n\n".join(parts)


def env_example() -> str:
    """Return `.env.example`: every setting commented out at its default, secrets and unset ones without a value."""
    parts = [
        _comment(
            "Settings of otel-feedback, at their defaults. Generated from the code: python -m tools.docs\n"
            "Copy to .env and take away the # of a line to change it. Only the command line (otel-feedback) reads "
            ".env by itself; a program reads its environment."
        )
    ]
    for section, rows in _sections():
        lines = [f"# ---- {section} ----"]
        for row in rows:
            value = "" if row.secret or row.default is None else row.default
            lines += ["", _comment(row.meaning.replace("`", "")), f"#{row.variable}={value}"]
        parts.append("\n".join(lines))
    lines = ["# ---- OpenTelemetry ----"]
    for _, variables in texts.OTEL.values():
        for one in variables:
            if one.in_example:
                lines += ["", _comment(one.meaning.replace("`", "")), f"#{one.name}={one.default}"]
    parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _comment(text: str) -> str:
    wrapped = (textwrap.wrap(line, 96) for line in text.splitlines())
    return "\n".join(f"# {line}" for lines in wrapped for line in lines)


# -- the event ---------------------------------------------------------------------------------------------


def _body() -> dict[str, Any]:
    body: dict[str, Any] = codec.json_schema()["$defs"]["OutcomeEvent"]
    return body


_ENUMS: dict[str, type[OutcomeStatus | Severity]] = {"OutcomeStatus": OutcomeStatus, "Severity": Severity}


def _type(name: str, schema: dict[str, Any]) -> str:
    kinds = [kind for kind in schema.get("anyOf", [schema]) if kind.get("type") != "null"]
    words: list[str] = []
    for kind in kinds:
        if "$ref" in kind:
            values = _ENUMS[kind["$ref"].rpartition("/")[2]]
            words.append(", ".join(_code(value.value) for value in values))
        elif kind["type"] == "array":
            words.append(f"list of {kind['items']['type']}s")
        else:
            words.append("map" if kind["type"] == "object" else str(kind["type"]))
    if not words:
        raise TypeError(f"no type for {name}")
    return " or ".join(words)


def event_fields() -> str:
    """Return one table of fields for each part of the event."""
    properties = _body()["properties"]
    parts: list[str] = []
    for section, fields in texts.EVENT.items():
        rows = [
            (_code(name), _type(name, properties[name]), text.unit, text.meaning, text.since)
            for name, text in fields.items()
        ]
        parts.append(f"### {section}\n\n{_table(('Field', 'Type', 'Unit', 'Meaning', 'Since'), rows)}")
    return "\n\n".join(parts)


def event_always() -> str:
    """Return the sentence that says which fields are always there."""
    names = [name for fields in texts.EVENT.values() for name in fields if name in _body()["required"]]
    return "Always there: " + ", ".join(_code(name) for name in names) + "."


def event_example() -> str:
    """Return one event, as it is on the wire but for the line breaks."""
    return f"```json\n{json.dumps(codec.to_dict(sample_event()), indent=2, ensure_ascii=False)}\n```"


def event_names() -> str:
    """Return where each field stands in a span and in an OTLP log record, read off a real conversion of each."""
    attribute_of = {field: attribute for attribute, field in FIELDS.items()}
    in_log = _log_attributes()
    rows = [
        (_code(name), _code(attribute_of.get(name, "")), _code(in_log.get(name, "")))
        for fields in texts.EVENT.values()
        for name in fields
        if name != "metadata"
    ]
    rows.append(("`metadata`", "`outcome.metadata.<key>`", "`outcome.metadata.<key>`"))
    return _table(("Field", "Span attribute", "Log attribute"), rows)


def _log_attributes() -> dict[str, str]:
    record = sample_record()
    log = encode_request([record], "support-bot").resource_logs[0].scope_logs[0].log_records[0]
    wire = codec.to_dict(codec.decode(record.payload))
    found: dict[str, str] = {}
    for attribute in log.attributes:
        kind = attribute.value.WhichOneof("value") or ""
        value: Any = getattr(attribute.value, kind)
        if kind == "array_value":
            value = [item.string_value for item in value.values]
        fields = [name for name, known in wire.items() if known == value and type(known) is type(value)]
        # end_time and timestamp are one moment: the attribute's own name decides
        for name in fields if len(fields) == 1 else [name for name in fields if attribute.key.endswith(f".{name}")]:
            found[name] = attribute.key
    return found


def kafka_headers() -> str:
    """Return the headers of a record, each with the value that a real one has."""
    headers = record_headers(sample_record())
    rows = [(_code(name), _code(value.decode()), texts.HEADERS[name]) for name, value in headers]
    return _table(("Header", "Example", "Meaning"), rows)


def schema() -> str:
    """Return the JSON Schema with our texts in it, as the file's content."""
    whole = codec.json_schema()
    body = whole["$defs"]["OutcomeEvent"]
    for fields in texts.EVENT.values():
        for name, text in fields.items():
            unit = f" Unit: {text.unit}." if text.unit else ""
            body["properties"][name]["description"] = text.meaning.replace("`", "") + unit
    body["description"] = texts.EVENT_SUMMARY
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"
