"""What was used by a span and below it, with each token, dollar and call counted once; see `amounts`."""

from __future__ import annotations

from typing import Final

import msgspec

from otel_feedback.convert.amounts import Amounts, Intervals
from otel_feedback.convert.node import Node
from otel_feedback.convert.reading import CallUsage
from otel_feedback.convert.usage import TokenUsage

__all__ = ["AMOUNTS", "Said", "pass_up", "told_amounts"]


class Said(msgspec.Struct, frozen=True, gc=False):
    """What a span says that it used."""

    tokens: int | None
    cost: float | None
    usage_of: str
    is_priced: bool = False
    calls: int = 0
    llm_ms: float = 0.0
    usage: TokenUsage | None = None
    is_whole: bool = True  # the answer was told to its end


def own_amounts(node: Node) -> tuple[Amounts, int | None, float | None]:
    """Return what counts as used by the span itself, and its tokens and cost for the event."""
    own, said, below = Amounts(), node.said, node.amounts
    if said is None:
        return own, None, None
    tokens, cost = said.tokens, said.cost
    if node.own:
        if below is not None:
            if tokens is not None:
                own.seen_tokens = -min(tokens, below.seen_tokens)
                tokens += own.seen_tokens
            if cost is not None:
                own.seen_cost = -min(cost, below.seen_cost)
                cost += own.seen_cost
        own.tokens, own.token_parts = tokens or 0, tokens is not None
        own.cost, own.cost_parts = cost or 0.0, cost is not None
        own.seen_calls = 0 if below is None else -min(said.calls, below.seen_calls)
        own.calls = said.calls + own.seen_calls
        return own, tokens, cost
    if node.better is not None:
        told = node.better.said
        tokens, cost = None, None if said.is_priced or (told is not None and told.cost is not None) else cost
    elif below is not None:
        if below.counted_calls:
            tokens = None
            if said.is_priced or below.cost_parts:
                cost = None
        elif below.token_parts and tokens is not None and said.usage_of == CallUsage.TOTAL:
            tokens = max(0, tokens - below.tokens)
        if below.cost_parts and cost is not None and (node.is_call or said.usage_of == CallUsage.TOTAL):
            cost = max(0.0, cost - below.cost)
    calls = node.kind == "llm" and node.better is None and not (below is not None and below.calls)
    own.add_own(tokens, cost, int(calls), is_call=node.is_call)
    return own, tokens, cost


def summed(node: Node) -> tuple[Amounts, int | None, float | None]:
    """Return what was used by the span and below it, and its own tokens and cost for the event; not to be changed."""
    found = node.summed
    if found is None:
        if node.said is None and node.amounts is None:
            found = _NOTHING
        else:
            own, tokens, cost = own_amounts(node)
            if node.amounts is not None:
                own.add(node.amounts)
            found = own, tokens, cost
        node.summed = found
    return found


_NOTHING: Final = (Amounts(), None, None)


AMOUNTS: Final = ("tokens_used", "cost_estimate", "llm_calls", "own_tokens", "own_cost", "llm_latency_ms")


def told_amounts(node: Node) -> tuple[int | None, float | None, int | None, int | None, float | None, float | None]:
    """Return `AMOUNTS`, the fields of the event that say what was used, by the span and below it."""
    total, tokens, cost = summed(node)
    llm_ms = None if node.intervals is None else node.intervals.length / 1e6
    if total is _NOTHING[0]:
        return None, None, None, None, None, llm_ms
    all_cost = round(total.cost, 12) if total.cost_parts else None
    if cost is not None:
        cost = all_cost if cost == total.cost else round(cost, 12)
    return total.tokens if total.token_parts else None, all_cost, total.calls or None, tokens, cost, llm_ms


MOST_REVISED: Final = 32
"""Events above a span that are revised at once, where something below them is open still: tasks that start each other make
traces without end, in which each span would bring a revision of all before it. The others are when nothing is open any more."""


def pass_up(node: Node) -> list[Node]:
    """Give the parent what is new here, and so on where that has ended; return those whose events are to be revised."""
    revised: list[Node] = []
    current = node
    while (parent := current.parent) is not None:
        total = summed(current)[0]
        passed = current.passed
        is_same = total == (passed or _NOTHING[0])
        if not is_same:
            parent.amounts = parent.amounts or Amounts()
            parent.amounts.add(total)
            if passed is not None:
                parent.amounts.take(passed)
            parent.summed = None
            current.passed = total
        if current.intervals is not None:
            parent.intervals = parent.intervals or Intervals()
            before = parent.intervals.length
            parent.intervals.add_all(current.intervals)
            is_same = is_same and parent.intervals.length == before
        if not parent.foreign_below and (not current.own or current.foreign_below):
            parent.foreign_below, is_same = True, False
        if is_same or not (parent.is_ended or parent.is_given_up):  # nobody further above learns anything
            break
        if parent.event is not None and (len(revised) < MOST_REVISED or not parent.open_below):
            revised.append(parent)
        current = parent
    return revised
