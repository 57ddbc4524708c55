"""What is written down of a span that has ended and is converted later, so that its event survives the process.

    span ──► values ──► note ──► journal ─ ─ ─ ► the process dies ─ ─ ─ ► LostSpans ──► Reading ──► event

A note holds the values that conventions read, or the `Reading` where that had to be made at once: no content, and nothing that
an event would not tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from otel_feedback.convert.amounts import Amounts, Intervals
from otel_feedback.convert.conventions.builtin import CONVENTIONS
from otel_feedback.convert.node import Node
from otel_feedback.convert.reader import Reader
from otel_feedback.convert.reading import Reading
from otel_feedback.convert.rules import Rules
from otel_feedback.convert.settling import Settling
from otel_feedback.convert.shapes import attributes_of
from otel_feedback.convert.span import FinishedSpan, Outline
from otel_feedback.events.model import OutcomeEvent
from otel_feedback.logger import get_logger

__all__ = ["NOTE", "LostSpans", "NotedSpan", "note_of", "texts_of"]

logger = get_logger(__name__)

NOTE: Final = "~"
"""What the id of a note has before that of the event."""


_NO_TIME: Final = ((0, 0),)
"""That of calls that took none, which is told, too."""


class NotedSpan(msgspec.Struct, array_like=True, gc=False):
    """A span that has ended, with what was known then of the spans above it and of those below it.

    What can be told by what stands before is left out, since a note is written on the thread that ends the span. Ids are of
    events, or, as numbers, of the spans of the same trace that have them.
    """

    start_ns: int
    took_ns: int
    name: str
    scope: str
    status: str
    service_name: str | None
    above_it: int | str | None  # the event that the span right above has, or would have
    scope_above: str | None  # that of this span; None: the same as its own
    parent_event_id: int | str | None  # 0: the same as `above_it`
    root_event_id: int | str  # 0: the same as `parent_event_id`
    depth: int
    is_placed: bool  # what is above it was known when it began
    agent: str | None  # the nearest one above
    call: tuple[str, int] | None  # the attribute that names the call, and what tells its value from others
    reading: Reading | None  # None: it is read later, of these attributes
    names: str
    values: list[Any]
    amounts: Amounts | None = None
    llm_times: tuple[tuple[int, int], ...] = ()
    child_errors: int = 0
    foreign_below: bool = False  # stands last: a number might be a zero, with which no frame may end

    def span(self, event_id: str) -> FinishedSpan:
        """Return what was read of the span that has this event."""
        call = None if self.call is None else (self.call[0], f"{self.call[1]:x}")
        attributes = attributes_of(self.names, self.values, call)
        return FinishedSpan(
            event_id, event_id[:32], event_id[33:], self.start_ns, self.start_ns + self.took_ns, attributes, None,
            self.service_name, name=self.name, scope=self.scope, status=self.status,
        )  # fmt: skip


def note_of(
    node: Node,
    outline: Outline,
    reading: Reading | None,
    call: tuple[str, str] | None,
    names: str,
    values: tuple[Any, ...],
) -> tuple[Any, ...]:
    """Return what is to be written down: the fields of a `NotedSpan`, of which nobody here makes one."""
    parent, above, root, run, intervals = node.parent, node.above, node.root, node.run, node.intervals
    start_ns, scope = outline.start_ns, outline.scope
    above_it = scope_above = parent_id = None
    if parent is not None:
        above_it = parent.span_id if parent.run is run else parent.of_event
        if parent.scope != scope:
            scope_above = parent.scope
    root_id: int | str = 0
    if above is not None:
        parent_id = 0 if above is parent else above.span_id if above.run is run else above.of_event
        if root is not above or above.said_place[1] is not None:
            root_id = node.root_id
    return (
        start_ns, outline.end_ns - start_ns, outline.name, scope, outline.status, outline.service_name, above_it, scope_above,
        parent_id, root_id,
        node.depth, node.is_placed, node.agent,
        # ids are new each time, so looking through them takes long; whoever reads it only compares
        None if call is None else (call[0], str.__hash__(call[1])),
        reading, names, values, node.amounts, () if intervals is None else tuple(intervals.all()) or _NO_TIME, node.child_errors,
        node.foreign_below,
    )  # fmt: skip


def _whole(told: int | str, trace_id: str) -> str:
    return told if isinstance(told, str) else f"{trace_id}-{told:016x}"


def texts_of(said: Reading) -> list[str | None]:
    """Return all texts in what was read but the metadata's, which somebody else has written."""
    return [
        said.agent_name, said.tool_name, said.model, said.provider, said.run_id, said.workflow_id, said.session_id,
        said.user_id, said.tenant_id, said.correlation_id, said.error_type, *said.finish_reasons, *said.tags,
    ]  # fmt: skip


class LostSpans(Settling):
    """The spans of a process that died before it had converted them. Not thread-safe.

    Args:
        notes: What each left, by the id of its note, in the order in which they ended.
    """

    def __init__(self, notes: Mapping[str, Any], rules: Rules) -> None:
        super().__init__(Reader(CONVENTIONS, rules))
        self.notes = notes
        self._of_note = dict(self._read(notes))

    def event(self, note_id: str) -> OutcomeEvent | None:
        """Return the event of one of them; None where it is no action."""
        node = self._of_note.get(note_id)
        return None if node is None else node.event

    def _read(self, notes: Mapping[str, Any]) -> Iterator[tuple[str, Node]]:
        for note_id, left in notes.items():
            try:
                noted, event_id = msgspec.convert(left, NotedSpan), note_id[len(NOTE) :]
                node = self._begun(noted, event_id)
                self._end(node, noted.span(event_id), noted.reading)
            except Exception as exc:  # one that makes no event must not hold up the others
                logger.warning("a span of a dead process makes no event: %s", type(exc).__name__)
                continue
            self._ready.clear()
            yield note_id, node

    def _begun(self, noted: NotedSpan, event_id: str) -> Node:
        """Return the node of a span, as it was when it ended."""
        node, trace_id, parent = self._open(event_id), event_id[:32], None
        node.scope, node.start_ns, node.is_placed = noted.scope, noted.start_ns, noted.is_placed
        if noted.above_it is not None:  # it is open, for all that is known yet
            parent = node.parent = node.next_up = self._open(_whole(noted.above_it, trace_id))
            parent.open_below += 1
            parent.scope = noted.scope if noted.scope_above is None else noted.scope_above
        above = None
        if noted.parent_event_id is not None:
            above = parent if noted.parent_event_id == 0 else self._open(_whole(noted.parent_event_id, trace_id))
        if above is not None:
            root_id = _whole(noted.root_event_id, trace_id) if noted.root_event_id else above.of_event
            above.said_place = None, root_id, noted.depth - 1
            above.depth, above.agent = noted.depth - 1, noted.agent
        node.place(above)
        if noted.amounts is not None:
            node.amounts = node.amounts or Amounts()
            node.amounts.add(noted.amounts)
        for start_ns, end_ns in noted.llm_times:
            node.intervals = node.intervals or Intervals()
            node.intervals.add(start_ns, end_ns)
        node.child_errors += noted.child_errors
        node.foreign_below = node.foreign_below or noted.foreign_below
        return node

    def _open(self, event_id: str) -> Node:
        trace_id, span_id = int(event_id[:32], 16), int(event_id[33:], 16)
        node = self._tree.find(trace_id, span_id)
        if node is None:
            node = self._tree.begin(trace_id, span_id, None, "", 0, None)
            node.is_placed = False  # for all that is known yet
        return node
