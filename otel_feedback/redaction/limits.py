"""Cleaning of what callers hand in: wrong types and huge values become usable, flagged values.

Input: anything. Output: a clean value, and the names of fields that were cut (`truncated`) or had a value
that could not be kept as given (`invalid`). Never raises: an agent must not fail because of its telemetry.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, TypeGuard
from uuid import UUID

from otel_feedback.events.model import MetadataValue
from otel_feedback.redaction.scrubbing import scrub
from otel_feedback.semconv import METADATA_INVALID, METADATA_REDACTED, METADATA_TRUNCATED

__all__ = [
    "MAX_INT",
    "MAX_ITEMS",
    "MAX_NAME",
    "MAX_STACK",
    "MAX_TEXT",
    "Problems",
    "clean_tags",
    "clean_text",
    "cut",
    "flat_metadata",
    "is_plain",
    "plain_tags",
    "safe_str",
]

MAX_NAME = 256
"""Characters of a name, an identifier or a tag."""
MAX_TEXT = 4_096
"""Characters of an error message or a metadata value."""
MAX_STACK = 16_384
"""Characters of a stack trace; the end is kept, since the cause stands there."""
MAX_ITEMS = 64
"""Tags of an action, keys of its metadata, items of a list in it."""

MAX_INT = 2**63 - 1
"""The largest whole number that OTLP and most warehouses can hold."""

LONGEST_SECRET = 8_192
"""Characters of the longest secret that a cut is certain to leave nothing of: a private key of 8,192 bits has 6,400."""

_TEXT_TYPES = (UUID, datetime, date, Decimal, PurePath)


class Problems:
    """What had to be changed in one action's input. Made only when something had to."""

    __slots__ = ("invalid", "redacted", "truncated")

    def __init__(self) -> None:
        self.truncated: list[str] = []
        self.invalid: list[str] = []
        self.redacted: list[str] = []

    def copy(self) -> Problems:
        """Return a copy that can grow by itself."""
        copied = Problems()
        copied.truncated, copied.invalid = self.truncated.copy(), self.invalid.copy()
        copied.redacted = self.redacted.copy()
        return copied

    def flags(self) -> dict[str, MetadataValue]:
        """Return what an event's metadata says of this: each field once."""
        found: tuple[tuple[str, list[str]], ...] = (
            (METADATA_TRUNCATED, self.truncated),
            (METADATA_INVALID, self.invalid),
            (METADATA_REDACTED, self.redacted),
        )
        flags: dict[str, MetadataValue] = {}
        for flag, fields in found:
            if fields:
                once: list[Any] = [*dict.fromkeys(fields)]
                flags[flag] = once[:MAX_ITEMS]
        return flags


def safe_str(value: object) -> str:
    """Return `str(value)`, or the class's name when `str()` itself fails or is not text."""
    try:
        text = str(value)
    except Exception:  # a user's __str__ may raise anything
        return f"<{type(value).__name__}>"
    return text.encode("utf-8", "replace").decode() if not text.isascii() else text


def cut(text: str, limit: int, *, keep_end: bool = False) -> str:
    """Return at most `limit` characters of a text, and none of a secret that the cut goes through.

    So secrets go first, of a part that is long enough to show those at the edge as a whole; and what stands at the
    part's own edge is left out, also where the text has become shorter.
    """
    if len(text) <= limit:
        return scrub(text)
    most = limit + LONGEST_SECRET
    if len(text) <= most:
        part, room = scrub(text), limit
    else:
        part = scrub(text[-most:] if keep_end else text[:most])
        room = max(0, min(limit, len(part) - LONGEST_SECRET))
    return part[max(0, len(part) - room) :] if keep_end else part[:room]


def clean_text(value: object, name: str, problems: Problems, limit: int = MAX_NAME) -> str:
    """Return `value` as text of at most `limit` characters, noting what was changed."""
    if isinstance(value, str) and not isinstance(value, Enum):
        text = safe_str(value)
    else:
        text = safe_str(value.value if isinstance(value, Enum) else value)
        problems.invalid.append(name)
    if len(text) > limit:
        problems.truncated.append(name)
        return cut(text, limit)
    return text


def is_plain(value: object) -> TypeGuard[str]:
    """Tell whether this is a short text that needs no cleaning, which it nearly always is."""
    return value.__class__ is str and len(value) <= MAX_NAME and value.isascii()  # type: ignore[arg-type,attr-defined]


