"""From spans that start and end to outcome events: what a span says of itself, and what the spans around it add.

    span ends ──► convention ──► Reading ──► judge ──► event ──┬──► emitted at once
                                                 tree ─────────┘      and again, with a higher revision, when a span
                                                                      that ends later adds to it or corrects it

Nothing here raises for what a span carries.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from otel_feedback import semconv
from otel_feedback.convert.additions import Addition, added
from otel_feedback.convert.amounts import Amounts
from otel_feedback.convert.catching_up import LONG_S, Failed, Notes
from otel_feedback.convert.node import Guess, Node
from otel_feedback.convert.putting_off import PuttingOff
from otel_feedback.convert.reader import Reader
from otel_feedback.convert.rules import Emit, Emitted, FindOwn, OwnAction, Rules
from otel_feedback.convert.shapes import LOGFIRE_TYPE
from otel_feedback.convert.span import Convention, FinishedSpan
from otel_feedback.convert.tree import MAX_NODES
from otel_feedback.events.model import OutcomeEvent

__all__ = ["Outcomes"]


class Outcomes(PuttingOff):
    """Turns spans into events; keeps what is needed of those that are open. Thread-safe.

    Args:
        emit: Takes the events.
        conventions: Asked in this order, after our own; the first that matches reads the span, and no other.
        find_own: Gives the action of our own whose span has this id, while it is open or ending.
        notes: Where spans are written down that are converted later; None: none is.
        failed: Counts a span that cannot be converted, where that is not the one that is given to `end()`, which raises.
    """

    def __init__(
        self,
        emit: Emit,
        conventions: Iterable[Convention],
        rules: Rules,
        find_own: FindOwn = lambda span_id: None,
        notes: Notes | None = None,
        failed: Failed = lambda exc: None,
    ) -> None:
        super().__init__(Reader((*rules.conventions, *conventions), rules), emit, notes, failed)
        self._find_own = find_own
        self.rules = rules

    # -- a span starts -------------------------------------------------------------------------------------

    def begin(
        self,
        trace_id: int,
        span_id: int,
        parent_id: int,
        scope: str,
        start_ns: int,
        live: Any,
        attributes: dict[str, Any],
        cause_id: int,
    ) -> None:
        """Take a span that has started.

        Args:
            parent_id: The span above, of this process; 0 for none.
            live: The span, which is asked what it is while it is open.
            attributes: What it has as yet, which another thread may be adding to; not to be changed.
            cause_id: Tells the exception that is passing through from others; 0: there is none.
        """
        thread = threading.get_ident()
        if self._owner == thread:
            self._aside.append(
                lambda: self.begin(trace_id, span_id, parent_id, scope, start_ns, live, attributes, cause_id)
            )
            return
        tree = self._tree
        nodes = tree.nodes
        # one has the id of another one, begins below one that is put off, or takes its room
        if self._put_off and (
            span_id in nodes
            or len(nodes) >= MAX_NODES
            or ((above := nodes.get(parent_id)) is not None and above.is_put_off)
        ):
            self.catch_up()
        with self._lock:
            self._owner = thread
            try:
                parent = nodes.get(parent_id) if parent_id else None
                if parent_id and (parent is None or parent.trace_id != trace_id):
                    parent = self._above(trace_id, parent_id)
                if span_id in self._ended:
                    del self._ended[span_id]
                if (
                    attributes
                    and not attributes.keys().isdisjoint(semconv.INFRASTRUCTURE_MARKERS)
                    and not self._reader.is_marked(attributes)
                ):
                    if parent is not None:
                        tree.pass_over(span_id, parent)
                else:
                    node = tree.begin(trace_id, span_id, parent, scope, start_ns, live, cause_id)
                    if parent is None:
                        node.caller_id = parent_id
                    if semconv.OUTCOME_ACTION_TYPE in attributes:
                        self._note_own(node, attributes.copy())
                    if self._changed:
                        self._revise()
            finally:
                self._owner = 0
        if self._ready or self._aside:
            self._hand_out_rest()

    def _note_own(self, node: Node, attributes: Mapping[str, Any]) -> None:
        node.own = True
        node.identity = attributes
        node.guess = Guess(True, False, None)
        node.is_action = True
        name = attributes.get(semconv.GEN_AI_AGENT_NAME)
        node.name = name if isinstance(name, str) else None
        run_id = attributes.get(semconv.OUTCOME_RUN_ID)
        if isinstance(run_id, str):
            node.key = run_id
        if node.above is None and isinstance(parent_id := attributes.get(semconv.OUTCOME_PARENT_EVENT_ID), str):
            root_id, depth = attributes.get(semconv.OUTCOME_ROOT_EVENT_ID), attributes.get(semconv.OUTCOME_DEPTH)
            if isinstance(root_id, str) and isinstance(depth, int):
                node.said_place, node.depth = (parent_id, root_id, depth), depth

    # -- a span ends ---------------------------------------------------------------------------------------

    def end(self, trace_id: int, span_id: int, cause_id: int, sampled: bool, span: FinishedSpan | None) -> None:
        """Take a span that has ended.

        Args:
            cause_id: Tells the exception that is passing through from others; 0: there is none.
            span: What is to be read of it, without ids, which are filled in here; None where that is nothing.
        """
        if self._owner == threading.get_ident():
            self._aside.append(lambda: self.end(trace_id, span_id, cause_id, sampled, span))
            return
        if self._put_off and (span is not None or self._waits_for(span_id)):
            self.catch_up()
        failed: Exception | None = None
        ready: list[Emitted] = []
        try:
            with self._lock:
                self._owner = threading.get_ident()
                try:
                    node = self._tree.find(trace_id, span_id)
                    if node is not None and node.span_id != span_id:  # it was passed over
                        self._tree.end_passed_over(span_id)
                        node = None
                    if node is None and self._ended.get(span_id) == trace_id:
                        pass  # two processors on one provider
                    elif span is not None:
                        if node is None:
                            # it began before we did
                            node = Node.at_the_top(trace_id, span_id, span.scope, span.start_ns, None)
                        span.event_id = event_id = node.of_event
                        span.trace_id, span.span_id = node.run.trace_id, event_id[33:]
                        if cause_id in (0, node.cause_id):
                            span.in_flight = None
                        node.sampled = sampled
                        if span.attributes.get(LOGFIRE_TYPE) != "log" or not self._answer(node, span):
                            self._end(node, span)
                        self._note_ended(trace_id, span_id)
                    elif node is not None:
                        self._end(node, None)
                except Exception as exc:  # what others have to say by it goes out all the same
                    failed = exc
                except BaseException:  # of a handler of a signal; the span has ended
                    self._aside.append(lambda: self.end(trace_id, span_id, cause_id, sampled, span))
                    raise
                finally:
                    self._owner = 0
                ready += self._ready
                self._ready = []
            if ready or self._aside:
                self._hand_out(ready)
        finally:
            if ready:
                self._put_back(ready)
        if failed is not None:
            raise failed

    # -- actions of our own that have others' spans around them --------------------------------------------

    def begin_own(self, action: OwnAction) -> None:
        """Take an action that has started below somebody else's span; it gets a place where that one has one."""
        if self._owner == threading.get_ident():
            self._aside.append(lambda: self.begin_own(action))
            return
        self.catch_up()
        with self._lock:
            self._owner = threading.get_ident()
            try:
                if action.above is not None and self._tree.find(*action.above) is not None:
                    self._own_node(action)
                    action.has_place = True
            finally:
                self._owner = 0
        if self._aside:
            self._see_to_aside()

    def end_own(self, action: OwnAction, event: OutcomeEvent, sampled: bool) -> OutcomeEvent | None:
        """Take the event of an action that ends; return it as it was taken, with what others add."""
        if self._owner == threading.get_ident():
            self._aside.append(lambda: self.end_own(action, event, sampled))
            return None
        self.catch_up()
        with self._lock:
            self._owner = threading.get_ident()
            try:
                node = self._own_node(action)
                for below in (action.open_below or {}).values():
                    if below is not None:
                        self._own_node(below).foreign_below = True  # this event has nothing of it
                node.sampled = sampled
                used = action.used_below
                if used is not None:
                    node.amounts = node.amounts or Amounts()
                    node.amounts.add_used(*used)
                    node.summed = None
                self._move(node, self._tree.above(node))
                self._reader.note_own(node, event, action.own_calls)
                beside = None if action.parent is None else action.parent.open_below
                if beside and event.event_id in beside:  # the one above is ending, too, and comes here later
                    node.foreign_below = True
                    beside[event.event_id] = None  # and not taken out: it comes here because there was one
                ended = self._settle(node, event, None)
            finally:
                self._owner = 0
            ready, self._ready = self._ready, []
        return self._hand_out(ready, ended, is_told=True)

    def _above(self, trace_id: int, span_id: int) -> Node | None:
        """Return the node of the span above, or of what stands for it; an action of our own gets one now."""
        node = self._tree.find(trace_id, span_id)
        if node is None and (action := self._find_own((trace_id, span_id))) is not None:
            node = self._own_node(action)
        return node

    def _own_node(self, action: OwnAction) -> Node:
        """Return the node of an action of our own, made now if there is none, with those of the actions above it."""
        waiting: list[OwnAction] = []
        node: Node | None = None
        above: OwnAction | None = action
        while above is not None:
            node = self._tree.find(*above.ids)
            if node is not None:
                break
            waiting.append(above)
            outer = above.above
            node = None if outer is None else self._tree.find(*outer)
            above = None if outer is None or node is not None else self._find_own(outer)
        for below in reversed(waiting):
            node = self._tree.begin(*below.ids, node, "", below.start_ns, None)
            self._note_own(node, below.started)
            node.key, node.is_in_action = below.partition_key, True
            below.in_tree = True
        assert node is not None
        return node

    # -- spans that do not end -----------------------------------------------------------------------------

    def tend(self) -> None:
        """Give up spans that have been open for too long. Called now and then, from any thread."""
        self.catch_up_giving_way()
        oldest_s = time.monotonic() - self.rules.open_s
        with self._lock:
            self._owner = threading.get_ident()
            try:
                for node in reversed(self._tree.open_nodes()):
                    if node.begun_s <= oldest_s:
                        self._give_up(node)
                self._revise()
            finally:
                self._owner = 0
        self._hand_out_rest()

    def finish(self) -> None:
        """Give up everything that is open: the program ends."""
        self.catch_up(LONG_S)
        with self._lock:
            self._owner = threading.get_ident()
            try:
                for node in reversed(self._tree.open_nodes()):
                    self._give_up(node)
                    self._end_pending(node)
                self._note_changed(self._tree.nodes.values())
                self._revise()
            finally:
                self._owner = 0
            ready, self._ready = self._ready, []
        self._hand_out(ready)

    # -- what is said beside the spans ---------------------------------------------------------------------

    def keep_recent(self) -> None:
        """Remember which spans the newest events are of, so that `add()` finds them."""
        self._recent = self._recent or {}
        self.keeps_recent = True

    def add(self, trace_id: int, span_id: int, addition: Addition, missed: Callable[[], None] | None = None) -> None:
        """Add to the event of a span: with its end where it is open, as a revision where it has ended.

        Args:
            missed: Called where neither is known here: it ended long ago, or elsewhere.
        """
        if self._owner == threading.get_ident():
            self._aside.append(lambda: self.add(trace_id, span_id, addition, missed))
            return
        self.catch_up()
        is_known = False
        with self._lock:
            self._owner = threading.get_ident()
            try:
                node = self._above(trace_id, span_id) or (self._recent or {}).get(span_id)
                is_known = node is not None and node.span_id == span_id and node.trace_id == trace_id
                if node is not None and is_known:
                    if node.event is None:
                        node.additions = (*node.additions, addition)
                    else:
                        event = added(node.event, (addition,))
                        node.event = msgspec.structs.replace(event, revision=event.revision + 1)
                        self._ready.append(Emitted(node.event, node.key, node.sampled))
            finally:
                self._owner = 0
            ready, self._ready = self._ready, []
        self._hand_out(ready)
        if not is_known and missed is not None:
            missed()

    def renew_after_fork(self) -> None:
        """In a forked child: locks anew, and nothing is open. What was open is the parent's to end, or to give up."""
        self._renew_locks()
        for waiting in (self._aside, self._put_off, self._on_the_way, self._converted):
            waiting.clear()
        # as it unwinds it may end them, too, and knows nothing of what the parent does below them
        self._forgettable, self._ended = None, {node.span_id: node.trace_id for node in self._tree.open_nodes()}
        self._forget_all()
