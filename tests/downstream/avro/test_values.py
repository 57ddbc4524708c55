"""An event as a value in Avro and back, by a schema that a real registry has: every field, and what does not fit."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, NamedTuple

import fastavro
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_feedback.downstream.topic.received import decode
from otel_feedback.downstream.topic.values import SchemaWantedError, TopicValues
from otel_feedback.errors import ConfigError, ExportError, SchemaError
from otel_feedback.events.avro import avro_schema
from otel_feedback.events.fields import FIELDS, Kind
from otel_feedback.events.model import OutcomeEvent, OutcomeStatus, Severity
from otel_feedback.exporters.kafka.avro.writing import AVRO, AvroValues
from otel_feedback.settings.registry import RegistryConfig
from tests.downstream.records import Read
from tests.stack.registry import Registry
from tools.sample import sample_event


class Both(NamedTuple):
    """What writes, and what reads."""

    written: AvroValues
    read: TopicValues

    def through(self, event: OutcomeEvent) -> OutcomeEvent:
        record = Read(self.written.encode(event.to_json().encode()), [("content-type", AVRO)])
        return decode(record, self.read.json_fetched(record))


@pytest.fixture(scope="module")
def both(registry: Registry) -> Both:
    config = RegistryConfig(urls=(registry.url,))
    written = AvroValues(config, "values")
    written.prepare()
    return Both(written, TopicValues(config))


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_WHOLE = st.integers(-(2**63), 2**63 - 1)
_NUMBER = st.floats(allow_nan=False, allow_infinity=False)
_SCALAR = _TEXT | st.booleans() | _WHOLE | _NUMBER
_MOMENT = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31), timezones=st.just(timezone.utc))  # noqa: DTZ001
_OF_KIND: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.TEXT: _TEXT, Kind.TRUTH: st.booleans(), Kind.WHOLE: _WHOLE, Kind.NUMBER: _NUMBER, Kind.MOMENT: _MOMENT,
    Kind.TEXTS: st.lists(_TEXT, max_size=3).map(tuple),
    Kind.OBJECT: st.dictionaries(_TEXT, _SCALAR | st.lists(_SCALAR, max_size=3), max_size=4),
}  # fmt: skip
_WORDS: dict[str, st.SearchStrategy[Any]] = {
    "status": st.sampled_from(OutcomeStatus), "severity": st.sampled_from(Severity), "schema_version": st.just("1.0"),
}  # fmt: skip
_REQUIRED = {field.name: _WORDS.get(field.name, _OF_KIND[field.kind]) for field in FIELDS if field.always}
_OPTIONAL = {field.name: _OF_KIND[field.kind] for field in FIELDS if not field.always}
events: st.SearchStrategy[OutcomeEvent] = st.fixed_dictionaries(_REQUIRED, optional=_OPTIONAL).map(
    lambda fields: OutcomeEvent(**fields)
)


@given(event=events)
def test_an_event_comes_back_as_it_was(both: Both, event: OutcomeEvent) -> None:
    again = both.through(event)
    assert again.to_json() == event.to_json(), "to the byte: True is not 1, and 1 is not 1.0"


def test_what_is_written_twice_is_registered_once(both: Both, registry: Registry) -> None:
    for _ in range(2):
        other = AvroValues(RegistryConfig(urls=(registry.url,)), "values")
        other.prepare()
        event = sample_event().to_json().encode()
        assert other.encode(event) == both.written.encode(event)
    assert registry.versions("values-value") == [1]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        pytest.param({"tokens_used": 2**63}, "tokens_used", id="a number of more than 64 bits"),
        pytest.param({"mood": "good"}, "mood", id="a field of a newer version"),
        pytest.param({"metadata": {"plan": {"a": 1}}}, "metadata", id="an object in an object"),
        pytest.param({"timestamp": "yesterday"}, "RFC3339", id="no moment"),
        pytest.param({"event_id": None}, "event_id", id="nothing where something has to be"),
    ],
)
def test_what_does_not_fit_is_said(both: Both, change: dict[str, Any], named: str) -> None:
    payload = msgspec.json.encode({**sample_event().to_dict(), **change})
    with pytest.raises(SchemaError, match=named):
        both.written.encode(payload)


def test_a_number_of_metadata_beyond_64_bits_becomes_a_float(both: Both) -> None:
    event = msgspec.structs.replace(sample_event(), metadata={"large": 10**30})
    assert both.through(event).metadata == {"large": 1e30}


def test_a_newer_producer_s_fields_are_kept_by_the_schema_that_it_wrote_by(both: Both, registry: Registry) -> None:
    newer = avro_schema()
    newer["fields"].append({"name": "mood", "type": ["null", "string"], "default": None})
    schema_id = registry.put("newer-value", newer)
    value = io.BytesIO()
    value.write(struct.pack(">bI", 0, schema_id))
    event = sample_event()
    fastavro.schemaless_writer(value, newer, {**msgspec.structs.asdict(event), "mood": "good"})
    record = Read(value.getvalue(), [("content-type", AVRO)])
    received = decode(record, both.read.json_fetched(record))
    assert received.unknown == {"mood": "good"}
    assert {**received.to_dict(), "mood": None} == {**event.to_dict(), "mood": None}


def _harmed(value: bytes) -> list[bytes]:
    return [value[:5], value[:-1], value[:40], value + b"\x00", value[:5] + b"\xff" * 60]


def test_what_is_no_avro_is_no_event(both: Both) -> None:
    value = both.written.encode(sample_event().to_json().encode())
    for harmed in _harmed(value):
        record = Read(harmed, [("content-type", AVRO)])
        with pytest.raises(SchemaError):
            decode(record, both.read.json_fetched(record))


UNKNOWN = b"\x00\x7f\xff\xff\xffxyz"


def test_a_schema_that_nobody_knows(both: Both) -> None:
    """A producer of ours has written by it, so it is waited for; of others' bytes nothing is expected."""
    ours = Read(UNKNOWN, [("content-type", AVRO)])
    with pytest.raises(SchemaWantedError) as wanted:
        both.read.json_of(ours)
    with pytest.raises(
        ExportError, match=r"knows no schema 2147483647, by which agent-outcomes, partition 3, offset 17"
    ):
        both.read.fetch(wanted.value)
    with pytest.raises(SchemaError, match="the registry knows no schema 2147483647"):
        both.read.json_fetched(Read(UNKNOWN, []))


