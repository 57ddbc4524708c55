"""Events of older major versions of the schema, brought to this one step by step.

Within a major version fields are only added, so nothing has to be done: what is absent has its default. A step is for a
version that had something under another name, or with another meaning. When the major version goes up, its step goes here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from otel_feedback.errors import SchemaError
from otel_feedback.events.model import SCHEMA_VERSION

__all__ = ["STEPS", "upcast"]

STEPS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""By the major version that a step starts from: fields of it in, fields of the next one out. 1 is the first there was."""


def upcast(fields: Any, major: int) -> dict[str, Any]:
    """Return the fields as this version has them.

    Args:
        fields: What the JSON held.
        major: The major version that wrote it.

    Raises:
        SchemaError: There is no way from that version to this one.
    """
    if not isinstance(fields, dict):
        raise SchemaError(f"not an outcome event: expected an object, got {type(fields).__name__}")
    for version in range(major, int(SCHEMA_VERSION.partition(".")[0])):
        step = STEPS.get(version)
        if step is None:
            raise SchemaError(f"schema_version {version}: nothing is known of it; the oldest that can be read is 1.0")
        fields = step(fields)
    return fields
