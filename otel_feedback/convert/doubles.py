"""Calls that were recorded twice or more: by a framework, by the client library below it, by a handler beside both.

Where a framework does not attach its context, the library's span is no child of it: it stands beside, or begins a trace
of its own. An id of the answer decides where both have one. Else two spans are one call if one is below the other, or if
they are of different recorders, at the same time, and say the same; so calls of one recorder are never put together,
however alike they are.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from functools import lru_cache
from itertools import islice
from typing import Any, Final

import msgspec

from otel_feedback.convert.node import Node, is_within
from otel_feedback.convert.reading import Reading
from otel_feedback.convert.span import FinishedSpan
from otel_feedback.convert.status import Judgement
from otel_feedback.convert.usage import TokenUsage

__all__ = ["IDS", "Call", "Doubles", "better", "call_of", "id_of", "is_inner"]

MOST: Final = 512
MOST_MISSED: Final = 8
MOST_SPANS: Final = 8
"""Of one call: more are no frameworks around each other, but something that calls itself."""

SLACK_NS: Final = 1_000_000
IDS: Final = ("gen_ai.response.id", "gen_ai.tool.call.id", "tool_call.id", "tool.id")
_VERSION: Final = re.compile(r"(?:[-@:](?:\d{3,}|\d\d-\d\d|v\d|latest|preview|exp)|:\d)[\w:.@-]*")


class Call(msgspec.Struct, eq=False):
    """One call of a model or a tool, by all spans that were found to have recorded it."""

    node: Node  # the span that is around the others
    best: Node  # the one whose tokens count
    kind: str
    start_ns: int
    end_ns: int
    names: tuple[str, ...]  # of the model or the tool
    id: str | None
    recorders: tuple[tuple[str, str], ...]  # scopes and span names
    usages: tuple[tuple[int, int], ...]  # input and output, as far as they are told
    is_stream: bool
    spans: tuple[Node, ...]
    around: Call | None = None  # it is below this one, which holds several together
    of: Call | None = None  # of a tool: the one that was found for it before it could have an event
    judged: Judgement | None = None  # of a tool whose span has ended


def id_of(attributes: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the attribute that names the call, and its value."""
    for name in IDS:
        if isinstance(value := attributes.get(name), str):
            return name, value
    return None


def call_of(node: Node, span: FinishedSpan, reading: Reading) -> Call:
    """Return what a span tells of a call."""
    name = reading.tool_name if reading.kind == "tool" else reading.model and _bare(reading.model)
    found = id_of(span.attributes)
    usage = reading.usage
    return Call(
        node, node, reading.kind, span.start_ns, span.end_ns, () if name is None else (name,), found and found[1],
        ((span.scope, span.name),), () if usage is None else ((usage.input or 0, usage.output or 0),),
        reading.is_stream, (node,),
    )  # fmt: skip


