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
from collections.abc import Callable
from typing import Any

from otel_feedback.convert.node import Guess, Node, agent_below

__all__ = ["Tree"]

MAX_NODES = 10_000
"""Spans that are remembered; the oldest are given up beyond that."""

MAX_WAITING = 256
"""Actions below a span that are told what it turned out to be."""

MAX_KEPT = 2_000
"""Actions of a trace that are remembered after their end because what is above them is not sure."""


class Tree:
    """All spans that are open or kept.

    Args:
        look: Tells what an open span seems to be; None where its attributes do not say.
        give_up: Called with a node that is about to be forgotten while it is open, or something below it is.
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

    def begin(
        self, trace_id: int, span_id: int, parent: Node | None, scope: str, start_ns: int, live: Any, cause_id: int = 0
    ) -> Node:
        """Take a span that has started."""
        nodes = self.nodes
        known = nodes.get(span_id)
        if known is not None:
            if known.live is live:  # two processors on one provider
                return known
            self._drop(span_id)  # ids that are no ids
        if parent is None:
            node = Node.at_the_top(trace_id, span_id, scope, start_ns, live, cause_id)
            run = node.run
        else:
            run, guess = parent.run, parent.guess
            if (
                parent.is_action is None
                and guess is not None
                and guess.is_action
                and not guess.is_chain
                and (parent.name is not None or not guess.is_agent)
            ):  # it is sure, as most are; and this takes half as long
                node = Node(
                    trace_id, span_id, parent, scope, start_ns, live, run, parent.key, time.monotonic(), cause_id,
                    parent.identity, parent.is_in_action, parent.is_placed, parent, parent, parent.root or parent,
                    parent.depth + 1, agent_below(parent),
                )  # fmt: skip
            else:
                node = Node(
                    trace_id, span_id, parent, scope, start_ns, live, run, parent.key, time.monotonic(), cause_id,
                    parent.identity, parent.is_in_action,
                )  # fmt: skip
                node.place(parent if self._is_likely(parent, scope) else self.above(parent))
                is_sure, guess = self.is_sure(parent), parent.guess
                node.is_placed = parent.is_placed and is_sure
                is_none = is_sure and parent.is_action is None and guess is not None and not guess.is_action
                node.next_up = parent.next_up if is_none else parent
            parent.open_below += 1
        run.open[span_id] = nodes[span_id] = node
        while len(nodes) > MAX_NODES:
            self._drop(next(iter(nodes)))
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
        if node.span_id == span_id:
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
