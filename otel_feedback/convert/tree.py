"""The spans that are open, and those ended ones to which something may still be added; who is above whom.

    begin ──► open ──► end ──► forgotten            at once, where nothing is open below it
                │        └───► kept ──► forgotten   when what was open below it has ended
                └──────────────────────────────────► given up: its root has ended, its time is over, too many are open

`parent` is the span above, `above` the nearest one above that is an action. Whether an open span is an action can only be
guessed by the attributes that it has; when it ends and the guess was wrong, `waiting` has the actions below to be told.
Not thread-safe: used with a lock held. Everything takes the same time, however deep or wide a trace is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import msgspec

from otel_feedback.convert.amounts import Amounts, Intervals
from otel_feedback.convert.status import Judgement
from otel_feedback.events.model import OutcomeEvent

__all__ = ["Guess", "Node", "Tree", "is_within"]

MAX_NODES = 10_000
"""Spans that are remembered; the oldest are given up beyond that."""

MAX_WAITING = 256
"""Actions below a span that are told what it turned out to be."""

MAX_KEPT = 2_000
"""Actions of a trace that are remembered after their end because what is above them is not sure."""


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
    run: Run = cast("Run", None)
    key: str = ""
    begun_s: float = 0.0  # the span's own times may be anything
    event_id: str = ""
    own: bool = False  # made by our own action()
    said_place: tuple[str | None, str | None, int | None] = None, None, None  # parent, root, depth by its own word
    identity: Mapping[str, Any] | None = None  # of the nearest action of our own
    is_in_action: bool = False  # below one that `action()` made, or is one
    cause_id: int = 0  # id() of the exception that passed through when it began
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
    agent: str | None = None  # the nearest one above
    event: OutcomeEvent | None = None
    sampled: bool = False
    open_below: int = 0
    waiting: list[Node] | None = None
    below: list[Node] | None = None  # actions whose place depends on this one's, which is not sure
    is_placed: bool = False  # what is above it was known when it began
    next_up: Node | None = None  # the nearest span above that is, or may be, an action
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
    above: Node | None = None
    root: Node | None = None  # the topmost action above; None: there is none
    depth: int = 0

    def __post_init__(self) -> None:
        self.begun_s = time.monotonic()
        parent = self.parent
        if parent is None:
            self.run = Run(self)
            self.is_placed = True
            self.key = self.run.trace_id
        else:
            self.run = parent.run
            self.key = parent.key
            self.identity, self.is_in_action = parent.identity, parent.is_in_action

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
            self.depth, self.root = above.depth + 1, above.root or above
            self.agent = above.name if above.kind == "agent" or above.own else above.agent
            if self.agent is None:
                self.agent = above.agent


def is_within(node: Node, other: Node) -> bool:
    """Tell whether a span is the other one or below it."""
    current: Node | None = node
    while current is not None and current is not other:
        current = current.parent
    return current is not None


class Run:
    """A local root and the spans below it that are open."""

    __slots__ = ("kept", "open", "root", "trace_id")

    def __init__(self, root: Node) -> None:
        self.trace_id = f"{root.trace_id:032x}"
        self.root: Node | None = root  # None when all is over: no cycle is left for the garbage collector
        self.kept = 0  # actions that are kept because their place is not sure
        self.open: dict[int, Node] = {}


class Tree:
    """All spans that are open or kept.

    Args:
        look: Tells what an open span seems to be; None where its attributes do not say.
        give_up: Called with a node that is open and about to be forgotten.
    """

    def __init__(self, look: Callable[[Any, str], Guess | None], give_up: Callable[[Node], None]) -> None:
        self._look = look
        self._give_up = give_up
        self.nodes: dict[int, Node] = {}
        """By span, the oldest first; a span that is passed over stands for its parent. Any thread may look one up."""

    def find(self, trace_id: int, span_id: int) -> Node | None:
        """Return the node of a span, or of what stands for it."""
        node = self.nodes.get(span_id)
        return node if node is not None and node.trace_id == trace_id else None

    def begin(self, trace_id: int, span_id: int, parent: Node | None, scope: str, start_ns: int, live: Any) -> Node:
        """Take a span that has started."""
        known = self.nodes.get(span_id)
        if known is not None:
            if known.live is live:  # two processors on one provider
                return known
            self._drop(span_id)  # ids that are no ids
        node = Node(trace_id, span_id, parent, scope, start_ns, live)
        if parent is not None:
            guess = parent.guess
            if parent.is_action is None and guess is not None and guess.is_action and self.is_sure(parent):
                node.place(parent)  # most are like this, and it takes half as long
                node.is_placed, node.next_up = parent.is_placed, parent
            else:
                node.place(parent if self._is_likely(parent, scope) else self.above(parent))
                is_sure, guess = self.is_sure(parent), parent.guess
                node.is_placed = parent.is_placed and is_sure
                is_none = is_sure and parent.is_action is None and guess is not None and not guess.is_action
                node.next_up = parent.next_up if is_none else parent
            parent.open_below += 1
        node.run.open[span_id] = node
        self.nodes[span_id] = node
        while len(self.nodes) > MAX_NODES:
            self._drop(next(iter(self.nodes)))
        return node

    def pass_over(self, span_id: int, parent: Node) -> None:
        """Take a span that is no action for sure: what is below it is below its parent."""
        self.nodes[span_id] = parent
        while len(self.nodes) > MAX_NODES:
            self._drop(next(iter(self.nodes)))

    def end_passed_over(self, span_id: int) -> None:
        """Forget a span that was passed over."""
        self.nodes.pop(span_id, None)

    def _drop(self, span_id: int) -> None:
        node = self.nodes.pop(span_id)
        if node.span_id == span_id and not node.is_ended:
            node.run.open.pop(span_id, None)
            self._give_up(node)

    def above(self, node: Node) -> Node | None:
        """Return the nearest action above, as far as is known."""
        if node.parent is not None and node.parent.is_action:
            return node.parent
        while node.next_up is not None and node.next_up.is_action is False and node.next_up.is_ended:
            node.next_up = node.next_up.next_up  # those that end outside first: each of them once
        up = node.next_up
        while up is not None and up.is_action is False:
            node, up = up, up.next_up
        above = up if up is not None and up.is_action else node.above
        while above is not None and above.is_action is False:
            above = above.above
        return above

    def is_settled(self, node: Node) -> bool:
        """Tell whether what is above a span is what was above it when it began."""
        parent, above = node.parent, node.above
        return (
            node.is_placed
            and (parent is None or parent.is_action is None)
            and (above is None or above is parent or above.is_action is None)
        )

    def unsure_above(self, node: Node) -> Node | None:
        """Return the open span that will tell, when it ends, whether it is what is above; None where that is known."""
        above = node.next_up
        while above is not None and above.is_ended and above.is_action is False:
            above = above.next_up
        if above is None or above.is_ended or (self.is_sure(above) and not above.is_given_up):
            return None
        return above

    def move(self, node: Node, above: Node | None) -> list[Node]:
        """Say which action is above it; return those below whose place changes with it."""
        before = node.depth, node.root, node.agent
        node.place(above)
        if not node.below or before == (node.depth, node.root, node.agent):
            return []
        moved: list[Node] = []
        nodes = [node]
        while nodes:
            current = nodes.pop()
            for below in current.below or ():
                if below.above is current:
                    below.place(current)
                    moved.append(below)
                    nodes.append(below)
        return moved

    def keep(self, node: Node) -> None:
        """Remember an action that has ended below one whose own place is not sure."""
        above = node.above
        if above is not None and not above.is_placed and node.run.kept < MAX_KEPT:
            node.run.kept += 1
            above.below = above.below or []
            above.below.append(node)

    def _is_likely(self, node: Node, scope: str) -> bool:
        """Tell whether this span, which may be open, is an action."""
        if node.is_action is not None:
            return node.is_action
        guess = node.guess
        if guess is None:
            guess = node.guess = self._look(node.live, node.scope)
        if guess is None:
            # nothing is known of it: what is at the top is what the others of its making are for
            return node.scope == scope and not node.live.attributes and self.above(node) is None
        if guess.is_agent and node.kind == "":
            node.kind, node.name = "agent", guess.name
        return guess.is_action or (guess.is_chain and self.above(node) is None)

    def is_sure(self, node: Node) -> bool:
        """Tell whether nothing new can be learned of this span for those below it."""
        guess = node.guess
        if node.is_action is not None:
            return True
        if guess is None:
            return False
        return not guess.is_chain and (not guess.is_agent or node.name is not None)

    def end(self, node: Node) -> list[Node]:
        """A span has ended: forget it, and those above that waited for it, unless something is open below.

        Returns:
            The spans above that have nothing open below them any more, and ended or were given up before.
        """
        node.is_ended, node.live = True, None
        node.run.open.pop(node.span_id, None)
        if node.open_below:
            return []
        self._forget(node)
        return self._leave(node.parent)

    def adopt(self, node: Node, parent: Node) -> list[Node]:
        """Put a span that has ended below another one; return as `end()` does."""
        complete: list[Node] = []
        if node.open_below:
            complete = self._leave(node.parent)
            above: Node | None = parent
            while above is not None:
                above.open_below += 1
                above = above.parent if above.is_ended and above.open_below == 1 else None
        node.parent = node.next_up = parent
        return complete

    def _leave(self, above: Node | None) -> list[Node]:
        """Count one less that is open below a span: what is open anywhere below is."""
        complete: list[Node] = []
        while above is not None:
            above.open_below -= 1
            if above.open_below or not (above.is_ended or above.is_given_up):
                break
            complete.append(above)
            if not above.is_ended:
                break
            self._forget(above)
            above = above.parent
        return complete

    def _forget(self, node: Node) -> None:
        if self.nodes.get(node.span_id) is node:
            del self.nodes[node.span_id]
        if node.parent is None and not node.run.open:
            node.run.root = None

    def open_below(self, root: Node) -> list[Node]:
        """Return the spans that are open below a local root."""
        return list(root.run.open.values())

    def open_nodes(self) -> list[Node]:
        """Return all spans that are open, the oldest first."""
        return [node for span_id, node in self.nodes.items() if node.span_id == span_id and not node.is_ended]
