"""What a span says, put together with what the spans around it say: its event, and later revisions of others.

    its own event ──► place, sums, completeness ──► ready ──► and with each span that ends later: a higher revision

The rooms of conversion meet here. Not thread-safe: `Outcomes` calls it with its lock held, and emits what is ready.
"""

from __future__ import annotations

import time
from typing import Any, cast

import msgspec

from otel_feedback import semconv
from otel_feedback.convert.additions import added
from otel_feedback.convert.doubles import Doubles
from otel_feedback.convert.foreign import with_news
from otel_feedback.convert.reader import Reader
from otel_feedback.convert.rollup import AMOUNTS, pass_up, told_amounts
from otel_feedback.convert.rules import Emitted
from otel_feedback.convert.span import FinishedSpan
from otel_feedback.convert.status import ABANDONED
from otel_feedback.convert.tree import MAX_NODES, MAX_WAITING, Node, Tree, is_within
from otel_feedback.convert.values import plain
from otel_feedback.events.model import OutcomeEvent, OutcomeStatus
from otel_feedback.logger import get_logger

__all__ = ["Settling"]

logger = get_logger(__name__)

MOST_RECENT = 1_000
"""Spans that have ended and that are found by what is said of them afterwards."""


class Settling:
    """The spans that are open or may still change, and the events that are ready to go out."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.keeps_recent = False
        """Whether spans that have ended are to be found by what is said of them afterwards."""
        self._recent: dict[int, Node] | None = None  # those with the newest events
        self._given_up: dict[int, tuple[int, int]] = {}  # span to trace and revision
        self._forget_all()

    def _forget_all(self) -> None:
        self._tree = Tree(self._reader.look, self._give_up)
        self._doubles = Doubles()
        self._ready: list[Emitted] = []
        self._changed: dict[int, Node] = {}  # nodes to be revised, by id()

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

    def _keep(self, node: Node) -> None:
        if self._recent is not None:
            self._recent[node.span_id] = node
            if len(self._recent) > MOST_RECENT:
                del self._recent[next(iter(self._recent))]

    # -- what the others add ------------------------------------------------------------------------------

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

    # -- who is above whom --------------------------------------------------------------------------------

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

    # -- spans that do not end ----------------------------------------------------------------------------

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

    def _end_pending(self, node: Node) -> None:
        """What was still open when its root ended well, and is so when the program ends, was dropped."""
        event = node.event
        if event is not None and event.status is OutcomeStatus.PENDING:
            node.event = msgspec.structs.replace(
                event, status=OutcomeStatus.CANCELLED, revision=event.revision + 1,
                metadata={**event.metadata, semconv.METADATA_STATUS_REASON: "the span never ended"},
            )  # fmt: skip
            self._ready.append(Emitted(node.event, node.key, node.sampled))

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