def test_a_schema_that_is_something_else(both: Both, registry: Registry) -> None:
    schema_id = registry.put("word-value", "string")
    record = Read(b"\x00" + schema_id.to_bytes(4, "big") + b"\x02a", [("content-type", AVRO)])
    with pytest.raises(SchemaError, match="not Avro by schema"):
        both.read.json_fetched(record)


def test_without_a_registry_ours_cannot_be_read_and_others_are_as_they_are() -> None:
    values = TopicValues(None)
    with pytest.raises(ConfigError, match=r"SCHEMA_REGISTRY_URL.*agent-outcomes, partition 3, offset 17"):
        values.json_fetched(Read(UNKNOWN, [("content-type", AVRO)]))
    assert values.json_fetched(Read(UNKNOWN, [])) == UNKNOWN
    assert values.json_fetched(Read(b"{}", [])) == b"{}"
    assert values.json_fetched(Read(None, [])) is None


def test_a_registry_that_is_away_is_said(registry: Registry) -> None:
    from tests.stack.processes import free_port

    nowhere = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ExportError, match="no schema registry answers") as caught:
        AvroValues(RegistryConfig(urls=(nowhere,)), "values").prepare()
    assert caught.value.retryable
    assert nowhere in caught.value.detail
    # the second address answers
    AvroValues(RegistryConfig(urls=(nowhere, registry.url)), "values").prepare()
    root = registry.url.rpartition("/apis/")[0]
    with pytest.raises(ExportError, match="no schema registry"):
        AvroValues(RegistryConfig(urls=(root,)), "values").prepare()


def test_a_schema_that_is_not_compatible_is_not_registered(registry: Registry) -> None:
    older = avro_schema()
    for field in older["fields"]:
        if field["name"] == "depth":
            field["type"] = ["null", "string"]
    registry.put("older-value", older, "BACKWARD")
    with pytest.raises(ExportError, match="schema of older-value") as caught:
        AvroValues(RegistryConfig(urls=(registry.url,)), "older").prepare()
    at = [field["name"] for field in avro_schema()["fields"]].index("depth")
    assert f"/fields/{at}/" in caught.value.detail, "in the registry's words"
    assert registry.versions("older-value") == [1]


Setting = Callable[[], object]


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"KAFKA_VALUE_FORMAT": "avro"}, "SCHEMA_REGISTRY_URL"),
        ({"KAFKA_VALUE_FORMAT": "xml"}, "KAFKA_VALUE_FORMAT"),
        ({"SCHEMA_REGISTRY_URL": "registry:8081"}, "SCHEMA_REGISTRY_URL"),
        ({"SCHEMA_REGISTRY_URL": "http://me:secret-1@registry:8081"}, "SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO"),
        (
            {"SCHEMA_REGISTRY_URL": "http://r", "SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO": "secret-1"},
            "SCHEMA_REGISTRY_BASIC_AUTH_USER_INFO",
        ),
        ({"SCHEMA_REGISTRY_URL": "https://r", "SCHEMA_REGISTRY_SSL_CAFILE": "/nowhere"}, "SCHEMA_REGISTRY_SSL_CAFILE"),
    ],
)
def test_settings_that_cannot_be_used(variables: dict[str, str], named: str) -> None:
    import otel_feedback as feedback

    with pytest.raises(ConfigError, match=named) as caught:
        feedback.get_settings(environ=variables)
    assert "secret-1" not in str(caught.value)


def test_the_schema_is_what_is_shown(both: Both, registry: Registry) -> None:
    """What is registered is what `otel-feedback schema avro` writes."""
    import urllib.request

    with urllib.request.urlopen(f"{registry.url}/subjects/values-value/versions/1") as answer:
        assert json.loads(json.loads(answer.read())["schema"]) == avro_schema()
