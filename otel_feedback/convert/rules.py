"""What is wanted of the conversion, and what goes in and out of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from otel_feedback.convert.pricing import Charged, Price
from otel_feedback.convert.span import Convention
from otel_feedback.convert.usage import TokenUsage
from otel_feedback.events.model import OutcomeEvent
from otel_feedback.events.usage import Usage

__all__ = ["DEFAULT_KINDS", "Emit", "Emitted", "FindOwn", "OwnAction", "Pricing", "Rules"]

DEFAULT_KINDS = frozenset(
    {"agent", "workflow", "tool", "llm", "embedding", "retrieval", "plan", "handoff", "guardrail"}
)

Pricing = Callable[["str | None", "str | None", "TokenUsage | Usage", int], "Price | None"]
"""(model, provider, usage, when in ns) to a price; None where nobody knows."""

Emit = Callable[[OutcomeEvent, str, bool, bool], OutcomeEvent | None]
"""Takes an event with its partition key, whether its trace is sampled, and whether an action of our own has just told it.

Returns it as it was recorded.
"""


class Rules(NamedTuple):
    """What is wanted of the conversion.

    `kinds` of other people's spans become events; `price` says what a model call cost, `rates` what it charges at any time,
    by provider and model, as far as it was asked; `content` names what may be read
    of prompts, answers and tools; the user's `conventions` are asked before the others; a span that is open for `open_s`
    seconds is given up; one that has ended may be written down first and converted later, where `puts_off`.
    """

    kinds: frozenset[str] = DEFAULT_KINDS
    price: Pricing | None = None
    rates: Mapping[tuple[str | None, str], Charged] = MappingProxyType({})
    content: tuple[str, ...] = ()
    conventions: tuple[Convention, ...] = ()
    open_s: float = 3_600.0
    puts_off: bool = True

    @property
    def may_put_off(self) -> bool:
        """Whether it may: what is the user's runs on the thread that ends the span, and content is in events only."""
        return self.puts_off and not (self.conventions or self.content)


class OwnAction(Protocol):
    """An action of our own that is open or ending, as far as spans of others need it that are around it or below."""

    in_tree: bool
    """Set here when it gets a node in the tree: then its sums are kept there."""

    has_place: bool
    """Set here when others' spans above decide what is above it: then those below it need nodes, too."""

    @property
    def ids(self) -> tuple[int, int]: ...

    @property
    def above(self) -> tuple[int, int] | None: ...

    @property
    def start_ns(self) -> int: ...

    @property
    def started(self) -> Mapping[str, Any]: ...

    @property
    def partition_key(self) -> str: ...

    @property
    def parent(self) -> Any: ...

    @property
    def open_below(self) -> dict[str, Any] | None: ...

    @property
    def own_calls(self) -> int: ...

    @property
    def used_below(self) -> tuple[int | None, int | None, float | None] | None: ...


FindOwn = Callable[[tuple[int, int]], "Any | None"]
"""Trace and span id to the `OwnAction` whose span that is, if it is one's."""


class Emitted(NamedTuple):
    """An event that is ready."""

    event: OutcomeEvent
    key: str
    sampled: bool
