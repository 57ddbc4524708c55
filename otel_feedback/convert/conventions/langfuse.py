"""The Langfuse SDK: `langfuse.observation.*`, mostly JSON in strings; set when the span ends."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from otel_feedback.convert.conventions import common
from otel_feedback.convert.reading import CallUsage, Reading, Table
from otel_feedback.convert.span import FinishedSpan, Reads
from otel_feedback.convert.usage import TokenUsage
from otel_feedback.convert.values import amount, count, json_map, json_value, moment_ns

__all__ = ["LangfuseConvention"]

_P: Final = "langfuse.observation."
_TYPE: Final = f"{_P}type"
# put together once: a text that is made anew has to be hashed for each span
_USAGE: Final = f"{_P}usage_details"
_COST: Final = f"{_P}cost_details"
_LEVEL: Final = f"{_P}level"
_ANSWERING: Final = f"{_P}completion_start_time"
_REASON: Final = f"{_P}finish_reason"
_METADATA: Final = ("langfuse.trace.metadata.", f"{_P}metadata.")

KINDS: Final = {
    "agent": "agent",
    "chain": "chain",
    "span": "chain",
    "tool": "tool",
    "generation": "llm",
    "embedding": "embedding",
    "retriever": "retrieval",
    "guardrail": "guardrail",
    "evaluator": "evaluation",
    "event": "step",
}

TABLE: Final = Table(
    texts={
        **common.IDENTITY,
        "model": (f"{_P}model.name",),
        "workflow_id": ("langfuse.trace.name",),
        "error_type": ("error.type",),
    },
    tokens=(),
    output=(f"{_P}output",),
    tags=("langfuse.trace.tags", "tags"),
)
_LEVELS: Final = {"WARNING": "warning", "ERROR": "error"}


class LangfuseConvention:
    """Observations of the Langfuse SDK."""

    name = "langfuse"
    markers = frozenset({_TYPE})
    telling = frozenset({_TYPE, *(f"{prefix}lc_agent_name" for prefix in _METADATA)})
    reads = Reads(
        values=TABLE.values | {_TYPE, _LEVEL},
        lists=TABLE.lists,
        json=frozenset({_USAGE, _COST, _REASON, _ANSWERING}),
        json_prefixes=_METADATA,
        shown=frozenset(TABLE.output),
    )

    def matches(self, span: FinishedSpan) -> bool:
        return _TYPE in span.attributes

    def read(self, span: FinishedSpan) -> Reading:
        attributes = span.attributes
        kind = KINDS.get(str(attributes[_TYPE]).lower(), "step")
        reading = TABLE.read(attributes, kind)
        if kind in ("agent", "chain"):
            reading.agent_name = common.agent_name_of(common.stripped(span.name))
        elif kind == "tool":
            reading.tool_name = common.stripped(span.name)
        if kind not in ("llm", "embedding"):
            reading.usage_of = CallUsage.TOTAL
        if _USAGE in attributes:
            reading.usage = _usage(json_map(attributes[_USAGE]))
        if _COST in attributes:
            reading.cost = _cost(json_map(attributes[_COST]))
        if _LEVEL in attributes:
            reading.level = _LEVELS.get(str(attributes[_LEVEL]).upper())
        if _ANSWERING in attributes:
            started = moment_ns(attributes[_ANSWERING])
            if started is not None and started >= span.start_ns:
                reading.first_token_ms = (started - span.start_ns) / 1e6
        common.add_associations(reading, attributes, *_METADATA, is_json=True)
        if _REASON in attributes and isinstance(reason := json_value(attributes[_REASON]), str):
            reading.finish_reasons = (reason,)
        return reading


def _usage(details: Mapping[str, Any]) -> TokenUsage | None:
    """Add up the buckets: they are disjoint, so cached input is beside `input`, unless the total says otherwise."""
    if not details:
        return None
    found = _buckets(tuple(details))
    given, gotten = _sums(details, found.given), _sums(details, found.gotten)
    if given is None and gotten is None:
        return None
    total = _first(details, found.total)
    whole = (given or (0, 0))[0] + (gotten or (0, 0))[0]
    at = 0 if whole and total == whole else 1
    read, thought = details, details
    if found.has_parts:
        # its wrapper of a client library passes on what that says, with the parts in maps of their own
        read = {**json_map(details.get("prompt_tokens_details") or details.get("input_tokens_details")), **details}
        thought = {
            **json_map(details.get("completion_tokens_details") or details.get("output_tokens_details")), **details
        }  # fmt: skip
        found = found._replace(cached=_CACHED, thought=_THOUGHT)
    return TokenUsage(
        given and given[at], gotten and gotten[at],
        _first(read, found.cached), _first(details, found.written), _first(thought, found.thought),
    )  # fmt: skip


_TOTAL: Final = ("total", "total_tokens")
_CACHED: Final = ("cached_tokens", "input_cached_tokens", "cache_read_input_tokens", "input_cache_read")
_WRITTEN: Final = ("input_cache_creation", "cache_creation_input_tokens", "input_cache_write")
_THOUGHT: Final = ("reasoning_tokens", "output_reasoning_tokens", "output_reasoning")
_PARTS: Final = frozenset({
    "prompt_tokens_details", "input_tokens_details", "completion_tokens_details", "output_tokens_details",
})  # fmt: skip


class _Buckets(NamedTuple):
    """Which of the names of some details say what; of a side's, whether it is that of the side itself."""

    given: tuple[tuple[str, bool], ...]
    gotten: tuple[tuple[str, bool], ...]
    total: tuple[str, ...]
    cached: tuple[str, ...]
    written: tuple[str, ...]
    thought: tuple[str, ...]
    has_parts: bool


@lru_cache(maxsize=64)
def _buckets(names: tuple[str, ...]) -> _Buckets:
    kinds = [tuple(name for name in kind if name in names) for kind in (_TOTAL, _CACHED, _WRITTEN, _THOUGHT)]
    sides = _of_side(names, ("input", "prompt")), _of_side(names, ("output", "completion"))
    return _Buckets(*sides, *kinds, has_parts=not _PARTS.isdisjoint(names))


def _of_side(names: tuple[str, ...], sides: tuple[str, ...]) -> tuple[tuple[str, bool], ...]:
    """Return the names of one side; those of the side itself first, in the order of `sides`."""
    own = [name for side in sides for name in (side, f"{side}_tokens") if name in names]
    others = [name for name in names if name not in own and any(side in name for side in sides)]
    return (*((name, True) for name in own), *((name, False) for name in others))


def _sums(details: Mapping[str, Any], names: tuple[tuple[str, bool], ...]) -> tuple[int, int] | None:
    """Return the bucket of the side itself, and the sum of all of that side."""
    own: int | None = None
    total: int | None = None
    for name, is_own in names:
        if (number := count(details[name])) is not None:
            total = number + (total or 0)
            if is_own and own is None:
                own = number
    return None if total is None else (own or 0, total)


def _first(details: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    for name in names:
        if name in details and (number := count(details[name])) is not None:
            return number
    return None


def _cost(details: Mapping[str, Any]) -> float | None:
    total = amount(details.get("total"))
    if total is not None:
        return total
    parts = [part for value in details.values() if (part := amount(value)) is not None]
    return sum(parts) if parts else None
