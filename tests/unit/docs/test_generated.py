"""The generated documentation is in step with the code, and says something of everything."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

import otel_feedback as feedback
from otel_feedback.events import codec
from otel_feedback.exporters.kafka.headers import record_headers
from otel_feedback.exporters.kafka.receipt import REFUSED_NAMES
from otel_feedback.journal.interface import LOST_RETENTION
from otel_feedback.pipeline.delivery import LOST_SHUTDOWN
from otel_feedback.settings.kafka import KafkaConfig
from otel_feedback.settings.store import ALL_SETTINGS
from otel_feedback.settings.table import SETTINGS
from tests.support import ROOT
from tools import docs, docs_tables, render
from tools.sample import sample_event, sample_record

any_settings: Any = feedback.get_settings  # for arguments that no type checker would let pass


def env_lines() -> list[tuple[str, str]]:
    """Return the variables of `.env.example` with their values."""
    text = (ROOT / ".env.example").read_text("utf-8")
    return re.findall(r"^#([A-Z][A-Z0-9_]+)=(.*)$", text, re.MULTILINE)


def test_nothing_is_out_of_step() -> None:
    found = docs.differences()
    assert not found, "run: python -m tools.docs\n" + "\n".join(difference for _, difference in found)


def test_a_difference_is_found_and_written_away(tmp_path: Path) -> None:
    for name in (*docs.PAGES, *docs.FILES):
        copy = tmp_path / name
        copy.parent.mkdir(exist_ok=True)
        copy.write_text((ROOT / name).read_text("utf-8").replace("KAFKA_BATCH_SIZE", "KAFKA_BATCH"), "utf-8")
    by_hand = "docs/configuration.md"
    text = (tmp_path / by_hand).read_text("utf-8")
    (tmp_path / by_hand).write_text(text.replace("# Configuration", "# Configuration, by hand"), "utf-8")

    assert [name for name, _ in docs.differences(tmp_path)] == [by_hand, ".env.example"]
    docs.write(tmp_path)
    assert docs.differences(tmp_path) == []
    assert (tmp_path / by_hand).read_text("utf-8").startswith("# Configuration, by hand\n"), "the rest stays"


def test_every_field_of_the_event_has_a_meaning() -> None:
    described = {name: text for fields in docs_tables.EVENT.values() for name, text in fields.items()}
    assert set(described) == {field.name for field in msgspec.structs.fields(feedback.OutcomeEvent)}
    for name, text in described.items():
        assert text.meaning.endswith((".", "…")), name
        assert re.fullmatch(r"\d+\.\d+\.\d+", text.since), name


def test_fields_whose_name_has_a_unit_say_it() -> None:
    described = {name: text.unit for fields in docs_tables.EVENT.values() for name, text in fields.items()}
    for ending, unit in (("_ms", "ms"), ("_mb", "10^6 bytes"), ("_score", "0 to 1"), ("_tokens", "tokens")):
        assert {unit_ for name, unit_ in described.items() if name.endswith(ending)} == {unit}, ending


def test_the_sample_has_every_field_and_no_value_twice() -> None:
    """Where two were alike, the table of names could not tell them apart."""
    wire = sample_event().to_dict()
    assert set(wire) == {field.name for field in msgspec.structs.fields(feedback.OutcomeEvent)}
    values = [json.dumps(value) for name, value in wire.items() if name != "end_time"]  # is the timestamp
    assert len(set(values)) == len(values)


def test_every_header_and_kafka_option_has_a_meaning() -> None:
    headers = record_headers(sample_record())
    assert {name for name, _ in headers} == set(docs_tables.HEADERS)
    by_variable = {row.name.removeprefix("kafka_") for row in SETTINGS} | {"topic"}
    fields = {field.name for field in msgspec.structs.fields(KafkaConfig)}
    assert fields - by_variable == set(docs_tables.KAFKA_OPTIONS)


def test_every_variable_of_opentelemetry_that_the_code_names_is_documented() -> None:
    documented = {one.name for _, rows in docs_tables.OTEL.values() for one in rows}
    documented |= {row.variable for row in ALL_SETTINGS}
    for path in (ROOT / "otel_feedback").rglob("*.py"):
        if "cli" in path.parts:
            continue
        for name in re.findall(r"\"(OTEL_[A-Z_]*[A-Z])\"", path.read_text("utf-8")):
            general = re.sub(r"_OTLP_(LOGS|TRACES|METRICS)_", "_OTLP_", name)
            assert general in documented or name == "OTEL_FEEDBACK", f"{name} in {path.name}"


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.variable)
def test_what_a_setting_takes_is_what_its_error_says(setting: Any) -> None:
    with pytest.raises(feedback.ConfigError, match=re.escape(render.accepted(setting))):
        any_settings(environ={}, **{setting.name: object()})


def test_the_env_file_has_every_setting_once_and_no_secret() -> None:
    lines = env_lines()
    names = [name for name, _ in lines]
    assert len(set(names)) == len(names)
    assert {row.variable for row in ALL_SETTINGS} <= set(names)
    secrets = {row.variable for row in SETTINGS if row.secret}
    assert secrets
    assert {value for name, value in lines if name in secrets} == {""}


def test_the_env_file_says_the_defaults() -> None:
    """With every line uncommented all is as with none, but for Kafka and OTLP, which these addresses turn on."""
    told = feedback.get_settings(environ=dict(env_lines()), enable_kafka=False, enable_otlp=False)
    assert told == feedback.get_settings(environ={})


def test_the_schema_is_the_codecs_with_descriptions() -> None:
    shown = json.loads((ROOT / "docs" / "schemas" / "outcome-event.schema.json").read_text("utf-8"))
    bare = json.loads(json.dumps(codec.json_schema()))
    for field, schema in shown["$defs"]["OutcomeEvent"]["properties"].items():
        assert schema.pop("description"), field
    shown["$defs"]["OutcomeEvent"].pop("description")
    bare["$defs"]["OutcomeEvent"].pop("description")
    assert shown == bare


def test_the_schema_takes_events_and_refuses_others() -> None:
    schema = json.loads((ROOT / "docs" / "schemas" / "outcome-event.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    wire = sample_event().to_dict()
    jsonschema.validate(wire, schema)
    for change in ({"status": "done"}, {"depth": "two"}, {"tags": "one"}, {"metadata": {"a": {"b": 1}}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**wire, **change}, schema)


def test_the_architecture_page_has_every_reason_for_a_loss() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    sources = [path.read_text("utf-8") for path in (ROOT / "otel_feedback").rglob("*.py")]
    refusals = {reason for source in sources for reason in re.findall(r'Refusal\("(\w+)"', source)}
    assert refusals
    for reason in {LOST_RETENTION, LOST_SHUTDOWN, *REFUSED_NAMES.values(), "rejected", *refusals}:
        assert f"`{reason}`" in page, reason


def test_the_events_page_has_the_topics_that_the_command_creates() -> None:
    from otel_feedback.cli.kafka.topics import topic_names

    page = (ROOT / "docs" / "events.md").read_text("utf-8")
    listed = re.findall(r"^\| `(agent-[\w-]+)` \|", page, re.MULTILINE)
    assert listed == list(topic_names(KafkaConfig()))


def test_check_says_what_is_out_of_step(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert docs.main(["--check"]) == 0
    monkeypatch.setitem(docs.FILES, ".env.example", lambda: render.env_example() + "new\n")
    assert docs.main(["--check"]) == 1
    assert "+new" in (said := capsys.readouterr().out)
    assert said.endswith("out of step: .env.example; run: python -m tools.docs\n")