class Doubles:
    """The latest calls, to be found by spans of the same that end afterwards. Not thread-safe."""

    def __init__(self) -> None:
        self.latest: deque[Call] = deque(maxlen=MOST)
        """In the order in which they ended, nearly; not to be changed."""

    def find(self, call: Call) -> Call | None:
        """Return the call that this one, which ended just now, is of."""
        node, kind, recorder, known_id = call.node, call.kind, call.recorders[0], call.id
        may_contain = kind == "tool" or (node.amounts is not None and node.amounts.calls > 0)
        found, nearest, missed = None, (True, 0), 0
        for other in reversed(self.latest):
            if other.end_ns < call.start_ns:  # they are in the order of their ends, nearly
                missed += 1
                if missed > MOST_MISSED:
                    break
                continue
            if other.kind != kind or other.start_ns > call.end_ns:
                continue
            around = other.node
            if around.trace_id == node.trace_id and (
                may_contain or (node.parent is not None and other.start_ns <= call.start_ns)
            ):
                if node in other.spans or (is_same := _is_of_tree(call, other)):
                    return other
                if is_same is False:
                    call.around = other if is_within(node, around) else None
                    continue
            if recorder in other.recorders and (known_id is None or known_id != other.id):
                continue
            if _is_same(call, other):
                # of an attempt that failed and the next one, the one with the same usage
                distance = set(call.usages).isdisjoint(other.usages), abs(call.start_ns - other.start_ns)
                if found is None or distance < nearest:
                    found, nearest = other, distance
        return found

    def may_be_of(self, kind: str, start_ns: int, recorder: tuple[str, str]) -> bool:
        """Tell, quickly, whether a span that ends just now may be of one of these, which another recorder has recorded."""
        for other in islice(reversed(self.latest), MOST_MISSED):
            if other.end_ns < start_ns:
                return False
            if other.kind == kind and recorder not in other.recorders:
                return True
        return False

    def remember(self, call: Call) -> None:
        """Keep a call that none of the latest is."""
        self.latest.append(call)

    def join(self, call: Call, other: Call) -> None:
        """Put a span to the call that was found for it; it has ended just now."""
        if self.latest[-1] is other:
            self.latest.pop()
        else:
            self.latest.remove(other)
        if not is_inner(call, other):
            other.node = call.node
        other.start_ns, other.end_ns = min(call.start_ns, other.start_ns), max(call.end_ns, other.end_ns)
        other.id = other.id or call.id
        other.is_stream = other.is_stream or call.is_stream
        other.names = (other.names + call.names)[-MOST_SPANS:]
        other.usages = (other.usages + call.usages)[-MOST_SPANS:]
        other.recorders = (other.recorders + call.recorders)[-MOST_SPANS:]
        other.spans = (other.spans + call.spans)[-MOST_SPANS:]
        self.latest.append(other)

    def find_answered(self, caller_id: int, scope: str, model: object, began_ns: int) -> Call | None:
        """Return the call whose answer is told by a log.

        Args:
            caller_id: The span above the log, or 0: then it is the latest call without an answer before `began_ns`.
        """
        for call in reversed(self.latest):
            if any(node.span_id == caller_id for node in call.spans):
                return call
        name = _bare(model[:256]) if isinstance(model, str) else ""
        for call in () if caller_id else reversed(self.latest):
            if (
                not call.usages and call.end_ns <= began_ns + SLACK_NS and call.recorders[-1][0] == scope
                and any(_is_version(one, name) for one in call.names)
            ):  # fmt: skip
                return call
        return None


def is_inner(call: Call, other: Call) -> bool:
    """Tell whether a span is within those of the call: what began first is around, and of two at once what has a place."""
    later_ns = call.start_ns - other.start_ns
    if abs(later_ns) < SLACK_NS and (call.node.above is None) is not (other.node.above is None):
        return call.node.above is None
    return later_ns >= 0


def _is_of_tree(call: Call, other: Call) -> bool | None:
    """Tell whether a span is of a call because it is below its spans, or they are below it; None: it is neither."""
    node, recorder = call.node, call.recorders[0]
    if is_within(other.node, node):
        return call.kind != "tool" or (
            recorder not in other.recorders and _agree(call, other) and not _is_between(other.node, node)
        )
    if not is_within(node, other.node):
        return None
    # two of one recorder that are not below each other are two calls, and what is above holds them together
    same = [one for one, by in zip(other.spans, other.recorders, strict=True) if by == recorder]
    if call.kind == "tool":
        return not same and _agree(call, other) and not _is_between(node, other.node)
    return all(is_within(node, one) for one in same)


def _is_between(inner: Node, outer: Node) -> bool:
    """Tell whether an action is between the two."""
    current = inner.parent
    while current is not None and current is not outer:
        if current.is_action or (current.guess is not None and current.guess.is_action and not current.is_ended):
            return True
        current = current.parent
    return False


