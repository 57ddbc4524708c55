"""Numbers as an agent says them: counts and amounts that can be used, or a note of those that cannot."""

from __future__ import annotations

import math

from otel_feedback.redaction.limits import Problems

__all__ = ["MAX_COUNT", "clean_amount", "clean_count"]

MAX_COUNT = 2**53
"""The largest whole number that every JSON reader keeps exactly."""


def clean_count(value: object, name: str, problems: Problems) -> int | None:
    """Return a whole number of at least 0, or None and a note of what could not be used."""
    if value.__class__ is int and 0 <= value <= MAX_COUNT:  # type: ignore[operator]
        return value  # type: ignore[return-value]
    if isinstance(value, float) and value.is_integer() and 0 <= value <= MAX_COUNT:
        return int(value)
    problems.invalid.append(name)
    return None


def clean_amount(value: object, name: str, problems: Problems, maximum: float = math.inf) -> float | None:
    """Return a finite number from 0 to `maximum`, or None and a note of what could not be used."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if 0 <= number <= maximum and number != math.inf:
            return number
    problems.invalid.append(name)
    return None
