"""Reading attribute values that anybody may have written: what does not fit is None, and nothing raises."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec

__all__ = ["SAYING", "amount", "count", "json_map", "json_value", "moment_ns", "plain", "text", "texts", "unquoted"]

PLACEHOLDERS = frozenset({"", "unknown", "none", "null", "undefined", "unnamed", "<not specified>", "n/a"})
"""What instrumentation writes where it knows nothing, in lower case."""

MAX_COUNT = 2**53
"""The largest whole number that every JSON reader keeps exactly."""

MAX_JSON = 65_536
"""Characters of a JSON text that are worth reading for a few values in it."""

MAX_NAME = 256
SHORT = 64
MOSTSAYING = 4_096
SAYING: set[object] = set()
"""Short texts that have been looked at, and stay as they are: names repeat."""
_decode = msgspec.json.Decoder().decode


def plain(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a copy of a span's attributes that belongs to the caller."""
    if attributes is None:
        return {}
    # the SDK hands out a read-only view whose copy() is one C-level dict copy; going through its items costs 5 µs
    copy = getattr(attributes, "copy", None)
    copied = copy() if copy is not None else None
    return copied if isinstance(copied, dict) else dict(attributes)


def text(value: Any, limit: int = MAX_NAME) -> str | None:
    """Return a text that says something, at most `limit` characters of it."""
    if value.__class__ is str and value in SAYING and limit == MAX_NAME:
        return value
    if not isinstance(value, str):
        return None
    cut = value[:limit].strip()
    if cut.lower() in PLACEHOLDERS:
        return None
    if cut is value and limit == MAX_NAME:
        if len(SAYING) >= MOSTSAYING:
            SAYING.clear()
        SAYING.add(cut)
    return cut


def texts(value: Any, most: int = 64) -> tuple[str, ...]:
    """Return the texts of a list, or of a list in JSON, or a single one."""
    if isinstance(value, str):
        read = json_value(value) if value.startswith("[") else None
        value = read if isinstance(read, list) else (value,)
    if value.__class__ is not tuple and value.__class__ is not list:
        return ()
    return tuple([found for item in value[:most] if (found := text(item)) is not None])


def count(value: Any) -> int | None:
    """Return a whole number of at least 0."""
    if value.__class__ is int:
        return value if 0 <= value <= MAX_COUNT else None
    if isinstance(value, float) and value.is_integer() and 0 <= value <= MAX_COUNT:
        return int(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 15:
        return int(value)
    return None


def amount(value: object) -> float | None:
    """Return a finite number of at least 0."""
    if isinstance(value, str) and len(value) <= 32:
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if 0 <= number < math.inf else None


def json_value(value: object) -> Any:
    """Return what a JSON text holds; None where it is none, cut, or too long to be worth it."""
    if not isinstance(value, str) or len(value) > MAX_JSON:
        return None
    try:
        return _decode(value)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def json_map(value: Any) -> dict[str, Any]:
    """Return the map that a JSON text holds, or that a value is, which is not to be changed; else an empty one."""
    found = json_value(value) if isinstance(value, str) else value
    if found.__class__ is dict:
        return found
    return dict(found) if found is not None and isinstance(found, Mapping) else {}


def unquoted(value: Any) -> Any:
    """Return what a JSON text holds, which is not to be changed; what is none, as it is."""
    if isinstance(value, str) and len(value) <= SHORT:
        return _unquoted_short(value)
    read = json_value(value)
    return value if read is None else read


@lru_cache(maxsize=1_024)
def _unquoted_short(value: str) -> Any:
    """Do so for texts that repeat, as names of models and kinds of spans."""
    read = json_value(value)
    return value if read is None else read


def moment_ns(value: object) -> int | None:
    """Return the nanoseconds since 1970 that an ISO 8601 text stands for, also where it is quoted as JSON."""
    if not isinstance(value, str) or len(value) > 64:
        return None
    try:
        moment = datetime.fromisoformat(value.strip('"').replace("Z", "+00:00"))
        return int(moment.timestamp() * 1e9)
    except (ValueError, OverflowError):
        return None
