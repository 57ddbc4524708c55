"""Tokens, calls, latency and cost of an action: what it used itself, and what the actions below it used.

What nobody gave is None, since unknown is not zero. Not thread-safe by itself: `Action` holds a lock.
"""

from __future__ import annotations

from copy import copy
from typing import Any, ClassVar

import msgspec

from otel_feedback import semconv

__all__ = ["Inclusive", "Usage"]


class Inclusive(msgspec.Struct, array_like=True, gc=False):
    """What some actions used together. `priced` is what those calls cost of which only a table of prices said so."""

    calls: int | None = None
    tokens: int | None = None
    said_cost: float | None = None
    priced: float | None = None
    latency_ms: float | None = None

    @property
    def cost(self) -> float | None:
        """The cost of all."""
        return _cost(self.said_cost, self.priced)

    def add(self, other: Usage | Inclusive) -> None:
        """Add what is known of another one."""
        if other.calls is not None:
            self.calls = other.calls + (self.calls or 0)
        if other.tokens is not None:
            self.tokens = other.tokens + (self.tokens or 0)
        if other.said_cost is not None:
            self.said_cost = other.said_cost + (self.said_cost or 0.0)
        if other.priced is not None:
            self.priced = other.priced + (self.priced or 0.0)
        if other.latency_ms is not None:
            self.latency_ms = other.latency_ms + (self.latency_ms or 0.0)


class Usage(msgspec.Struct, array_like=True, gc=False):
    """What one action used, and what the actions below it used: all of them, and those that are not in the tree."""

    calls: int | None = None
    input: int | None = None
    output: int | None = None
    total: int | None = None  # of calls of which nobody said how many of each
    cached: int | None = None
    reasoning: int | None = None
    said_cost: float | None = None
    priced: float | None = None
    latency_ms: float | None = None
    model: str | None = None
    provider: str | None = None
    below: Inclusive | None = None
    below_alone: Inclusive | None = None

    cache_write: ClassVar[None] = None
    """What was written to a provider's cache: of an action nobody says it; who prices tokens asks for it."""

    @property
    def tokens(self) -> int | None:
        """Tokens of the action itself."""
        given, gotten = self.input, self.output
        if self.total is None:
            if given is None:
                return gotten
            return given if gotten is None else given + gotten
        return (given or 0) + (gotten or 0) + self.total

    @property
    def cost(self) -> float | None:
        """The cost of the action itself."""
        return _cost(self.said_cost, self.priced)

    def absorb(self, child: Usage, *, is_alone: bool) -> None:
        """Count a finished child's inclusive usage as used below this action."""
        used = child.inclusive()
        if is_alone:
            if self.below_alone is None:
                self.below_alone = copy(used)
            else:
                self.below_alone.add(used)
        if self.below is None:
            self.below = used
        else:
            self.below.add(used)

    def inclusive(self) -> Inclusive:
        """Return what the action and those below it used."""
        if self.below is None:
            return Inclusive(self.calls, self.tokens, self.said_cost, self.priced, self.latency_ms)
        total = Inclusive()
        total.add(self)
        total.add(self.below)
        return total

    def attributes(self) -> dict[str, Any]:
        """Return what goes on the span: inclusive numbers only where they differ from the own ones, and no prices."""
        said: dict[str, Any] = {
            semconv.OUTCOME_LLM_CALLS: self.calls,
            semconv.GEN_AI_USAGE_INPUT_TOKENS: self.input,
            semconv.GEN_AI_USAGE_OUTPUT_TOKENS: self.output,
            semconv.OUTCOME_OWN_TOKENS: None if self.total is None else self.tokens,
            semconv.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: self.cached,
            semconv.GEN_AI_USAGE_REASONING_TOKENS: self.reasoning,
            semconv.OUTCOME_OWN_COST: self.said_cost,
            semconv.OUTCOME_LLM_LATENCY_MS: self.latency_ms,
            semconv.GEN_AI_REQUEST_MODEL: self.model,
            semconv.GEN_AI_PROVIDER_NAME: self.provider,
        }
        said = {name: value for name, value in said.items() if value is not None}
        if self.below is not None:
            total = self.inclusive()
            inclusive: dict[str, Any] = {
                semconv.OUTCOME_TOKENS_USED: total.tokens,
                semconv.OUTCOME_COST_ESTIMATE: total.said_cost,
                semconv.OUTCOME_LLM_CALLS: total.calls,
                semconv.OUTCOME_LLM_LATENCY_MS: total.latency_ms,
            }
            said.update((name, value) for name, value in inclusive.items() if value is not None)
        return said


def _cost(said: float | None, priced: float | None) -> float | None:
    return said if priced is None else round(priced + (said or 0.0), 12)
