"""The event's schema in five languages takes what real events are; and what breaks its readers does not pass."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import duckdb
import fastavro
import msgspec
import pytest

from otel_feedback.cli.main import main
from otel_feedback.downstream.contract.gate import breaks, is_allowed
from otel_feedback.downstream.contract.schemas import SCHEMAS
from otel_feedback.events.avro import avro_schema
from otel_feedback.events.fields import FIELDS
from otel_feedback.events.model import OutcomeEvent
from tests.downstream.store.stores import Store, append, lines
from tests.downstream.tables import made
from tools import contract
from tools.sample import sample_event

LANGUAGES = list(SCHEMAS)
NAMES = [field.name for field in FIELDS]


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_schema_has_every_field(language: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", language]) == 0
    assert list(SCHEMAS[language].said(capsys.readouterr().out)) == NAMES


def test_what_is_released_is_what_is_there_or_less() -> None:
    assert contract.broken() == []


def _without(language: str, name: str) -> str:
    return _changed(language, name, lambda fields, at: fields.pop(at))


def _changed(language: str, name: str, change: Any) -> str:
    """Return a text in which one field was changed, as somebody would who edits it."""
    text = SCHEMAS[language].text()
    if language == "json":
        whole = json.loads(text)
        change(whole["$defs"]["OutcomeEvent"]["properties"], name)
        return json.dumps(whole)
    if language in ("flink", "parquet"):
        lines = text.splitlines()
        change(lines, next(at for at, line in enumerate(lines) if f"{name}:" in line or f"`{name}` " in line))
        return "\n".join(lines)
    whole = json.loads(text)
    fields = whole["fields"] if language == "avro" else whole
    change(fields, next(at for at, field in enumerate(fields) if field["name"] == name))
    return json.dumps(whole)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ["status", "own_cost", "metadata"])
def test_a_field_that_goes_is_refused_and_one_that_comes_is_not(language: str, name: str) -> None:
    now, less = SCHEMAS[language].text(), _without(language, name)
    assert [(each.field, each.what) for each in breaks(language, now, less)] == [(name, "is gone")]
    if (name, language) in {("status", "avro"), ("status", "bigquery")}:
        assert [each.what for each in breaks(language, less, now)] == ["is new, and required"]
    elif language != "json":  # there its name stays among the required ones
        assert breaks(language, less, now) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_another_type_is_refused(language: str) -> None:
    def retype(fields: Any, at: Any) -> None:
        if isinstance(fields[at], str):
            fields[at] = fields[at].replace("BIGINT", "STRING").replace("INT64", "DOUBLE")
        else:
            fields[at]["type" if "type" in fields[at] else "anyOf"] = "string"

    (found,) = breaks(language, SCHEMAS[language].text(), _changed(language, "depth", retype))
    assert found.field == "depth"
    assert found.what.startswith("was ")


@pytest.mark.parametrize("language", ["json", "avro", "bigquery"])
def test_what_becomes_required_is_refused_and_what_is_no_more(language: str) -> None:
    whole = json.loads(SCHEMAS[language].text())
    if language == "json":
        whole["$defs"]["OutcomeEvent"]["required"].append("model")
    else:
        fields = whole["fields"] if language == "avro" else whole
        (field,) = (each for each in fields if each["name"] == "model")
        field["mode"] = "REQUIRED"
        field.pop("default", None)
    now, stricter = SCHEMAS[language].text(), json.dumps(whole)
    assert [each.what for each in breaks(language, now, stricter)] == ["is required now"]
    assert [each.what for each in breaks(language, stricter, now)] == ["is not required any more"]


def test_a_word_that_a_released_schema_does_not_have_is_refused() -> None:
    whole = json.loads(SCHEMAS["json"].text())
    whole["$defs"]["OutcomeStatus"]["enum"].append("skipped")
    assert [each.field for each in breaks("json", SCHEMAS["json"].text(), json.dumps(whole))] == ["status"]


def test_only_a_new_major_version_may_break(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert [is_allowed("1.0", version) for version in ("1.0", "1.9", "2.0", "10.1")] == [False, False, True, True]
    contract.release(tmp_path)
    file = tmp_path / SCHEMAS["avro"].file
    told = json.loads(file.read_text())
    told["fields"].append({"name": "mood", "type": ["null", "string"], "default": None})
    file.write_text(json.dumps(told))
    assert [str(each) for each in contract.broken(tmp_path)] == ["avro: mood is gone"]
    (tmp_path / "VERSION").write_text("0.9\n")
    assert contract.broken(tmp_path) == []


def test_parquet_is_what_the_store_writes(tmp_path: Path) -> None:
    """Every column of a real file of the store has the type that the schema says."""
    log = tmp_path / "outcomes.jsonl"
    append(log, lines(range(3)))
    store = Store(tmp_path / "store", "--from", str(log))
    store.once()
    (file,) = store.files()
    asked = "SELECT name, type, converted_type FROM parquet_schema(?)"
    rows = duckdb.connect().execute(asked, [file]).fetchall()
    found: dict[str, str] = {}
    for at, (name, kind, converted) in enumerate(rows):
        if converted == "LIST":
            _, inner, of = rows[at + 2]
            found[name] = f"LIST of {inner} ({of})"
        else:
            found[name] = f"{kind} ({converted})" if converted else kind
    said = SCHEMAS["parquet"].said(SCHEMAS["parquet"].text())
    assert {name: found[name] for name in NAMES} == {name: told.type for name, told in said.items()}


def test_avro_takes_events_and_gives_them_back() -> None:
    schema = fastavro.parse_schema(avro_schema())
    metadata = {"a": True, "b": 1, "c": 1.5, "d": "x", "e": [False, 2, 0.5, "y"], "f": [], "g": -(2**63)}
    whole = msgspec.structs.replace(sample_event(), metadata=metadata, tags=("one", "two"))
    for event in (whole, *made.events(300)):
        with io.BytesIO() as file:
            fastavro.schemaless_writer(file, schema, msgspec.structs.asdict(event))
            file.seek(0)
            again = fastavro.schemaless_reader(file, schema, None)
        assert msgspec.convert(again, OutcomeEvent) == event
        assert repr(msgspec.convert(again, OutcomeEvent)) == repr(event), "True is not 1"
