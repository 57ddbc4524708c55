"""Spans that end: converted at once, or written down and converted later, by another thread or by who reads.

    span ends ──► what it says ──► note in the journal, queue ─ ─ ─ converted, emitted, note forgotten
                       └──► at once, after what is in the queue: where anything about it is not as usual

What comes of the queue is `catching_up`'s.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from otel_feedback.convert.amounts import FEW_INTERVALS
from otel_feedback.convert.catching_up import AT_ONCE, CatchingUp, PutOff
from otel_feedback.convert.doubles import id_of
from otel_feedback.convert.node import Node
from otel_feedback.convert.noted import NOTE, note_of, texts_of
from otel_feedback.convert.reading import Reading
from otel_feedback.convert.shapes import LOGFIRE_TYPE, Left, Shape
from otel_feedback.convert.span import Outline
from otel_feedback.events.started import StartedAction

__all__ = ["PuttingOff"]

MOST_PUT_OFF = 2_000
"""Spans that wait. Where there are more, whoever ends one makes room: no thread makes so many in the 100 ms within which they
are converted, unless it does little else."""

FULL_S = 0.005
"""How long it waits then for another thread that converts."""

_LOGS = frozenset({"log", "pending_span"})
_CALLS = frozenset({"llm", "embedding", "tool"})
_NOTHING: Mapping[str, Any] = {}


class PuttingOff(CatchingUp):
    """Takes spans that end. Thread-safe."""

    def put_off(
        self,
        trace_id: int,
        span_id: int,
        sampled: bool,
        shape: Shape,
        attributes: dict[str, Any],
        outline: Outline,
    ) -> bool:
        """Write a span down that ended well, with no exception passing through and without events, to convert it later.

        Args:
            shape: What the names of its attributes tell.

        Returns:
            False where it is to be converted at once.
        """
        notes, thread = self._notes, threading.get_ident()
        if notes is None or self._owner == thread or (shape.log_type and attributes[LOGFIRE_TYPE] in _LOGS):
            return False
        name, scope = outline.name, outline.scope
        reading, left = None, shape.left(attributes, name, scope)
        if left is None:
            reading = self._read_first(shape, attributes, outline)
            if reading is None:
                return False
            left = Left(reading.kind, (), texts_of(reading), reading.metadata)
        kind, values, texts = left.kind, left.values, left.texts
        call = None
        if kind in _CALLS:
            if kind == "tool" and (shape.is_mcp or "mcp" in scope):
                return False
            if shape.id_name is not None:
                call = id_of(attributes)
        names = shape.names if reading is None else ""
        if (many := len(self._put_off)) >= MOST_PUT_OFF:  # a few, so that nobody waits for long
            self.catch_up(FULL_S, or_leave_it=many < 2 * MOST_PUT_OFF, most=AT_ONCE)
        waiting: PutOff | None = None
        is_refused = False
        try:
            with self._lock:
                self._owner = thread
                try:
                    node = self._tree.nodes.get(span_id)
                    if node is None or node.span_id != span_id or node.trace_id != trace_id:
                        return False
                    if node.is_put_off:  # when two processors are on one provider, the other one has it
                        return True
                    parent = node.parent
                    if not self._is_usual(node, parent, kind, name):
                        return False
                    event_id, key = node.of_event, node.key
                    note_id = NOTE + event_id
                    noted = note_of(node, outline, reading, call, names, values)
                    found = PutOff(node, outline, reading, names, values, call, sampled, note_id)
                    # no call between these: a handler of a signal that raises finds all of them, or none
                    node.is_put_off = True
                    if parent is not None:
                        parent.put_off_below += 1
                    waiting = found
                    self._on_the_way.add(event_id)
                finally:
                    self._owner = 0
            # with no lock held: who is at the journal may be interrupted by a span that ends, which waits for ours
            texts += name, scope, None if parent is None else parent.scope, node.agent
            started = StartedAction(note_id, 0, "" if key == node.run.trace_id else key, _NOTHING, sampled, noted)
            is_refused = not notes.write(started, texts, left.metadata)
        finally:
            if waiting is not None:  # also where a handler of a signal has raised; calls nothing before it is waiting
                try:
                    if is_refused:
                        with self._lock:
                            self._end_putting_off(waiting.node)
                    else:
                        waiting.node.live = None  # the span, with all that was said, may go
                        self._put_off.append(waiting)
                finally:
                    self._on_the_way.discard(waiting.node.event_id)
        if is_refused:
            return False
        notes.queue()
        if self._aside:
            self._see_to_aside()
        return True

    def _read_first(self, shape: Shape, attributes: dict[str, Any], outline: Outline) -> Reading | None:
        """Return what a span says such as none was before; None where it is to be converted at once."""
        if shape.is_own:
            return None
        try:
            reading = self._reader.read(outline.span(attributes))
            if reading is not None:
                shape.remember(attributes, outline.name, outline.scope, reading.kind)
        except Exception:  # it is told, and the span ends, where it is converted at once
            return None
        return reading

    def _is_usual(self, node: Node, parent: Node | None, kind: str | None, name: str) -> bool:
        """Tell whether a note says all that the event needs, and nothing that has been emitted is to be revised by it."""
        return (
            node.open_below == node.put_off_below
            and not node.is_in_action  # whose event is made when it ends
            and (node.identity is None or kind is None)
            and not (node.event or node.is_given_up or node.additions)
            and not (node.waiting or node.below or node.last_agent or node.agents_below)
            and (parent is None or not (parent.is_ended or parent.is_given_up))
            and (node.intervals is None or node.intervals.count <= FEW_INTERVALS)
            and not (kind == "llm" and node.amounts is not None)
            and not (
                kind in _CALLS
                and (latest := self._doubles.latest)
                and latest[-1].end_ns >= node.start_ns  # seldom so, and asked for here in a third of the time
                and self._doubles.may_be_of(kind, node.start_ns, (node.scope, name))
            )
        )

    def _waits_for(self, span_id: int) -> bool:
        """Tell whether this span, or one right below it, is put off."""
        node = self._tree.nodes.get(span_id)
        return node is not None and (node.is_put_off or node.put_off_below > 0)
