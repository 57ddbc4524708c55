"""A record of the topic as the event that it is: what its headers say, its JSON decoded, what is not known kept.

Input: a record as kafka-python has it. Output: `ReceivedEvent`. Pure; safe on any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from otel_feedback.downstream.topic.upcasting import upcast
from otel_feedback.errors import SchemaError
from otel_feedback.events.model import SCHEMA_VERSION, OutcomeEvent, encode
from otel_feedback.exporters.kafka.topics import tenant_of

__all__ = ["Headers", "Position", "ReceivedEvent", "check_whose", "decode", "event_in", "header", "is_for", "major_of"]

Headers = Iterable[tuple[str, bytes | None]]

_KNOWN = frozenset(OutcomeEvent.__struct_fields__)
_MAJOR = int(SCHEMA_VERSION.partition(".")[0])
_MOST_DIGITS = 9  # of a number's thousands Python reads none
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class _HasVersion(Protocol):
    @property
    def schema_version(self) -> str: ...


_Event = TypeVar("_Event", bound=_HasVersion)


class Position(NamedTuple):
    """Where a record stands in Kafka."""

    topic: str
    partition: int
    offset: int


class ReceivedEvent(OutcomeEvent, frozen=True, omit_defaults=True, gc=True, dict=True):
    """An `OutcomeEvent` as it came, with `position`, `headers` and what this version does not know of it, `unknown`.

    An older version's is told in the fields of this one; `schema_version` is that of its producer. What is made of it by
    `msgspec.structs.replace` has the fields only.
    """

    @property
    def position(self) -> Position | None:
        """Topic, partition and offset of its record."""
        return self.__dict__.get("position")

    @property
    def headers(self) -> Mapping[str, bytes]:
        """The record's headers by name."""
        return {name: value for name, value in self.__dict__.get("headers", ()) if value is not None}

    @property
    def unknown(self) -> Mapping[str, Any]:
        """The fields of a newer producer that this version has no name for, as they are in the JSON."""
        kept: dict[str, Any] = vars(self)  # pyright takes it for one of a class
        found = kept.get("unknown")
        if found is None:
            payload = self.__dict__.get("payload")
            if payload is None:
                return _NOTHING
            told: dict[str, Any] = msgspec.json.decode(payload)
            found = {name: value for name, value in told.items() if name not in _KNOWN}
            kept["unknown"] = found
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the wire form as a dict, with the unknown fields."""
        return {**super().to_dict(), **self.unknown}

    def to_json(self) -> str:
        """Return the wire form as one line of JSON, with the unknown fields."""
        return encode(self.to_dict()).decode()


_decode = msgspec.json.Decoder(ReceivedEvent).decode


@lru_cache(32)
def major_of(version: str) -> int:
    """Return the major version that a schema's version says.

    Raises:
        SchemaError: It says none.
    """
    number = version.partition(".")[0]
    if not number.isdecimal() or len(number) > _MOST_DIGITS:
        raise SchemaError(f"schema_version={version[:100]!r}: expected a version such as {SCHEMA_VERSION!r}")
    return int(number)


def header(headers: Headers, name: str) -> str | None:
    """Return one header as text; None where it is absent."""
    for key, value in headers:
        if key == name and value is not None:
            return value.decode("utf-8", "replace")
    return None


def is_for(headers: Headers, tenant_id: str) -> bool | None:
    """Tell by its headers whether an event is a tenant's; None where they do not tell, as those of older producers."""
    found = header(headers, "tenant_id")
    if found is not None:
        return found == tenant_id
    return None if header(headers, "schema_version") is None else False


def check_whose(tenant_id: str | None, owner: str | None) -> None:
    """See that an event on the topic of a tenant is that tenant's: who may write there can say anything in it.

    Args:
        tenant_id: The event's.
        owner: Whose topic it is; None: anybody's.

    Raises:
        SchemaError: It is another's.
    """
    if owner is not None and tenant_id != owner:
        raise SchemaError(f"tenant_id={tenant_id!r}: the topic is that of {owner!r}")


def decode(record: Any, payload: bytes | None, topic: str = "") -> ReceivedEvent:
    """Decode a record of kafka-python's; older versions of the event are brought to this one.

    Args:
        record: Where it is, and its headers.
        payload: The JSON of its value, as `TopicValues` has it.
        topic: As it is set: where it is one for each tenant, an event is to be of the tenant whose topic it is on.

    Raises:
        SchemaError: It holds no outcome event, one of a version that is too new, or one of another tenant; the message says
            which field.
    """
    event = event_in(payload, header(record.headers, "schema_version"), ReceivedEvent, _decode)
    check_whose(event.tenant_id, tenant_of(topic, record.topic))
    told: dict[str, Any] = vars(event)
    told["position"] = Position(record.topic, record.partition, record.offset)
    told["headers"] = record.headers
    told["payload"] = payload
    return event


def event_in(
    payload: bytes | None, said: str | None, kind: type[_Event], decode_one: Callable[[bytes], _Event]
) -> _Event:
    """Decode an event's JSON into a struct with the event's fields; older versions are brought to this one.

    Args:
        payload: The JSON.
        said: The schema's version as a header says it; None: as the JSON does.
        kind: What to make.
        decode_one: A decoder of it.

    Raises:
        SchemaError: It holds no outcome event, or one of a version that is too new; the message says which field.
    """
    if not payload:
        raise SchemaError("not an outcome event: the record has no value")
    try:
        if said is None or major_of(said) == _MAJOR:
            event = decode_one(payload)
            said = event.schema_version
        else:
            event = None
        major = major_of(said)
        if major > _MAJOR:
            raise SchemaError(f"schema_version={said!r}: expected {_MAJOR}.x or older; a newer otel-feedback reads it")
        if event is None or major < _MAJOR:
            event = msgspec.convert(upcast(msgspec.json.decode(payload), major), kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise SchemaError(f"not an outcome event: {exc}") from exc
    return event
