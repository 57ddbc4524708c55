"""What a span says, put together with what the spans around it say: its event, and later revisions of others.

    its own event ──► place, sums, completeness ──► ready ──► and with each span that ends later: a higher revision

The rooms of conversion meet here. Not thread-safe: `Outcomes` calls it with its lock held, and emits what is ready.
"""

from __future__ import annotations

import time
from typing import cast

import msgspec

from otel_feedback import semconv
from otel_feedback.convert.additions import added
from otel_feedback.convert.doubles import Doubles
from otel_feedback.convert.joining import Joining
from otel_feedback.convert.node import Node
from otel_feedback.convert.reader import Reader, pass_on
from otel_feedback.convert.reading import Reading
from otel_feedback.convert.rules import Emitted
from otel_feedback.convert.span import FinishedSpan
from otel_feedback.convert.status import ABANDONED
from otel_feedback.convert.tree import MAX_NODES, MAX_WAITING, Tree
from otel_feedback.convert.values import amount, plain
from otel_feedback.events.model import OutcomeEvent, OutcomeStatus
from otel_feedback.logger import get_logger

__all__ = ["Settling"]

logger = get_logger(__name__)

MOST_RECENT = 1_000
"""Spans that have ended and that are found by what is said of them afterwards."""


class Settling(Joining):
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
        self._doubles = self._reader.doubles = Doubles()
        self._ready = []
        self._changed = {}
        self._recent = None if self._recent is None else {}

    def _end(self, node: Node, span: FinishedSpan | None, reading: Reading | None = None) -> None:
        above = node.above
        if not self._tree.is_settled(node):
            above = self._tree.above(node)
            self._move(node, above)
        event, failed = None, None
        try:
            event = None if span is None else self._reader.convert(node, span, above, reading)
        except Exception as exc:  # what is below it counts above it all the same
            span, failed = None, exc
        if span is None:
            pass_on(node)
        self._settle(node, event, span)
        if failed is not None:
            raise failed

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
        if not node.is_ended:
            self._note_changed(self._tree.end(node))
        if node.is_broken_off and node.parent is not None:
            self._abandon(node.parent)
        if event is not None:
            if node.own and (changes := self._news(node, event)):
                event = msgspec.structs.replace(event, **changes)
            node.event = event
            if node.additions:
                event = node.event = added(event, node.additions)
            self._ready.append(Emitted(event, node.key, node.sampled))
            if self._recent is not None:
                self._keep(node)
        self._pass_up(node)
        if node.call is not None:
            self._put_together(node.call)
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

    # -- who is above whom --------------------------------------------------------------------------------

    def _wait(self, node: Node) -> None:
        """Let the span above tell this one what it turned out to be, where that is not known yet."""
        if node.event is not None:
            self._tree.keep(node)
        parent = self._tree.unsure_above(node)
        if parent is None and node.above is not None and node.above.is_action is None and node.above.guess is not None:
            parent = node.above  # a tool that another span may turn out to have recorded, too
        if parent is not None and node.event is not None:
            parent.waiting = parent.waiting or []
            if len(parent.waiting) < MAX_WAITING:
                parent.waiting.append(node)

    def _tell_waiting(self, node: Node) -> None:
        waiting, node.waiting = node.waiting, None
        if not waiting:
            return
        for below in waiting:
            above = self._tree.above(below)  # one nearer to it may have turned out to be an action meanwhile
            knows_agent = above is not None and (above.name is not None or above.agent is not None)
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

    def _answer(self, node: Node, span: FinishedSpan) -> OutcomeEvent | None:
        """Take a log of a call that has ended already, such as of what its stream was in the end; None: it is another."""
        caller_id = node.caller_id if node.parent is None else node.parent.span_id
        took_ns = int((amount(span.attributes.get("duration")) or 0.0) * 1e9)
        model = span.attributes.get("gen_ai.request.model")
        call = self._doubles.find_answered(caller_id, span.scope, model, span.end_ns - took_ns)
        if call is None:
            return None
        self._tree.end(node)
        node.is_action, told = False, call.node
        if call.usages or told.event is None:
            return told.event
        span.event_id, span.start_ns = told.of_event, told.start_ns
        span.trace_id, span.span_id = span.event_id[:32], span.event_id[33:]
        if "gen_ai.usage.output_tokens" not in span.attributes:
            span.attributes = {**span.attributes, "gen_ai.request.stream": True}
        event = self._reader.convert(told, span, told.above)
        answer, told.call = told.call, None
        if answer is not None:
            call.usages, call.best, told.better = answer.usages, told, None
        event = self._settle(told, event, span)
        for other in call.spans:
            self._share_end(other, told)
        return event

    # -- spans that do not end ----------------------------------------------------------------------------

    def _close_run(self, root: Node) -> None:
        for node in reversed(self._tree.open_below(root)):
            self._give_up(node)

    def _give_up(self, node: Node) -> None:
        """Record an open span as it is; should it end after all, that is a higher revision.

        Of several what is below goes first: how that ended says how what is above it did.
        """
        if node.is_ended:
            self._let_go(node)
            return
        live = node.live
        if live is None or node.is_given_up or node.own or node.is_put_off:  # or it has ended
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
        if node.call is not None:
            self._put_together(node.call)
        waiting = node.waiting
        self._tell_waiting(node)
        node.waiting = waiting  # should it end after all, as something else
        self._wait(node)

    def _let_go(self, node: Node) -> None:
        """Tell the last of a span that has ended, and hold nothing that is above it: what is below it may go on for ever."""
        if node.event is not None and (changes := self._news(node, node.event)):
            self._correct(node, **changes)
        node.event = node.parent = node.next_up = node.above = None
        if self._recent is not None:
            self._recent.pop(node.span_id, None)

    def _end_pending(self, node: Node) -> None:
        """What was still open when its root ended well, and is so when the program ends, was dropped."""
        event = node.event
        if event is not None and event.status is OutcomeStatus.PENDING:
            metadata = {**event.metadata, semconv.METADATA_STATUS_REASON: "the span never ended"}
            self._correct(node, status=OutcomeStatus.CANCELLED, metadata=metadata)

    def _abandon(self, ended: Node) -> None:
        """A stream was given up whose consumers had ended before it, as generators do that are closed from outside."""
        judged, current = ended.last_below, cast("Node | None", ended)
        while judged is not None and current is not None and current.is_ended and not current.is_told:
            event = current.event
            if event is not None and event.status is OutcomeStatus.SUCCESS:
                self._correct(
                    current, status=judged.status, severity=judged.severity, error_type=judged.error_type,
                    metadata={**event.metadata, semconv.METADATA_STATUS_REASON: ABANDONED},
                )  # fmt: skip
            current = current.parent
