"""Tokens, calls, latency and cost of an action: what it used itself, and what the actions below it used.

Unknown stays None: a count that nobody gave is not zero. Not thread-safe by itself; `Action` holds a lock.
"""

from __future__ import annotations

import math
from typing import TypeVar

from otel_feedback.events.limits import Problems

__all__ = ["Usage", "add", "clean_amount", "clean_count"]

Number = TypeVar("Number", int, float)

MAX_COUNT = 2**53
"""The largest whole number that every JSON reader keeps exactly."""


def add(total: Number | None, more: Number | None) -> Number | None:
    """Add where None means unknown: unknown plus a number is that number."""
    if more is None:
        return total
    return more if total is None else total + more


def clean_count(value: object, name: str, problems: Problems) -> int | None:
    """Return a whole number of at least 0, or None and a note of what could not be used."""
    if value is None or (value.__class__ is int and 0 <= value <= MAX_COUNT):  # type: ignore[operator]
        return value  # type: ignore[return-value]
    if isinstance(value, float) and value.is_integer() and 0 <= value <= MAX_COUNT:
        return int(value)
    problems.invalid.append(name)
    return None


def clean_amount(value: object, name: str, problems: Problems, maximum: float = math.inf) -> float | None:
    """Return a finite number from 0 to `maximum`, or None and a note of what could not be used."""
    if value is None:
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if 0 <= number <= maximum and number != math.inf:
            return number
    problems.invalid.append(name)
    return None


class Usage:
    """What one action used, and what the actions below it used (`below_*`)."""

    __slots__ = (
        "below_calls",
        "below_cost",
        "below_llm_ms",
        "below_tokens",
        "cached",
        "calls",
        "cost",
        "input",
        "llm_ms",
        "model",
        "output",
        "provider",
        "reasoning",
    )

    def __init__(self) -> None:
        self.model: str | None = None
        self.provider: str | None = None
        self.input: int | None = None
        self.output: int | None = None
        self.cached: int | None = None
        self.reasoning: int | None = None
        self.cost: float | None = None
        self.llm_ms: float | None = None
        self.calls: int | None = None
        self.below_tokens: int | None = None
        self.below_cost: float | None = None
        self.below_llm_ms: float | None = None
        self.below_calls: int | None = None

    @property
    def own_tokens(self) -> int | None:
        """Input and output tokens of the action itself."""
        return add(self.input, self.output)

    def absorb(self, child: Usage) -> None:
        """Count a finished child's inclusive usage as used below this action."""
        self.below_tokens = add(self.below_tokens, add(child.own_tokens, child.below_tokens))
        self.below_cost = add(self.below_cost, add(child.cost, child.below_cost))
        self.below_llm_ms = add(self.below_llm_ms, add(child.llm_ms, child.below_llm_ms))
        self.below_calls = add(self.below_calls, add(child.calls, child.below_calls))