def _is_same(call: Call, other: Call) -> bool:
    recorder = call.recorders[0]
    (inner, outer) = (call, other) if call.start_ns >= other.start_ns else (other, call)
    is_around = inner.end_ns <= outer.end_ns + SLACK_NS
    is_known = any(scope == recorder[0] for scope, _ in other.recorders)
    if call.id is not None and other.id is not None and call.id != other.id:
        return False
    if call.id is not None and call.id == other.id and call.kind != "tool":
        # some give all their answers one id: of one recorder, only a span that lies around another one is the same
        return not is_known or (is_around and _is_beside(call.node, other.node))
    if recorder in other.recorders or not _agree(call, other):
        return False
    is_equal = not set(call.usages).isdisjoint(other.usages)
    if is_known:
        # one instrumentation with two ways to record: a handler, and a client that does not know of it
        return is_around and is_equal and _is_in_own_tree(outer.node) and not _is_in_own_tree(inner.node)
    if is_equal:
        return True
    late_ns = inner.end_ns - outer.end_ns
    return late_ns <= SLACK_NS + (outer.end_ns - outer.start_ns) // 8 and (
        call.kind == "tool" or _is_alike(call, other)
    )


def _is_in_own_tree(node: Node) -> bool:
    return node.parent is not None and node.parent.scope == node.scope


def _is_beside(one: Node, other: Node) -> bool:
    return one.parent is other.parent and (one.parent is not None or one.trace_id != other.trace_id)


def _agree(call: Call, other: Call) -> bool:
    """Tell whether the names may be of one model, or one tool."""
    if not call.names or not other.names:
        return call.kind != "tool"
    name = call.names[0]
    if call.kind == "tool":
        return name in other.names
    return any(_is_version(name, one) or _is_version(one, name) for one in other.names)


@lru_cache(maxsize=256)
def _bare(name: str) -> str:
    """Return the name of a model without who serves it: `openai/gpt-4o`, `anthropic.claude-3`."""
    name = name.rpartition("/")[2]
    while (at := name.find(".")) > 0 and name[:at].isalpha() and not name[at + 1 : at + 2].isdigit():
        name = name[at + 1 :]
    return name


def _is_version(name: str, model: str) -> bool:
    return name.startswith(model) and (name == model or _VERSION.fullmatch(name, len(model)) is not None)


def _is_alike(call: Call, other: Call) -> bool:
    """Tell whether different usage may be of one call: one says none, or counts a stream's first or each event."""
    if not call.usages or not other.usages:
        return True
    given, gotten = call.usages[0]
    if any(given == input_tokens and abs(gotten - output_tokens) <= 2 for input_tokens, output_tokens in other.usages):
        return True
    if not (call.is_stream or other.is_stream):
        return False
    return any(min(given, one) > 0 and max(given, one) % min(given, one) == 0 for one, _ in other.usages)


def better(inner: Node, outer: Node) -> Node:
    """Return which of two reports of a call counts: what tells more, else that of the inner one, which saw the answer."""
    one, other = inner.said, outer.said
    if one is None or other is None or one.usage is None or other.usage is None:
        return inner if other is None or other.usage is None else outer
    if (is_better := _completeness(other.usage) - _completeness(one.usage)) or one.is_whole is not other.is_whole:
        return outer if is_better > 0 or (not is_better and other.is_whole) else inner
    more = _sum(other.usage) - _sum(one.usage)
    if not more:
        return outer if _details(other.usage) > _details(one.usage) else inner
    # what one has more is what the other left out, or it has counted something twice
    larger = other.usage if more > 0 else one.usage
    is_left_out = abs(more) in ((larger.cached or 0) + (larger.cache_write or 0), larger.reasoning)
    return outer if (more > 0) is is_left_out else inner


def _sum(usage: TokenUsage) -> int:
    return (usage.input or 0) + (usage.output or 0)


def _completeness(usage: TokenUsage) -> int:
    return (usage.input is not None) + (usage.output is not None)


def _details(usage: TokenUsage) -> int:
    return sum(part is not None for part in (usage.cached, usage.cache_write, usage.reasoning))
