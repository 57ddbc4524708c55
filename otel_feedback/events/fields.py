"""The fields of the event as every schema of it has them: a name, one of seven kinds, and whether it is always there.

Derived from `OutcomeEvent`, so that a new field is in all schemas at once. Pure; safe on any thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from otel_feedback.events.codec import json_schema
from otel_feedback.events.model import OutcomeEvent

__all__ = ["FIELDS", "Field", "Kind"]


class Kind(Enum):
    """What a field holds."""

    TEXT = "text"  # a word of a fixed list, too: a list grows, and most schemas would take that for another type
    TRUTH = "truth"
    WHOLE = "whole number"  # 64 bits
    NUMBER = "number"  # a float of 64 bits
    MOMENT = "moment"  # in UTC, to the microsecond
    TEXTS = "texts"  # a list; empty where nothing was said
    OBJECT = "object"  # by name a text, truth, number, or a list of these


class Field(NamedTuple):
    """One field of the event."""

    name: str
    kind: Kind
    always: bool


_PLAIN: Mapping[type, Kind] = MappingProxyType(
    {
        msgspec.inspect.StrType: Kind.TEXT,
        msgspec.inspect.EnumType: Kind.TEXT,
        msgspec.inspect.BoolType: Kind.TRUTH,
        msgspec.inspect.IntType: Kind.WHOLE,
        msgspec.inspect.FloatType: Kind.NUMBER,
        msgspec.inspect.DateTimeType: Kind.MOMENT,
        msgspec.inspect.VarTupleType: Kind.TEXTS,
        msgspec.inspect.DictType: Kind.OBJECT,
    }
)


def _kind_of(told: Any) -> Kind:
    if isinstance(told, msgspec.inspect.UnionType):
        (told,) = (each for each in told.types if not isinstance(each, msgspec.inspect.NoneType))
    return _PLAIN[type(told)]


def _fields() -> tuple[Field, ...]:
    told = msgspec.inspect.type_info(OutcomeEvent)
    assert isinstance(told, msgspec.inspect.StructType)
    required = json_schema()["$defs"]["OutcomeEvent"]["required"]
    return tuple(Field(field.encode_name, _kind_of(field.type), field.encode_name in required) for field in told.fields)


FIELDS: tuple[Field, ...] = _fields()
"""All fields, in the event's order."""
