"""What is wanted of the conversion, and what goes in and out of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from otel_feedback.convert.pricing import Price
from otel_feedback.convert.span import Convention
from otel_feedback.convert.usage import TokenUsage
from otel_feedback.events.model import OutcomeEvent

__all__ = ["DEFAULT_KINDS", "Emit", "Emitted", "Ended", "Pricing", "Rules"]

DEFAULT_KINDS = frozenset(
    {"agent", "workflow", "tool", "llm", "embedding", "retrieval", "plan", "handoff", "guardrail"}
)

Pricing = Callable[["str | None", "str | None", TokenUsage, int], "Price | None"]
"""(model, provider, usage, when in ns) to a price; None where nobody knows."""

Emit = Callable[[OutcomeEvent, str, bool], OutcomeEvent | None]
"""Takes an event with its partition key, and whether its trace is sampled; returns it as it was recorded."""


class Rules(NamedTuple):
    """What is wanted of the conversion.

    `kinds` of other people's spans become events; `price` says what a model call cost; `content` names what may be read
    of prompts, answers and tools; the user's `conventions` are asked before the others; a span that is open for `open_s`
    seconds is given up.
    """

    kinds: frozenset[str] = DEFAULT_KINDS
    price: Pricing | None = None
    content: tuple[str, ...] = ()
    conventions: tuple[Convention, ...] = ()
    open_s: float = 3_600.0


class Ended(NamedTuple):
    """Which span has ended; `cause_id` is `id()` of the exception that is passing through, or 0.

    `key` is the partition key, where an action has frozen it.
    """

    trace_id: int
    span_id: int
    cause_id: int
    sampled: bool
    key: str | None


class Emitted(NamedTuple):
    """An event that is ready."""

    event: OutcomeEvent
    key: str
    sampled: bool
