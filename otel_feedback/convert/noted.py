"""What is written down of a span that has ended and is converted later, so that its event survives the process.

    span ──► Reading ──► note ──► journal ─ ─ ─ ► the process dies ─ ─ ─ ► LostSpans ──► event

A note holds what a convention read, never the attributes: no content, and nothing that an event would not tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from otel_feedback.convert.amounts import Amounts, Intervals
from otel_feedback.convert.reader import Reader
from otel_feedback.convert.reading import Reading
from otel_feedback.convert.rules import Rules
from otel_feedback.convert.settling import Settling
from otel_feedback.convert.span import FinishedSpan
from otel_feedback.convert.tree import Node
from otel_feedback.events.model import OutcomeEvent
from otel_feedback.logger import get_logger

__all__ = ["LostSpans", "NotedSpan", "note_of", "texts_of"]

logger = get_logger(__name__)


class NotedSpan(msgspec.Struct, array_like=True, gc=False):
    """A span that has ended, with what was known then of the spans above it and of those below it."""

    event_id: str
    above_it: str | None  # the event that the span right above has, or would have
    scope_above: str  # that of this span
    parent_event_id: str | None
    root_event_id: str
    depth: int
    is_placed: bool  # what is above it was known when it began
    agent: str | None  # the nearest one above
    name: str
    scope: str
    start_ns: int
    end_ns: int
    status: str
    service_name: str | None
    call: tuple[str, str] | None  # the attribute that names the call, and what tells its value from others
    reading: Reading
    amounts: Amounts | None = None
    llm_times: tuple[tuple[int, int], ...] = ()
    child_errors: int = 0

    def span(self) -> FinishedSpan:
        """Return what was read of the span."""
        return FinishedSpan(
            self.event_id, self.event_id[:32], self.event_id[33:], self.start_ns, self.end_ns,
            {} if self.call is None else dict((self.call,)), None, self.service_name,
            name=self.name, scope=self.scope, status=self.status,
        )  # fmt: skip


def note_of(node: Node, span: FinishedSpan, reading: Reading, call: tuple[str, str] | None) -> NotedSpan:
    """Return what is to be written down."""
    if call is not None:  # ids are new each time, so looking through them takes long; whoever reads it only compares
        call = call[0], f"{str.__hash__(call[1]):x}"
    parent, above = node.parent, node.above
    above_it = None if parent is None else parent.of_event
    return NotedSpan(
        span.event_id, above_it, "" if parent is None else parent.scope,
        above_it if above is parent else None if above is None else above.of_event, node.root_id, node.depth, node.is_placed, node.agent, span.name, span.scope, span.start_ns, span.end_ns, span.status,
        span.service_name, call, reading, node.amounts,
        () if node.intervals is None else tuple(node.intervals.all()), node.child_errors,
    )  # fmt: skip


def texts_of(noted: NotedSpan) -> tuple[str | None, ...]:
    """Return all texts in it but the metadata's, which somebody else has written."""
    said = noted.reading
    return (
        noted.name, noted.scope, noted.scope_above, noted.agent, said.agent_name, said.tool_name, said.model, said.provider, said.run_id, said.workflow_id, said.session_id, said.user_id,
        said.tenant_id, said.correlation_id, said.error_type, *said.finish_reasons, *said.tags,
    )  # fmt: skip


class LostSpans(Settling):
    """The spans of a process that died before it had converted them. Not thread-safe.

    Args:
        notes: What each left, by the id of its note, in the order in which they ended.
    """

    def __init__(self, notes: Mapping[str, Any], rules: Rules) -> None:
        super().__init__(Reader((), rules))
        self.notes = notes
        self._of_note = dict(self._read(notes))

    def event(self, note_id: str) -> OutcomeEvent | None:
        """Return the event of one of them; None where it is no action."""
        node = self._of_note.get(note_id)
        return None if node is None else node.event

    def _read(self, notes: Mapping[str, Any]) -> Iterator[tuple[str, Node]]:
        for note_id, left in notes.items():
            try:
                noted = msgspec.convert(left, NotedSpan)
                node = self._begun(noted)
                self._end(node, noted.span(), noted.reading)
            except Exception as exc:  # one that makes no event must not hold up the others
                logger.warning("a span of a dead process makes no event: %s", type(exc).__name__)
                continue
            self._ready.clear()
            yield note_id, node

    def _begun(self, noted: NotedSpan) -> Node:
        """Return the node of a span, as it was when it ended."""
        node = self._open(noted.event_id)
        node.scope, node.start_ns, node.is_placed = noted.scope, noted.start_ns, noted.is_placed
        if noted.above_it is not None:  # it is open, for all that is known yet
            parent = node.parent = node.next_up = self._open(noted.above_it)
            parent.scope, parent.open_below = noted.scope_above, parent.open_below + 1
        above = None
        if noted.parent_event_id is not None:
            above = self._open(noted.parent_event_id)
            above.said_place = None, noted.root_event_id, noted.depth - 1
            above.depth, above.agent = noted.depth - 1, noted.agent
        node.place(above)
        if noted.amounts is not None:
            node.amounts = node.amounts or Amounts()
            node.amounts.add(noted.amounts)
        for start_ns, end_ns in noted.llm_times:
            node.intervals = node.intervals or Intervals()
            node.intervals.add(start_ns, end_ns)
        node.child_errors += noted.child_errors
        return node

    def _open(self, event_id: str) -> Node:
        trace_id, span_id = int(event_id[:32], 16), int(event_id[33:], 16)
        node = self._tree.find(trace_id, span_id)
        if node is None:
            node = self._tree.begin(trace_id, span_id, None, "", 0, None)
            node.is_placed = False  # for all that is known yet
        return node
