"""From spans that start and end to outcome events: what a span says of itself, and what the spans around it add.

    span ends ──► convention ──► Reading ──► judge ──► event ──┬──► emitted at once
                                                 tree ─────────┘      and again, with a higher revision, when a span
                                                                      that ends later adds to it or corrects it

One lock. A span that ends in a signal handler or finaliser, in the middle of this very code on the same thread, is put
aside and converted when the interrupted one is done. Nothing here raises for what a span carries.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import msgspec

from otel_feedback import semconv
from otel_feedback.convert.additions import Addition, added
from otel_feedback.convert.amounts import Amounts
from otel_feedback.convert.doubles import Doubles
from otel_feedback.convert.foreign import with_news
from otel_feedback.convert.reader import Reader, pass_on
from otel_feedback.convert.rollup import AMOUNTS, pass_up, told_amounts
from otel_feedback.convert.rules import Emit, Emitted, Ended, FindOwn, OwnAction, Rules
from otel_feedback.convert.span import Convention, FinishedSpan
from otel_feedback.convert.status import ABANDONED
from otel_feedback.convert.tree import MAX_NODES, MAX_WAITING, Guess, Node, Tree, is_within
from otel_feedback.convert.values import plain
from otel_feedback.events.model import OutcomeEvent, OutcomeStatus

__all__ = ["Outcomes"]

logger = logging.getLogger(__name__)

MOST_ENDED = 128
"""Spans that are known to have ended, so that one that two processors see is recorded once."""

MOST_RECENT = 1_000
"""Spans that have ended and that are found by what is said of them afterwards."""


class Outcomes:
    """Turns spans into events; keeps what is needed of those that are open. Thread-safe.

    Args:
        emit: Takes the events.
        conventions: Asked in this order, after our own; the first that matches reads the span, and no other.
        find_own: Gives the action of our own whose span has this id, while it is open or ending.
    """

    def __init__(
        self, emit: Emit, conventions: Iterable[Convention], rules: Rules, find_own: FindOwn = lambda span_id: None
    ) -> None:
        self._emit = emit
        self._find_own = find_own
        self.rules = rules
        self._reader = Reader((*rules.conventions, *conventions), rules)
        self._lock = threading.RLock()
        self._owner = 0  # the thread that holds the lock, or 0
        self._aside: deque[Callable[[], object]] = deque()
        self._is_catching_up = False
        self._ended: dict[int, int] = {}  # the latest spans that ended; guarded by self._lock
        self._given_up: dict[int, tuple[int, int]] = {}  # span to trace and revision; guarded by self._lock
        self.keeps_recent = False
        """Whether spans that have ended are to be found by what is said of them afterwards."""
        self._recent: dict[int, Node] | None = None  # those with the newest events; guarded by self._lock
        self._tree = Tree(self._reader.look, self._give_up)
        self._doubles = Doubles()
        self._ready: list[Emitted] = []  # guarded by self._lock
        self._changed: dict[int, Node] = {}  # nodes to be revised, by id(); guarded by self._lock

    # -- a span starts -------------------------------------------------------------------------------------

    def begin(
        self, trace_id: int, span_id: int, parent_id: int, scope: str, start_ns: int, live: Any, cause_id: int
    ) -> None:
        """Take a span that has started.

        Args:
            parent_id: The span above, of this process; 0 for none.
            live: The span, which has `attributes`; it is asked what it is while it is open.
            cause_id: `id()` of the exception that is passing through, or 0.
        """
        if self._owner == threading.get_ident():
            self._aside.append(lambda: self.begin(trace_id, span_id, parent_id, scope, start_ns, live, cause_id))
            return
        attributes = plain(live.attributes)
        with self._lock:
            self._owner = threading.get_ident()
            try:
                parent = self._above(trace_id, parent_id) if parent_id else None
                self._ended.pop(span_id, None)
                if not semconv.INFRASTRUCTURE_MARKERS.isdisjoint(attributes) and not self._reader.is_marked(attributes):
                    if parent is not None:
                        self._tree.pass_over(span_id, parent)
                else:
                    node = self._tree.begin(trace_id, span_id, parent, scope, start_ns, live)
                    node.cause_id = cause_id
                    if semconv.OUTCOME_ACTION_TYPE in attributes:
                        self._note_own(node, attributes)
                    if self._changed:
                        self._revise()
            finally:
                ready, self._ready, self._owner = self._ready, [], 0
        if ready or self._aside:
            self._hand_out(ready)

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

    # -- a span ends ---------------------------------------------------------------------------------------

    def end(self, ended: Ended, attributes: Mapping[str, Any], make: Callable[[], FinishedSpan]) -> OutcomeEvent | None:
        """Take a span that has ended; return its event, if it has one.

        Args:
            attributes: Of the span, as they are.
            make: Gives what is to be read of the span; called only where that may be something. Of a span that is no
                action of our own, ids are filled in here.
        """
        if self._owner == threading.get_ident():
            self._aside.append(lambda: self.end(ended, attributes, make))
            return None
        trace_id, span_id, cause_id, sampled = ended
        event: OutcomeEvent | None = None
        with self._lock:
            self._owner = threading.get_ident()
            try:
                node = self._tree.find(trace_id, span_id)
                if node is not None and node.span_id != span_id:  # it was passed over
                    self._tree.end_passed_over(span_id)
                    node = None
                if node is None and self._ended.get(span_id) == trace_id:
                    pass  # two processors on one provider
                elif self._reader.is_marked(attributes):
                    span = make()
                    if node is None:
                        node = Node(trace_id, span_id, None, span.scope, span.start_ns, None)  # it began before we did
                    if not span.event_id:
                        span.event_id = event_id = node.of_event
                        span.trace_id, span.span_id = node.run.trace_id, event_id[33:]
                    if cause_id in (0, node.cause_id):
                        span.in_flight = None
                    node.sampled = sampled
                    event = self._end(node, span)
                    self._note_ended(trace_id, span_id)
                elif node is not None:
                    self._end(node, None)
            finally:
                ready, self._ready, self._owner = self._ready, [], 0
        return self._hand_out(ready, event)

    def _note_ended(self, trace_id: int, span_id: int) -> None:
        self._ended[span_id] = trace_id
        if len(self._ended) > MOST_ENDED:
            del self._ended[next(iter(self._ended))]

    def _hand_out(self, ready: list[Emitted], awaited: OutcomeEvent | None = None) -> OutcomeEvent | None:
        """Emit what is ready, with no lock held; return the awaited one as it was taken. Then see to what was put aside."""
        taken: OutcomeEvent | None = None
        for event, key, sampled in ready:
            recorded = self._emit(event, key, sampled)
            if event is awaited:
                taken = recorded
        if self._aside:
            self._catch_up()
        return taken

    def _catch_up(self) -> None:
        """See to what was put aside. Not in the middle of doing so: each may put another one aside, without end."""
        while self._aside and not self._is_catching_up:
            self._is_catching_up = True
            try:
                while self._aside:
                    self._aside.popleft()()
            except IndexError:  # another thread was as quick
                pass
            except Exception:  # of another span than the one that the caller is at
                logger.exception("a span that was put aside could not be converted")
            finally:
                self._is_catching_up = False

    def _end(self, node: Node, span: FinishedSpan | None) -> OutcomeEvent | None:
        above = node.above
        if not self._tree.is_settled(node):
            above = self._tree.above(node)
            self._move(node, above)
        try:
            event = None if span is None else self._reader.convert(node, span, above)
        except Exception:
            self._tree.end(node)
            raise
        if span is None:
            pass_on(node)
        return self._settle(node, event, span)

    def _settle(self, node: Node, event: OutcomeEvent | None, span: FinishedSpan | None) -> OutcomeEvent | None:
        """Put what a span itself says together with what others say, and tell those."""
        node.is_action = event is not None
        given_up = self._given_up.pop(node.span_id, None)
        if event is not None and node.event is not None:
            event = msgspec.structs.replace(event, revision=node.event.revision + 1)
        elif event is not None and given_up is not None and given_up[0] == node.trace_id:  # and forgotten since
            event = msgspec.structs.replace(event, revision=given_up[1] + 1)
        if span is not None:
            node.event_id = span.event_id
        self._tree.end(node)
        if node.is_broken_off and node.parent is not None:
            self._abandon(node.parent)
        if event is not None:
            if node.own:
                event = self._with_others(node, event)
            node.event = event
            if node.additions:
                event = node.event = added(event, node.additions)
            self._ready.append(Emitted(event, node.key, node.sampled))
            if self._recent is not None:
                self._keep(node)
        self._pass_up(node)
        if node.is_call and node.said is not None and span is not None:
            self._match_double(node, span, event)
        if node.waiting:
            self._tell_waiting(node)
        self._wait(node)
        if node.parent is None and node.run.open:
            self._close_run(node)
        if self._changed:
            self._revise()
        return event

    # -- actions of our own that have others' spans around them --------------------------------------------

    def begin_own(self, action: OwnAction) -> None:
        """Take an action that has started below somebody else's span; it gets a place where that one has one."""
        if self._owner == threading.get_ident():
            self._aside.append(lambda: self.begin_own(action))
            return
        with self._lock:
            self._owner = threading.get_ident()
            try:
                if action.above is not None and self._tree.find(*action.above) is not None:
                    self._own_node(action)
                    action.has_place = True
            finally:
                self._owner = 0

    def end_own(self, action: OwnAction, event: OutcomeEvent, sampled: bool) -> OutcomeEvent | None:
        """Take the event of an action that ends; return it as it was taken, with what others add."""
        if self._owner == threading.get_ident():
            self._aside.append(lambda: self.end_own(action, event, sampled))
            return None
        with self._lock:
            self._owner = threading.get_ident()
            try:
                node = self._own_node(action)
                for below in (action.open_below or {}).values():
                    if not below.in_tree:
                        self._own_node(below)
                node.sampled = sampled
                used = action.used_below
                if used is not None:
                    node.amounts = node.amounts or Amounts()
                    node.amounts.add_used(*used)
                    node.summed = None
                self._move(node, self._tree.above(node))
                self._reader.note_own(node, event, action.own_calls)
                ended = self._settle(node, event, None)
            finally:
                ready, self._ready, self._owner = self._ready, [], 0
        return self._hand_out(ready, ended)

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
            node.key = below.partition_key
            below.in_tree = True
        assert node is not None
        return node

    # -- what the others add -------------------------------------------------------------------------------

    def _with_others(self, node: Node, event: OutcomeEvent) -> OutcomeEvent:
        """Return the event with what the spans above and below say."""
        if not node.own:
            return with_news(node, event)
        changes: dict[str, Any] = {}
        above = node.above
        if node.own and above is None:  # it may have a parent that is no span of ours
            place = node.said_place
        else:
            parent_id = None if above is None else above.of_event
            place = parent_id, event.event_id if above is None else (node.root or above).of_event, node.depth
        if place != (event.parent_event_id, event.root_event_id, event.depth):
            changes["parent_event_id"], changes["root_event_id"], changes["depth"] = place
        if (node.amounts is not None and node.foreign_below) or node.intervals is not None:
            told = dict(zip(AMOUNTS, told_amounts(node), strict=True))
            if (llm_ms := told.pop("llm_latency_ms")) is not None:
                told["llm_latency_ms"] = max(0.0 if node.said is None else node.said.llm_ms, llm_ms)
            changes.update({field: value for field, value in told.items() if getattr(event, field) != value})
        is_complete = node.open_below == 0
        if event.usage_complete is not is_complete:
            changes["usage_complete"] = is_complete
        return msgspec.structs.replace(event, **changes) if changes else event

    def _pass_up(self, node: Node) -> None:
        for revised in pass_up(node):
            self._changed[id(revised)] = revised

    # -- who is above whom ---------------------------------------------------------------------------------

    def _move(self, node: Node, above: Node | None) -> None:
        """Say which action is above it, also to those below."""
        for moved in self._tree.move(node, above):
            self._changed[id(moved)] = moved

    def _wait(self, node: Node) -> None:
        """Let the span above tell this one what it turned out to be, where that is not known yet."""
        if node.event is not None:
            self._tree.keep(node)
        parent = self._tree.unsure_above(node)
        if parent is not None and node.event is not None:
            parent.waiting = parent.waiting or []
            if len(parent.waiting) < MAX_WAITING:
                parent.waiting.append(node)

    def _tell_waiting(self, node: Node) -> None:
        waiting, node.waiting = node.waiting, None
        if not waiting:
            return
        above = node if node.is_action else self._tree.above(node)
        knows_agent = above is not None and (above.name is not None or above.agent is not None)
        for below in waiting:
            if below.above is not above or (below.agent is None and knows_agent):
                self._move(below, above)
                self._tree.keep(below)
                self._changed[id(below)] = below
        if node.is_action:
            return
        parent = self._tree.unsure_above(node)
        if parent is not None and (node.is_ended or not parent.is_given_up):
            parent.waiting = (parent.waiting or []) + waiting
            del parent.waiting[MAX_WAITING:]

    def _match_double(self, node: Node, span: FinishedSpan, event: OutcomeEvent | None) -> None:
        """Find the span of a client library that recorded the same call, and put it below this one."""
        double = self._doubles.take(node, span, event)
        if double is None or double.open_below or is_within(node, double):
            return
        old = double.parent
        if old is not None and double.passed is not None and old.amounts is not None:
            old.amounts.take(double.passed)
            old.summed = None
            if old.is_ended:
                self._pass_up(old)
                if old.event is not None:
                    self._changed[id(old)] = old
        double.parent = double.next_up = node
        double.passed = None
        self._move(double, node)
        self._tree.keep(double)
        self._pass_up(double)
        self._changed[id(double)] = double
        if node.event is not None:
            self._changed[id(node)] = node
        self._pass_up(node)

    # -- spans that do not end -----------------------------------------------------------------------------

    def _close_run(self, root: Node) -> None:
        for node in self._tree.open_below(root):
            self._give_up(node)

    def _give_up(self, node: Node) -> None:
        """Record an open span as it is; should it end after all, that is a higher revision."""
        live = node.live
        if live is None or node.is_given_up or node.own:
            return
        node.is_given_up = True
        event: OutcomeEvent | None = None
        above = self._tree.above(node)
        self._move(node, above)
        try:
            attributes = plain(live.attributes)
            if self._reader.is_marked(attributes):
                event_id = node.of_event
                span = FinishedSpan(
                    event_id, event_id[:32], event_id[33:], node.start_ns, time.time_ns(), attributes, None, None,
                    name=live.name, scope=node.scope, never_ended=True,
                )  # fmt: skip
                event = self._reader.convert(node, span, above)
        except Exception:  # another thread may be setting attributes
            logger.debug("an open span cannot be read")
        if event is not None:
            metadata = {**event.metadata, "never_ended": True}
            event = node.event = msgspec.structs.replace(event, metadata=metadata)
            self._ready.append(Emitted(event, node.key, node.sampled))
            self._given_up[node.span_id] = node.trace_id, event.revision
            if len(self._given_up) > MAX_NODES:
                del self._given_up[next(iter(self._given_up))]
        node.is_action = event is not None
        self._pass_up(node)
        waiting = node.waiting
        self._tell_waiting(node)
        unsure = self._tree.unsure_above(node)
        if node.is_action or unsure is None or unsure.is_given_up:  # they were not passed on
            node.waiting = waiting  # should it end after all, as something else
        self._wait(node)

    def tend(self) -> None:
        """Give up spans that have been open for too long. Called now and then, from any thread."""
        oldest_s = time.monotonic() - self.rules.open_s
        with self._lock:
            self._owner = threading.get_ident()
            try:
                for node in self._tree.open_nodes():
                    if node.begun_s > oldest_s:
                        break
                    self._give_up(node)
                self._revise()
            finally:
                ready, self._ready, self._owner = self._ready, [], 0
        self._hand_out(ready)

    def finish(self) -> None:
        """Give up everything that is open: the program ends."""
        with self._lock:
            self._owner = threading.get_ident()
            try:
                for node in self._tree.open_nodes():
                    self._give_up(node)
                    self._end_pending(node)
                self._revise()
            finally:
                ready, self._ready, self._owner = self._ready, [], 0
        self._hand_out(ready)

    def _end_pending(self, node: Node) -> None:
        """What was still open when its root ended well, and is so when the program ends, was dropped."""
        event = node.event
        if event is not None and event.status is OutcomeStatus.PENDING:
            node.event = msgspec.structs.replace(
                event, status=OutcomeStatus.CANCELLED, revision=event.revision + 1,
                metadata={**event.metadata, semconv.METADATA_STATUS_REASON: "the span never ended"},
            )  # fmt: skip
            self._ready.append(Emitted(node.event, node.key, node.sampled))

    # -- what is said beside the spans ---------------------------------------------------------------------

    def keep_recent(self) -> None:
        """Remember which spans the newest events are of, so that `add()` finds them."""
        self._recent = self._recent or {}
        self.keeps_recent = True

    def _keep(self, node: Node) -> None:
        if self._recent is not None:
            self._recent[node.span_id] = node
            if len(self._recent) > MOST_RECENT:
                del self._recent[next(iter(self._recent))]

    def add(self, trace_id: int, span_id: int, addition: Addition) -> None:
        """Add to the event of a span: with its end where it is open, as a revision where it has ended."""
        if self._owner == threading.get_ident():
            self._aside.append(lambda: self.add(trace_id, span_id, addition))
            return
        with self._lock:
            self._owner = threading.get_ident()
            try:
                node = self._above(trace_id, span_id) or (self._recent or {}).get(span_id)
                if node is not None and node.span_id == span_id and node.trace_id == trace_id:
                    if node.event is None:
                        node.additions = (*node.additions, addition)
                    else:
                        node.event = msgspec.structs.replace(
                            added(node.event, (addition,)), revision=node.event.revision + 1
                        )
                        self._ready.append(Emitted(node.event, node.key, node.sampled))
            finally:
                ready, self._ready, self._owner = self._ready, [], 0
        self._hand_out(ready)

    def renew_after_fork(self) -> None:
        """In a forked child: locks anew, and nothing is open. What was open is the parent's to end, or to give up."""
        self._lock = threading.RLock()
        self._owner = 0
        self._aside.clear()
        self._tree = Tree(self._reader.look, self._give_up)
        self._doubles = Doubles()
        self._ready, self._changed = [], {}

    # -- revisions -----------------------------------------------------------------------------------------

    def _abandon(self, ended: Node) -> None:
        """A stream was given up whose consumers had ended before it, as generators do that are closed from outside."""
        judged, current = ended.last_below, cast("Node | None", ended)
        while judged is not None and current is not None and current.is_ended and not current.is_told:
            event = current.event
            if event is not None and event.status is OutcomeStatus.SUCCESS:
                current.event = msgspec.structs.replace(
                    event, status=judged.status, severity=judged.severity, error_type=judged.error_type,
                    revision=event.revision + 1, metadata={**event.metadata, semconv.METADATA_STATUS_REASON: ABANDONED},
                )  # fmt: skip
                self._ready.append(Emitted(current.event, current.key, current.sampled))
            current = current.parent

    def _revise(self) -> None:
        changed, self._changed = self._changed, {}
        for node in changed.values():
            event = node.event
            if event is None:
                continue
            revised = self._with_others(node, event)
            if revised is not event:
                node.event = msgspec.structs.replace(revised, revision=event.revision + 1)
                self._ready.append(Emitted(node.event, node.key, node.sampled))
