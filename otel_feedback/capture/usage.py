"""Tokens, calls, latency and cost of an action: what it used itself, and what the actions below it used.

What nobody gave is None, since unknown is not zero. Not thread-safe by itself: `Action` holds a lock.
"""

from __future__ import annotations

import math
from typing import Any

from otel_feedback import semconv
from otel_feedback.redaction.limits import Problems

__all__ = ["MAX_COUNT", "Inclusive", "Usage", "clean_amount", "clean_count"]

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


class Inclusive:
    """What some actions used together."""

    __slots__ = ("calls", "cost", "latency_ms", "tokens")

    def __init__(self) -> None:
        self.calls: int | None = None
        self.tokens: int | None = None
        self.cost: float | None = None
        self.latency_ms: float | None = None

    def add(self, calls: int | None, tokens: int | None, cost: float | None, latency_ms: float | None) -> None:
        """Add what is known of another one."""
        if calls is not None:
            self.calls = calls + (self.calls or 0)
        if tokens is not None:
            self.tokens = tokens + (self.tokens or 0)
        if cost is not None:
            self.cost = cost + (self.cost or 0.0)
        if latency_ms is not None:
            self.latency_ms = latency_ms + (self.latency_ms or 0.0)


class Usage:
    """What one action used, and what the actions `below` it used."""

    __slots__ = (
        "below", "cached", "calls", "cost", "input", "latency_ms", "model", "output", "provider", "reasoning", "total",
    )  # fmt: skip

    def __init__(self) -> None:
        self.calls: int | None = None
        self.input: int | None = None
        self.output: int | None = None
        self.total: int | None = None  # of calls of which nobody said how many of each
        self.cached: int | None = None
        self.reasoning: int | None = None
        self.cost: float | None = None
        self.latency_ms: float | None = None
        self.model: str | None = None
        self.provider: str | None = None
        self.below: Inclusive | None = None

    @property
    def tokens(self) -> int | None:
        """Tokens of the action itself."""
        given, gotten, total = self.input, self.output, self.total
        if given is None and gotten is None and total is None:
            return None
        return (given or 0) + (gotten or 0) + (total or 0)

    def absorb(self, child: Inclusive) -> None:
        """Count a finished child's inclusive usage as used below this action."""
        if self.below is None:
            self.below = Inclusive()
        self.below.add(child.calls, child.tokens, child.cost, child.latency_ms)

    def inclusive(self, price: float | None = None) -> Inclusive:
        """Return what the action and those below it used; `price` is what its own calls cost, where nobody said so."""
        total, below = Inclusive(), self.below
        total.add(self.calls, self.tokens, self.cost if price is None else price, self.latency_ms)
        if below is not None:
            total.add(below.calls, below.tokens, below.cost, below.latency_ms)
        return total

    def attributes(self) -> dict[str, Any]:
        """Return what goes on the span: inclusive numbers only where they differ from the own ones."""
        said: dict[str, Any] = {
            semconv.OUTCOME_LLM_CALLS: self.calls,
            semconv.GEN_AI_USAGE_INPUT_TOKENS: self.input,
            semconv.GEN_AI_USAGE_OUTPUT_TOKENS: self.output,
            semconv.OUTCOME_OWN_TOKENS: None if self.total is None else self.tokens,
            semconv.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: self.cached,
            semconv.GEN_AI_USAGE_REASONING_TOKENS: self.reasoning,
            semconv.OUTCOME_OWN_COST: self.cost,
            semconv.OUTCOME_LLM_LATENCY_MS: self.latency_ms,
            semconv.GEN_AI_REQUEST_MODEL: self.model,
            semconv.GEN_AI_PROVIDER_NAME: self.provider,
        }
        if self.below is not None:
            total = self.inclusive()
            said[semconv.OUTCOME_TOKENS_USED] = total.tokens
            said[semconv.OUTCOME_COST_ESTIMATE] = total.cost
            said[semconv.OUTCOME_LLM_CALLS] = total.calls
            said[semconv.OUTCOME_LLM_LATENCY_MS] = total.latency_ms
        return {name: value for name, value in said.items() if value is not None}
