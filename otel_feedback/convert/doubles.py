"""Model calls that were recorded twice, by a framework and by the client library that it calls.

Where the framework does not attach its context, the library's span is no child of it: it stands beside, or begins a trace
of its own. It lies within the other in time, says the same, and is of another instrumentation.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from otel_feedback.convert.span import FinishedSpan
from otel_feedback.convert.tree import Node
from otel_feedback.events.model import OutcomeEvent

__all__ = ["Doubles"]

MOST = 512
SLACK_NS = 1_000_000


class _Call(NamedTuple):
    node: Node
    start_ns: int
    end_ns: int
    model: str | None
    response_id: str | None
    usage: tuple[str, int | None, int | None]


class Doubles:
    """The latest model calls, to be found by those that end around them. Not thread-safe."""

    def __init__(self) -> None:
        self._latest: deque[_Call] = deque(maxlen=MOST)
        self._by_usage: dict[object, list[_Call]] | None = None  # None: all are of one instrumentation

    def take(self, node: Node, span: FinishedSpan, event: OutcomeEvent | None) -> Node | None:
        """Return the call that this one, which ended just now, has recorded again; remember this one."""
        if event is None or node.said is None or (node.amounts is not None and node.amounts.calls):
            return None
        usage = (event.action_type, event.input_tokens, event.output_tokens)
        call = _Call(node, span.start_ns, span.end_ns, event.model, _response_id(span), usage)
        if self._by_usage is None:
            if not self._latest or self._latest[-1].node.scope == node.scope:
                self._latest.append(call)
                return None
            self._by_usage = {}
            for one in self._latest:
                self._by_usage.setdefault(one.usage, []).append(one)
        same = self._by_usage.setdefault(usage, [])
        found = _find(same, call)
        if found is not None:  # and what has one below it is none: a client library calls no framework
            same.remove(found)
            self._latest.remove(found)
            return found.node
        same.append(call)
        if len(self._latest) == MOST:
            self._forget(self._latest[0], self._by_usage)
        self._latest.append(call)
        return None

    @staticmethod
    def _forget(call: _Call, by_usage: dict[object, list[_Call]]) -> None:
        calls = by_usage[call.usage]
        calls.remove(call)
        if not calls:
            del by_usage[call.usage]


def _find(same: list[_Call], call: _Call) -> _Call | None:
    """Return the call within this one that began right after it did."""
    found: _Call | None = None
    for other in reversed(same):
        if other.end_ns < call.start_ns - SLACK_NS:  # they are in the order of their ends, nearly
            break
        if _is_double(other, call) and (found is None or other.start_ns < found.start_ns):
            found = other
    return found


def _is_double(inner: _Call, outer: _Call) -> bool:
    if inner.node.scope == outer.node.scope or not (
        inner.start_ns >= outer.start_ns - SLACK_NS and inner.end_ns <= outer.end_ns + SLACK_NS
    ):
        return False
    if inner.response_id is not None and outer.response_id is not None:
        return inner.response_id == outer.response_id
    one, other = inner.model, outer.model
    return one is None or other is None or one.startswith(other) or other.startswith(one)


def _response_id(span: FinishedSpan) -> str | None:
    found = span.attributes.get("gen_ai.response.id")
    return found if isinstance(found, str) else None
