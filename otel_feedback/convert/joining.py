"""Revisions of events, and spans that recorded the same call put together: a call counts once, by what tells most of it.

    what is new of a span ──► changed ──► its event again, with a higher revision
    a call that ends ──► the call that it is of ──► the inner span below the outer, the lesser report silent

Not thread-safe: `Outcomes` calls it with its lock held, and emits what is ready.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeGuard

import msgspec

from otel_feedback import semconv
from otel_feedback.convert.doubles import Call, Doubles, better, is_inner
from otel_feedback.convert.foreign import news
from otel_feedback.convert.node import Node, is_within
from otel_feedback.convert.reader import FAILED
from otel_feedback.convert.rollup import AMOUNTS, pass_up, told_amounts
from otel_feedback.convert.rules import Emitted
from otel_feedback.convert.status import ABANDONED, NO_ANSWER, Judgement
from otel_feedback.convert.tree import Tree
from otel_feedback.events.model import OutcomeEvent, OutcomeStatus

__all__ = ["Joining"]


class Joining:
    """The spans that may still change, and the events that are ready to go out."""

    _tree: Tree
    _doubles: Doubles
    _ready: list[Emitted]
    _changed: dict[int, Node]  # nodes to be revised, by id()

    # -- what the others add ------------------------------------------------------------------------------

    def _news(self, node: Node, event: OutcomeEvent) -> dict[str, Any]:
        """Return the fields that are others by what the spans above and below say."""
        if not node.own:
            return news(node, event)
        changes: dict[str, Any] = {}
        above = node.above
        # without one it may have a parent that is no span of ours
        place = node.said_place if above is None else (above.of_event, node.root_id, node.depth)
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
        return changes

    def _pass_up(self, node: Node) -> None:
        self._note_changed(pass_up(node))

    def _move(self, node: Node, above: Node | None) -> None:
        """Say which action is above it, also to those below."""
        self._note_changed(self._tree.move(node, above))

    def _note_changed(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            self._changed[id(node)] = node

    def _revise(self) -> None:
        changed, self._changed = self._changed, {}
        for node in changed.values():
            if node.event is not None and (changes := self._news(node, node.event)):
                self._correct(node, **changes)

    def _correct(self, node: Node, **changes: Any) -> None:
        """Send the event of a span again, with these changes."""
        event = node.event
        if event is not None:
            node.event = msgspec.structs.replace(event, revision=event.revision + 1, **changes)
            self._ready.append(Emitted(node.event, node.key, node.sampled))

    # -- one call, and all who recorded it ------------------------------------------------------------------

    def _put_together(self, call: Call) -> None:
        """Find the spans that recorded the same call, put the inner below the outer, and count what tells most."""
        node, call.node.call = call.node, None
        if call.kind == "tool":
            other = call.of
        elif node.amounts is not None and node.amounts.calls > 1:  # it holds several together
            return
        else:
            other = self._doubles.find(call)
        if other is None:
            if call.around is not None and call.around.best is call.around.node:
                self._set_apart(call.around)
            self._doubles.remember(call)
            return
        if node in other.spans:
            if call.judged is not None:
                self._take_worse(other.best, call.judged)
            return
        inner, outer = (node, other.node) if is_inner(call, other) else (other.node, node)
        self._put_below(inner, outer)
        if node.is_call:
            one, two = (other.best, node) if other.best is inner or node is outer else (node, other.best)
            other.best = better(one, two)
            worse = one if other.best is two else two
            worse.better, worse.summed = other.best, None
            self._changed[id(worse)] = worse
            self._pass_up(worse)
            self._share_end(inner, outer)
        elif call.judged is not None:
            self._take_worse(other.best, call.judged)
        self._doubles.join(call, other)

    def _set_apart(self, call: Call) -> None:
        """Let the spans below one count that was taken for the same call, and holds several together."""
        holder = call.node
        for node in call.spans:
            if node.better is holder:
                call.node = call.best = holder.better = node
                node.better = node.summed = holder.summed = None
                self._changed[id(node)] = node
                self._pass_up(node)
                break

    def _put_below(self, inner: Node, outer: Node) -> None:
        if is_within(outer, inner) or is_within(inner, outer):
            return
        old = inner.parent
        if old is not None and inner.passed is not None and old.amounts is not None:
            old.amounts.take(inner.passed)
            old.summed = None
            if old.is_ended:
                self._pass_up(old)
                if old.event is not None:
                    self._changed[id(old)] = old
        self._note_changed(self._tree.adopt(inner, outer))
        inner.passed, inner.is_placed = None, outer.is_placed
        before = inner.above
        self._move(inner, outer if outer.is_action else self._tree.above(outer))
        if inner.above is not before and inner.above is not None and inner.event is not None:
            inner.above.child_errors += inner.event.status in FAILED
        self._tree.keep(inner)
        self._pass_up(inner)
        self._changed[id(inner)] = inner
        if outer.event is not None:
            self._changed[id(outer)] = outer
        self._pass_up(outer)

    def _take_worse(self, node: Node, judged: Judgement) -> None:
        """Let the event of a tool end as the worst of the spans that recorded it, and that ended."""
        event = node.event
        if event is None:
            return
        if event.status is OutcomeStatus.SUCCESS is not judged.status or (
            "never_ended" in event.metadata and event.status is not judged.status
        ):
            self._correct(
                node, status=judged.status, severity=judged.severity, error_type=judged.error_type,
                error_message=judged.message, stack_trace=judged.stack_trace,
            )  # fmt: skip
            above = self._tree.above(node)
            if above is not None and judged.status in FAILED:
                above.child_errors += 1

    def _share_end(self, inner: Node, outer: Node) -> None:
        """Let a span that saw no answer end as the other one did."""
        for one, other in ((inner, outer), (outer, inner)):
            event, told = one.event, other.event
            if (
                _saw_no_answer(event)
                and told is not None
                and not _saw_no_answer(told)
                and told.status is not OutcomeStatus.PENDING
            ):
                metadata = {
                    name: value for name, value in event.metadata.items() if name != semconv.METADATA_STATUS_REASON
                }
                self._correct(
                    one, status=told.status, severity=told.severity, error_type=told.error_type,
                    error_message=told.error_message, metadata=metadata,
                )  # fmt: skip


def _saw_no_answer(event: OutcomeEvent | None) -> TypeGuard[OutcomeEvent]:
    return event is not None and event.metadata.get(semconv.METADATA_STATUS_REASON) in (ABANDONED, NO_ANSWER)
