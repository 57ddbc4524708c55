"""One span: what others need to know of it, while it is open, or may still change; and the local root that it is below.

Made by `Tree`, and filled in by all who convert. Not thread-safe: used with a lock held.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from otel_feedback.convert.amounts import Amounts, Intervals
from otel_feedback.convert.status import Judgement
from otel_feedback.events.model import OutcomeEvent

__all__ = ["Guess", "Node", "agent_below", "is_within"]


class Guess(NamedTuple):
    """What an open span seems to be."""

    is_action: bool
    is_agent: bool
    name: str | None
    is_chain: bool = False  # an action at the top only


class Node(msgspec.Struct, eq=False):
    """One span. Most is as the class says: a span begins in microseconds."""

    # a struct: its defaults are set in C, and it takes a quarter of what a dict of so many names would
    trace_id: int
    span_id: int
    parent: Node | None
    scope: str
    start_ns: int
    live: Any  # the open span, for a look at its attributes; None after its end
    run: Run
    key: str
    begun_s: float  # the span's own times may be anything
    cause_id: int = 0  # tells the exception that passed through when it began
    identity: Mapping[str, Any] | None = None  # of the nearest action of our own
    is_in_action: bool = False  # below one that `action()` made, or is one
    is_placed: bool = False  # what is above it was known when it began
    next_up: Node | None = None  # the nearest span above that is, or may be, an action
    above: Node | None = None
    root: Node | None = None  # the topmost action above; None: there is none
    depth: int = 0
    agent: str | None = None  # the nearest one above
    event_id: str = ""
    own: bool = False  # made by our own action()
    said_place: tuple[str | None, str | None, int | None] = None, None, None  # parent, root, depth by its own word
    guess: Guess | None = None
    is_ended: bool = False
    is_given_up: bool = False
    is_put_off: bool = False  # it has ended, and is converted later
    put_off_below: int = 0  # spans right below it of which this is so
    is_action: bool | None = None  # None: not known before its end
    is_call: bool = False
    better: Node | None = None  # the span that tells the same call better, whose tokens count
    is_told: bool = True  # whether it said itself how it ended
    kind: str = ""
    name: str | None = None  # of the agent that it is
    event: OutcomeEvent | None = None
    sampled: bool = False
    open_below: int = 0
    waiting: list[Node] | None = None
    below: list[Node] | None = None  # actions whose place depends on this one's, which is not sure
    amounts: Amounts | None = None  # of those below it
    summed: tuple[Amounts, int | None, float | None] | None = None  # see `rollup`
    passed: Amounts | None = None  # what its parent got of it
    call: Any = None  # what it tells of a call, until that is looked for among the latest
    caller_id: int = 0  # the span above that has ended, or is of another process
    said: Any = None  # what it says that it used
    intervals: Intervals | None = None
    agents_below: frozenset[str | None] | None = None
    foreign_below: bool = False
    last_agent: Judgement | None = None  # how the agent below it ended that ended last
    is_broken_off: bool = False  # its answer ended before its end, and after that of the span above
    last_below: Judgement | None = None  # how the span right below it ended that ended last
    child_errors: int = 0
    additions: tuple[Any, ...] = ()

    @classmethod
    def at_the_top(cls, trace_id: int, span_id: int, scope: str, start_ns: int, live: Any, cause_id: int = 0) -> Node:
        """Return that of a span with none above it."""
        run = Run(f"{trace_id:032x}")
        key = run.trace_id
        run.root = node = cls(
            trace_id, span_id, None, scope, start_ns, live, run, key, time.monotonic(), cause_id, None, False, True
        )
        return node

    @property
    def root_id(self) -> str:
        """The id of the topmost event above it, or its own: of an action of our own, which may be in another process."""
        root = self.root or self
        return root.said_place[1] or root.of_event

    @property
    def of_event(self) -> str:
        """The id of its event, should it have one."""
        if not self.event_id:
            self.event_id = f"{self.run.trace_id}-{self.span_id:016x}"
        return self.event_id

    def place(self, above: Node | None) -> None:
        """Say which action is above it."""
        self.above = above
        if above is None:
            self.depth, self.root, self.agent = self.said_place[2] or 0, None, None
        else:
            self.depth, self.root, self.agent = above.depth + 1, above.root or above, agent_below(above)


def agent_below(above: Node) -> str | None:
    """Return the agent that is nearest to what is right below this action."""
    if above.name is not None and (above.kind == "agent" or above.own):
        return above.name
    return above.agent


def is_within(node: Node, other: Node) -> bool:
    """Tell whether a span is the other one or below it."""
    current: Node | None = node
    while current is not None and current is not other:
        current = current.parent
    return current is not None


class Run:
    """A local root and the spans below it that are open."""

    __slots__ = ("kept", "open", "root", "trace_id")

    def __init__(self, trace_id: str) -> None:
        self.trace_id = trace_id
        self.root: Node | None = None  # None when all is over: no cycle is left for the garbage collector
        self.kept = 0  # actions that are kept because their place is not sure
        self.open: dict[int, Node] = {}
