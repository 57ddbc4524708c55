"""Tokens, calls, latency and cost of an action: what it used itself, and what the actions below it used.

Kept by span attribute, ready to be set; what nobody gave is absent, since unknown is not zero. Not thread-safe by
itself: `Action` holds a lock.
"""

from __future__ import annotations

import math
from typing import Any

from otel_feedback import semconv
from otel_feedback.redaction.limits import Problems

__all__ = ["MAX_COUNT", "Usage", "clean_amount", "clean_count"]

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


class Usage:
    """What one action used (`own`), and what the actions below it used (`below`), by attribute."""

    __slots__ = ("below", "own")

    def __init__(self) -> None:
        self.own: dict[str, Any] = {}
        self.below: dict[str, Any] = {}

    def add(self, given: dict[str, Any]) -> None:
        """Add to the action's own amounts; None is unknown and adds nothing."""
        own = self.own
        for attribute, amount in given.items():
            if amount is not None:
                own[attribute] = own[attribute] + amount if attribute in own else amount

    def absorb(self, child: Usage) -> None:
        """Count a finished child's inclusive usage as used below this action."""
        for attribute, amount in child.inclusive().items():
            self.below[attribute] = self.below.get(attribute, 0) + amount

    def inclusive(self) -> dict[str, Any]:
        """Return tokens, cost, model calls and their latency of the action and those below it."""
        own, total = self.own, self.below.copy()
        for attribute, parts in _INCLUDES.items():
            for part in parts:
                if part in own:
                    total[attribute] = total.get(attribute, 0) + own[part]
        return total

    def attributes(self) -> dict[str, Any]:
        """Return what goes on the span: inclusive numbers only where they differ from the own ones."""
        own = self.own
        if semconv.OUTCOME_OWN_TOKENS in own:  # of calls whose total alone is known; the others count, too
            parts = _INCLUDES[semconv.OUTCOME_TOKENS_USED]
            own = {**own, semconv.OUTCOME_OWN_TOKENS: sum(own.get(part, 0) for part in parts)}
        return {**own, **self.inclusive()} if self.below else own


_INCLUDES = {
    semconv.OUTCOME_TOKENS_USED: (
        semconv.GEN_AI_USAGE_INPUT_TOKENS,
        semconv.GEN_AI_USAGE_OUTPUT_TOKENS,
        semconv.OUTCOME_OWN_TOKENS,
    ),
    semconv.OUTCOME_COST_ESTIMATE: (semconv.OUTCOME_OWN_COST,),
    semconv.OUTCOME_LLM_CALLS: (semconv.OUTCOME_LLM_CALLS,),
    semconv.OUTCOME_LLM_LATENCY_MS: (semconv.OUTCOME_LLM_LATENCY_MS,),
}
"""An inclusive number, and the own ones that it is the sum of."""
