"""What a convention reads from one finished span: the same for all, whatever the attributes are called.

    attributes ──► Table (names, in the order in which they are believed) ──► Reading

A convention is mostly a `Table`, and a function for what a table cannot say. Where a span came from, what it adds up to
and how it ended is decided afterwards, in one place for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from otel_feedback.convert.usage import TokenUsage
from otel_feedback.convert.values import amount, count, text, texts

__all__ = ["CallUsage", "Reading", "Table", "Tokens"]


STREAMS: Final = ("gen_ai.request.stream", "gen_ai.is_streaming", "llm.is_streaming")
"""What conventions say of a model call whose answer comes in pieces."""


class CallUsage:
    """Whose tokens a span's usage is."""

    CALL = "call"  # of this very model call
    TOTAL = "total"  # of the calls below it, too
    OWN_CALLS = "own_calls"  # of the calls that it made itself, not of agents below it


class Reading(msgspec.Struct, gc=False, kw_only=True):
    """What a span says of itself. None: it does not say.

    `kind` is the unified action type: agent, workflow, agent_create, plan, tool, handoff, llm, embedding, retrieval,
    memory, guardrail, evaluation, fetch, or step for what only holds others together. `chain` is what becomes a
    workflow where nothing is above it and a step elsewhere.
    """

    kind: str
    agent_name: str | None = None
    tool_name: str | None = None
    model: str | None = None
    provider: str | None = None
    run_id: str | None = None
    workflow_id: str | None = None
    session_id: str | None = None
    user_id: str | None = None
    tenant_id: str | None = None
    correlation_id: str | None = None

    usage: TokenUsage | None = None
    usage_of: str = CallUsage.CALL
    total_tokens: int | None = None
    cost: float | None = None
    first_token_ms: float | None = None
    quality_score: float | None = None

    error_type: str | None = None
    finish_reasons: tuple[str, ...] = ()
    has_output: bool = False
    is_stream: bool = False
    is_failed: bool = False  # by the convention's own word, beside the span's status
    level: str | None = None  # warning or error, by the convention's own word
    may_be_wrapper: bool = False  # called an agent, but by the looks of it what runs one

    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] = {}


class Tokens(msgspec.Struct, frozen=True):
    """One family of names for token counts. Families are never mixed: two say the same number twice."""

    input: str
    output: str


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """The attributes of one convention, for each field in the order in which they are believed."""

    texts: Mapping[str, tuple[str, ...]]
    tokens: tuple[Tokens, ...]
    cached: tuple[str, ...] = ()
    cache_write: tuple[str, ...] = ()
    reasoning: tuple[str, ...] = ()
    total: tuple[str, ...] = ()
    cost: tuple[str, ...] = ()
    finish_reasons: tuple[str, ...] = ()
    output: tuple[str, ...] = ()
    tags: tuple[str, ...] = ("tag.tags", "tags")

    def read(self, attributes: Mapping[str, Any], kind: str) -> Reading:
        """Return what the attributes say; cheap where they say little."""
        reading = Reading(kind=kind)
        for field, names in self.texts.items():
            for name in names:
                if name in attributes and (found := text(attributes[name])) is not None:
                    setattr(reading, field, found)
                    break
        reading.usage = self.read_usage(attributes)
        reading.total_tokens = _first(attributes, self.total, count)
        reading.cost = _first(attributes, self.cost, amount)
        for name in self.finish_reasons:
            if name in attributes and (reasons := texts(attributes[name])):
                reading.finish_reasons = reasons
                break
        reading.has_output = any(name in attributes for name in self.output)
        reading.is_stream = any(attributes.get(name) is True for name in STREAMS)
        for name in self.tags:
            if name in attributes:
                reading.tags = texts(attributes[name])
                break
        return reading

    def read_usage(self, attributes: Mapping[str, Any]) -> TokenUsage | None:
        """Return the tokens by the first family of names that says any; None where none does."""
        for names in self.tokens:
            given, gotten = count(attributes.get(names.input)), count(attributes.get(names.output))
            if given is not None or gotten is not None:
                return TokenUsage(
                    given, gotten,
                    _first(attributes, self.cached, count),
                    _first(attributes, self.cache_write, count),
                    _first(attributes, self.reasoning, count),
                )  # fmt: skip
        return None


def _first(attributes: Mapping[str, Any], names: tuple[str, ...], read: Any) -> Any:
    for name in names:
        if name in attributes and (found := read(attributes[name])) is not None:
            return found
    return None