def plain_tags(tags: object) -> tuple[str, ...]:
    """Return the tags if they need no cleaning, which is nearly always; else nothing."""
    if tags.__class__ is not list and tags.__class__ is not tuple:
        return ()
    given: Sequence[Any] = tags  # type: ignore[assignment]
    if len(given) > MAX_ITEMS:
        return ()
    for tag in given:
        if not is_plain(tag):
            return ()
    return tuple(dict.fromkeys(given)) if len(given) > 1 else tuple(given)


def plain_metadata(metadata: object) -> dict[str, MetadataValue]:
    """Return a copy of the metadata if it needs no cleaning, which is nearly always; else nothing."""
    if metadata.__class__ is not dict:
        return {}
    given: dict[Any, Any] = metadata  # type: ignore[assignment]
    if len(given) > MAX_ITEMS:
        return {}
    for key, value in given.items():
        kind = value.__class__
        if not is_plain(key):
            return {}
        if kind is str:
            if len(value) > MAX_TEXT or not value.isascii():
                return {}
        elif kind is not bool and (kind is not int or not -MAX_INT <= value <= MAX_INT):
            return {}
    return given.copy()


def flat_metadata(metadata: object, notes: Callable[[], Problems]) -> dict[str, MetadataValue]:
    """Return metadata as a flat map of its own, of scalars and lists of scalars."""
    return plain_metadata(metadata) or clean_metadata(metadata, notes())


def clean_tags(tags: object, problems: Problems) -> tuple[str, ...]:
    """Return tags as a tuple of short strings, first occurrence first, without repeats."""
    if isinstance(tags, str) or not isinstance(tags, Iterable):
        problems.invalid.append("tags")
        tags = (tags,)
    clean: dict[str, None] = {}
    try:
        for tag in tags:
            if len(clean) >= MAX_ITEMS:
                problems.truncated.append("tags")
                break
            clean[clean_text(tag, "tags", problems)] = None
    except Exception:  # a user's iterator may raise anything
        problems.invalid.append("tags")
    return tuple(clean)


def clean_metadata(metadata: object, problems: Problems) -> dict[str, MetadataValue]:
    """Return metadata as a flat map of scalars and lists of scalars; nested maps get dotted keys."""
    clean: dict[str, MetadataValue] = {}
    if not isinstance(metadata, Mapping):
        problems.invalid.append("metadata")
        return clean
    try:
        _flatten(metadata, "", clean, problems, depth=0)
    except Exception:  # a user's mapping may raise anything
        problems.invalid.append("metadata")
    return clean


def _flatten(
    metadata: Mapping[Any, Any], prefix: str, clean: dict[str, MetadataValue], problems: Problems, depth: int
) -> None:
    for key, value in metadata.items():
        name = prefix + clean_text(key, "metadata", problems)
        if value is None:
            continue
        if len(clean) >= MAX_ITEMS:
            problems.truncated.append("metadata")
            return
        if isinstance(value, Mapping) and depth < 4:
            _flatten(value, f"{name}.", clean, problems, depth + 1)
        else:
            clean[name] = _clean_value(value, f"metadata.{name}", problems)


def _clean_value(value: Any, name: str, problems: Problems) -> MetadataValue:
    if isinstance(value, (list, tuple, set, frozenset)):
        if len(value) > MAX_ITEMS:
            problems.truncated.append(name)
        items = [_clean_scalar(item, name, problems) for item in list(value)[:MAX_ITEMS]]
        # a span attribute takes lists of one type only
        return items if len({type(item) for item in items}) <= 1 else [safe_str(item) for item in items]
    return _clean_scalar(value, name, problems)


def _clean_scalar(value: Any, name: str, problems: Problems) -> str | bool | int | float:
    kind = value.__class__
    if kind is str and len(value) <= MAX_TEXT and value.isascii():
        return str(value)
    if kind is bool:
        return bool(value)
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, str):
        return clean_text(value, name, problems, MAX_TEXT)
    # beyond 64 bits neither OTLP nor most warehouses can hold it
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, _TEXT_TYPES):
        return cut(safe_str(value), MAX_TEXT)
    problems.invalid.append(name)
    # a repr may hold anything, prompts and keys too: say only what it was
    return safe_str(value) if isinstance(value, int) else f"<{kind.__name__}>"
