"""Spans that end: converted at once, or written down and converted later, by another thread or by who reads.

    span ends ──► what it says ──► note in the journal, queue ─ ─ ─ converted, emitted, note forgotten
                       └──► at once, after what is in the queue: where anything about it is not as usual

One lock. A span that ends in a signal handler or finaliser, in the middle of this very code on the same thread, is put
aside and converted when the interrupted one is done. Spans are converted in the order in which they ended.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from otel_feedback.convert.amounts import FEW_INTERVALS
from otel_feedback.convert.doubles import id_of
from otel_feedback.convert.noted import NOTE, note_of, texts_of
from otel_feedback.convert.reader import Reader
from otel_feedback.convert.reading import Reading
from otel_feedback.convert.rules import Emit, Emitted
from otel_feedback.convert.settling import Settling
from otel_feedback.convert.shapes import LOGFIRE_TYPE, Left, Shape, attributes_of
from otel_feedback.convert.span import FinishedSpan
from otel_feedback.convert.tree import MAX_NODES, Node
from otel_feedback.events.model import OutcomeEvent
from otel_feedback.events.started import StartedAction
from otel_feedback.logger import get_logger

__all__ = ["LONG_S", "Notes", "PuttingOff"]

logger = get_logger(__name__)

MOST_ENDED = 128
"""Spans that are known to have ended, so that one that two processors see is recorded once."""

MOST_PUT_OFF = 1_000
AT_ONCE = 8
"""Spans that are converted in one holding of the lock, for which an agent may have to wait."""

PATIENCE_S = 0.5
"""How long an agent waits for another thread that converts: that may log, and wait for a handler that waits for us, or for
the journal, in which this very thread may have been interrupted. Then the order may be another one, and no more."""

LONG_S = 5.0
"""The same of who reads, or ends the program."""

_LOGS = frozenset({"log", "pending_span"})
_CALLS = frozenset({"llm", "embedding", "tool"})
_NOTHING: Mapping[str, Any] = {}


class Notes(Protocol):
    """Where what a span left is written down until it is converted."""

    def write(self, left: StartedAction, texts: Collection[str | None], metadata: Mapping[str, Any]) -> bool:
        """Write it down; False where that cannot be, or may not be since it holds a secret. Never raises."""
        ...

    def forget(self, ids: Sequence[str]) -> None:
        """Forget notes whose spans have been converted."""
        ...

    def failed(self, exc: Exception) -> None:
        """Count a span that cannot be converted."""
        ...


class _PutOff(msgspec.Struct, gc=False):
    node: Node
    span: FinishedSpan  # without attributes
    reading: Reading | None  # None: it is read later
    names: str
    values: tuple[Any, ...]
    call: tuple[str, str] | None
    sampled: bool
    note_id: str


class PuttingOff(Settling):
    """Takes spans that end. Thread-safe.

    Args:
        emit: Takes the events.
        notes: None: every span is converted at once.
    """

    def __init__(self, reader: Reader, emit: Emit, notes: Notes | None) -> None:
        super().__init__(reader)
        self._emit = emit
        self._notes = notes
        self._aside: deque[Callable[[], object]] = deque()
        self._is_seeing_to_aside = False
        self._ended: dict[int, int] = {}  # the latest spans that ended; guarded by self._lock
        self._put_off: deque[_PutOff] = deque()
        self._on_the_way: set[str] = set()  # events of spans that are about to be put off
        self._converted: list[str] = []  # ids of notes that may be forgotten when nothing waits any more
        self.shape_of = reader.shape_of
        self._renew_locks()

    def _renew_locks(self) -> None:
        self._lock = threading.RLock()
        self._owner = 0  # the thread that holds the lock, or 0
        self._converting = threading.RLock()  # held while what was put off is converted and emitted, in its order
        self._is_converting = False

    @property
    def is_behind(self) -> bool:
        """Whether spans have ended whose events are not emitted yet, or whose notes are there."""
        return bool(self._put_off or self._is_converting or self._converted)

    # -- on the thread that ends a span --------------------------------------------------------------------

    def put_off(self, trace_id: int, span_id: int, sampled: bool, shape: Shape, span: FinishedSpan) -> bool:
        """Write a span down that has ended, to convert it later; False where it is to be converted at once.

        Args:
            shape: What the names of its attributes tell.
            span: What is to be read of it, which ended well, with no exception passing through and without events.
        """
        notes, attributes, thread = self._notes, span.attributes, threading.get_ident()
        if notes is None or (shape.log_type and attributes[LOGFIRE_TYPE] in _LOGS) or self._owner == thread:
            return False
        kind, reading, left = self._taken(shape, span)
        if left is None:
            return False
        call = None
        if kind in _CALLS:
            if kind == "tool" and (shape.is_mcp or "mcp" in span.scope):
                return False
            if shape.id_name is not None:
                call = id_of(attributes)
        names = shape.names if reading is None else ""
        with self._lock:
            self._owner = thread
            try:
                node = self._tree.nodes.get(span_id)
                if node is None or node.span_id != span_id or node.trace_id != trace_id:
                    return False
                if node.is_put_off:  # when two processors are on one provider, the other one has it
                    return True
                if not self._is_usual(node, kind, span.name):
                    return False
                event_id, key = node.of_event, node.key
                noted = note_of(node, span, reading, call, names, left.values)
                self._mark(node, True)
                self._on_the_way.add(event_id)
            finally:
                self._owner = 0
        # with no lock held: who is at the journal may be interrupted by a span that ends, which waits for ours
        note_id = NOTE + event_id
        is_written = False
        try:
            parent, texts = node.parent, left.texts
            texts += span.name, span.scope, None if parent is None else parent.scope, node.agent
            started = StartedAction(note_id, 0, "" if key == node.run.trace_id else key, _NOTHING, sampled, noted)
            is_written = notes.write(started, texts, left.metadata)
            if is_written:
                node.live = None  # the span, with all that was said, may go
                span.attributes = _NOTHING
                self._put_off.append(_PutOff(node, span, reading, names, left.values, call, sampled, note_id))
        finally:  # a handler of a signal may raise
            if not is_written:
                with self._lock:
                    self._mark(node, False)
            self._on_the_way.discard(event_id)
        if is_written and self._aside:
            self._see_to_aside()
        return is_written

    def _taken(self, shape: Shape, span: FinishedSpan) -> tuple[str | None, Reading | None, Left | None]:
        """Return of what kind a span is, what it says, where that had to be read at once, and what is to be written down."""
        attributes, kind, decides = span.attributes, None, None
        if shape.is_quick:
            if not shape.is_own:
                decides, kind = shape.kind(attributes, span.name, span.scope)
            if shape.is_own or (kind is not None and (kind != "llm" or shape.has_end(attributes))):
                left = shape.left(attributes)
                if left is not None:
                    return kind, None, left
        if shape.is_own:
            return None, None, None
        try:
            reading = self._reader.read(span)
        except Exception:  # it is told, and the span ends, where it is converted at once
            return None, None, None
        if reading is None:
            return None, None, None
        if decides is not None:
            shape.remember(decides, reading.kind)
        return reading.kind, reading, Left((), texts_of(reading), reading.metadata)

    def _mark(self, node: Node, is_put_off: bool) -> None:
        node.is_put_off = is_put_off
        if node.parent is not None:
            node.parent.put_off_below += 1 if is_put_off else -1

    def _is_usual(self, node: Node, kind: str | None, name: str) -> bool:
        """Tell whether a note says all that the event needs, and nothing that has been emitted is to be revised by it."""
        parent = node.parent
        return (
            node.open_below == node.put_off_below
            and not node.is_in_action  # whose event is made when it ends
            and (node.identity is None or kind is None)
            and not (node.event or node.is_given_up or node.additions)
            and not (node.waiting or node.below or node.last_agent or node.agents_below)
            and (parent is None or not (parent.is_ended or parent.is_given_up))
            and (node.intervals is None or node.intervals.count <= FEW_INTERVALS)
            and len(self._put_off) < MOST_PUT_OFF
            and not (kind == "llm" and node.amounts is not None)
            and not (kind in _CALLS and self._doubles.may_be_of(kind, node.start_ns, (node.scope, name)))
        )

    def _waits_for(self, span_id: int) -> bool:
        """Tell whether this span, or one right below it, is put off."""
        node = self._tree.nodes.get(span_id)
        return node is not None and (node.is_put_off or node.put_off_below > 0)

    def _concerns_put_off(self, span_id: int, parent_id: int) -> bool:
        """Tell whether a span that starts has the id of another one, begins below one that is put off, or takes its room."""
        nodes = self._tree.nodes
        above = nodes.get(parent_id)
        return (above is not None and above.is_put_off) or span_id in nodes or len(nodes) >= MAX_NODES

    # -- later, on any thread ------------------------------------------------------------------------------

    def catch_up(self, patience_s: float = PATIENCE_S, *, or_leave_it: bool = False) -> None:
        """Convert what was put off, and see it emitted. Any thread; in the middle of a conversion it does nothing.

        Args:
            patience_s: How long to wait for another thread that does so.
            or_leave_it: Leave the rest to that one then.
        """
        if not self.is_behind or self._owner == threading.get_ident():
            return
        is_ours = self._converting.acquire(timeout=patience_s)
        if or_leave_it and not is_ours:
            return
        was_converting = self._is_converting
        try:
            self._is_converting = was_converting or is_ours
            for _ in range(0, len(self._put_off), AT_ONCE):
                self._hand_out(self._convert_some())
            # not one by one: spans that are not converted yet may need them, should the process die before
            if not (self._put_off or self._on_the_way):
                converted, self._converted = self._converted, []
                if converted and self._notes is not None:
                    self._notes.forget(converted)
        finally:
            if is_ours:
                self._is_converting = was_converting
                self._converting.release()

    def _convert_some(self) -> list[Emitted]:
        failed: list[Exception] = []
        with self._lock:
            self._owner = threading.get_ident()
            try:
                for _ in range(min(AT_ONCE, len(self._put_off))):
                    waited = self._put_off.popleft()
                    node = waited.node
                    self._converted.append(waited.note_id)
                    self._mark(node, False)
                    node.sampled = waited.sampled
                    span = waited.span
                    span.event_id, span.trace_id, span.span_id = node.of_event, node.run.trace_id, node.of_event[33:]
                    span.attributes = attributes_of(waited.names, waited.values, waited.call)
                    try:
                        self._end(node, span, waited.reading)
                    except Exception as exc:  # of another span than the one that the caller is at
                        failed.append(exc)
                    self._note_ended(node.trace_id, node.span_id)
            finally:
                ready, self._ready, self._owner = self._ready, [], 0
        for exc in failed:
            if self._notes is not None:
                self._notes.failed(exc)
        return ready

    def _note_ended(self, trace_id: int, span_id: int) -> None:
        self._ended[span_id] = trace_id
        if len(self._ended) > MOST_ENDED:
            del self._ended[next(iter(self._ended))]

    # -- what goes out -------------------------------------------------------------------------------------

    def _hand_out(
        self, ready: list[Emitted], awaited: OutcomeEvent | None = None, *, is_told: bool = False
    ) -> OutcomeEvent | None:
        """Emit what is ready, with no lock held; return the awaited one as it was taken. Then see to what was put aside."""
        taken: OutcomeEvent | None = None
        for event, key, sampled in ready:
            recorded = self._emit(event, key, sampled, is_told and event is awaited)
            if event is awaited:
                taken = recorded
        if self._aside:
            self._see_to_aside()
        return taken

    def _see_to_aside(self) -> None:
        """See to what was put aside. Not in the middle of doing so: each may put another one aside, without end."""
        while self._aside and not self._is_seeing_to_aside:
            self._is_seeing_to_aside = True
            try:
                while self._aside:
                    self._aside.popleft()()
            except IndexError:  # another thread was as quick
                pass
            except Exception:  # of another span than the one that the caller is at
                logger.exception("a span that was put aside could not be converted")
            finally:
                self._is_seeing_to_aside = False
