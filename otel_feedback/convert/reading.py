"""What a convention reads from one finished span: the same for all, whatever the attributes are called.

    attributes ──► Table (names, in the order in which they are believed) ──► Reading

A convention is mostly a `Table`, and a function for what a table cannot say. Where a span came from, what it adds up to
and how it ended is decided afterwards, in one place for all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Final, NamedTuple, cast

import msgspec

from otel_feedback.convert.usage import TokenUsage
from otel_feedback.convert.values import MAX_COUNT, SAYING, amount, count, text, texts

__all__ = ["MOST_PLANS", "CallUsage", "Reading", "Table", "Tokens"]


STREAMS: Final = ("gen_ai.request.stream", "gen_ai.is_streaming", "llm.is_streaming")
"""What conventions say of a model call whose answer comes in pieces."""


class CallUsage:
    """Whose tokens a span's usage is."""

    CALL = "call"  # of this very model call
    TOTAL = "total"  # of the calls below it, too
    OWN_CALLS = "own_calls"  # of the calls that it made itself, not of agents below it


class Reading(msgspec.Struct, gc=False, kw_only=True, omit_defaults=True):
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
    is_cache_beside: bool = False  # known to be beside of the input
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


class _Plan(NamedTuple):
    """What is to be read of spans that have the same attributes of a table."""

    texts: tuple[tuple[str, str], ...]  # attribute and field
    fields: tuple[tuple[str, str, Callable[[object], Any]], ...]  # attribute, field, what makes a value of it
    families: tuple[Tokens, ...]
    details: tuple[tuple[str, str], ...]  # attribute and field of the usage
    has_output: bool


MOST_PLANS: Final = 512


class Table(msgspec.Struct, frozen=True, kw_only=True, dict=True):
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

    @property
    def values(self) -> frozenset[str]:
        """The attributes that are read as they are."""
        return self._names.difference(self.lists, self.output)

    @property
    def lists(self) -> frozenset[str]:
        """Those that may be lists in JSON."""
        return frozenset({*self.tags, *self.finish_reasons})

    def read(self, attributes: Mapping[str, Any], kind: str) -> Reading:
        """Return what the attributes say; cheap where they say little."""
        plan = self._plans.get(tuple(attributes)) or self._plan_of(attributes)
        fields: dict[str, Any] = {"kind": kind}
        for name, field in plan.texts:
            value = attributes[name]
            if value.__class__ is str and value in SAYING:
                fields[field] = value
            elif (said := text(value)) is not None:
                fields[field] = said
        for name, field, clean in plan.fields:
            if (found := clean(attributes[name])) is not None:
                fields[field] = found
        return Reading(has_output=plan.has_output, usage=_usage(attributes, plan), **fields)

    # -- spans of one instrumentation have the same attributes again and again --------------------------------

    @cached_property
    def _plans(self) -> dict[frozenset[str] | tuple[str, ...], _Plan]:
        return {}  # by names that are known, and by all of a span, in their order; adding, asking and clearing are atomic

    @cached_property
    def _cleaned(self) -> tuple[tuple[str, tuple[str, ...], Callable[[object], Any]], ...]:
        return (
            ("total_tokens", self.total, count),
            ("cost", self.cost, amount),
            ("finish_reasons", self.finish_reasons, _some_texts),
            ("is_stream", STREAMS, _is_true),
        )

    @cached_property
    def _details(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        return ("cached", self.cached), ("cache_write", self.cache_write), ("reasoning", self.reasoning)

    @cached_property
    def _names(self) -> frozenset[str]:
        several = (
            *self.texts.values(), *(names for _, names, _ in self._cleaned), *(names for _, names in self._details),
        )  # fmt: skip
        return frozenset({*self.output, *self.tags}).union(*several, *((one.input, one.output) for one in self.tokens))

    def _plan_of(self, attributes: Mapping[str, Any]) -> _Plan:
        # to find out which of the names are known takes four times as long as to look all of them up
        names, plans = tuple(attributes), self._plans
        known = self._names.intersection(names)
        plan = plans.get(known)
        if len(plans) >= MOST_PLANS:
            plans.clear()
        plan = plans[known] = plans[names] = plan or self._make_plan(known)
        return plan

    def _make_plan(self, known: frozenset[str]) -> _Plan:
        # what is believed most comes last, and takes the place of what came before
        tags = next(((name, "tags", texts) for name in self.tags if name in known), None)
        return _Plan(
            tuple((name, field) for field, names in self.texts.items() for name in reversed(names) if name in known),
            (
                *(
                    (name, field, clean)
                    for field, names, clean in self._cleaned for name in reversed(names) if name in known
                ),
                *(() if tags is None else (tags,)),
            ),
            tuple(names for names in self.tokens if names.input in known or names.output in known),
            tuple((name, field) for field, names in self._details for name in reversed(names) if name in known),
            has_output=not known.isdisjoint(self.output),
        )  # fmt: skip


def _usage(attributes: Mapping[str, Any], plan: _Plan) -> TokenUsage | None:
    for names in plan.families:
        given: Any = attributes.get(names.input)
        gotten: Any = attributes.get(names.output)
        if not (given.__class__ is int and 0 <= given <= MAX_COUNT):
            given = count(given)
        if not (gotten.__class__ is int and 0 <= gotten <= MAX_COUNT):
            gotten = count(gotten)
        if given is not None or gotten is not None:
            usage = TokenUsage(given, gotten)
            for name, field in plan.details:
                found = attributes[name]
                if (found.__class__ is int and 0 <= found <= MAX_COUNT) or (found := count(found)) is not None:
                    setattr(usage, field, found)
            return usage
    return None


def _some_texts(value: object) -> tuple[str, ...] | None:
    if value.__class__ is tuple:
        found = cast("tuple[object, ...]", value)
        if len(found) == 1 and found[0].__class__ is str and found[0] in SAYING:  # nearly always so
            return cast("tuple[str]", found)
    return texts(value) or None


def _is_true(value: object) -> bool | None:
    return True if value is True else None
