"""Spans that have ended and are converted later: by the journal's thread, by who reads, or by who has to come after them.

    put off ──► queue ─ ─ ─► converted, emitted ──► its note forgotten, once no span that waits may need it

One lock. Spans are converted in the order in which they ended. What a span does that ends in a signal handler or finaliser, in
the middle of this very code on the same thread, is put aside until the interrupted one is done. A handler may also raise, as
that of Ctrl-C does: then what was under way is done again later.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from otel_feedback.convert.node import Node
from otel_feedback.convert.reader import Reader
from otel_feedback.convert.reading import Reading
from otel_feedback.convert.rules import Emit, Emitted
from otel_feedback.convert.settling import Settling
from otel_feedback.convert.shapes import attributes_of
from otel_feedback.convert.span import FinishedSpan, Outline
from otel_feedback.events.model import OutcomeEvent
from otel_feedback.events.started import StartedAction

__all__ = ["AT_ONCE", "LONG_S", "CatchingUp", "Failed", "Notes", "PutOff"]

Failed = Callable[[Exception], None]

MOST_ENDED = 128
"""Spans that are known to have ended, so that one that two processors see is recorded once."""

AT_ONCE = 8
"""Spans that are converted in one holding of the lock, for which an agent may have to wait."""

PATIENCE_S = 0.5
"""How long an agent waits for another thread that converts: that may log, and wait for a handler that waits for us, or for
the journal, in which this very thread may have been interrupted. Then the order may be another one, and no more."""

GIVES_WAY_S = 0.0001
"""How long the journal's thread stays away from the interpreter lock after each few. An agent that is busy would have to ask for it,
which takes 5 ms, and mostly get it while the lock here is held, for which it would have to give it back."""

LONG_S = 5.0
"""The same of who reads, or ends the program."""

_WAITING = (True,)


class Notes(Protocol):
    """Where what a span left is written down until it is converted."""

    def write(self, left: StartedAction, texts: Collection[str | None], metadata: Mapping[str, Any]) -> bool:
        """Write it down; False where that cannot be, or may not be since it holds a secret. Never raises."""
        ...

    def queue(self) -> None:
        """See that what was written down is converted soon. Never raises."""
        ...

    def forget(self, ids: Sequence[str]) -> None:
        """Forget notes whose spans have been converted."""
        ...


class PutOff(msgspec.Struct, gc=False):
    """A span that has ended, and what there is to read of it."""

    node: Node
    outline: Outline
    reading: Reading | None  # None: it is read later, of these attributes
    names: str
    values: tuple[Any, ...]
    call: tuple[str, str] | None
    sampled: bool
    note_id: str

    def span(self) -> FinishedSpan:
        """Return what is to be converted."""
        event_id, attributes = self.node.of_event, attributes_of(self.names, self.values, self.call)
        return self.outline.span(attributes, event_id, self.node.run.trace_id, event_id[33:])


class CatchingUp(Settling):
    """Converts what was put off. Thread-safe.

    Args:
        emit: Takes the events.
        notes: None: every span is converted at once.
        failed: Counts a span that cannot be converted, of which nobody is told otherwise.
    """

    def __init__(self, reader: Reader, emit: Emit, notes: Notes | None, failed: Failed) -> None:
        super().__init__(reader)
        self._emit = emit
        self._notes = notes
        self._failed = failed
        self._aside: deque[Callable[[], object]] = deque()
        self._ended: dict[int, int] = {}  # the latest spans that ended; guarded by self._lock
        self._put_off: deque[PutOff] = deque()
        self._on_the_way: set[str] = set()  # events of spans that are about to be put off
        self._taken = 0  # of the queue, ever; guarded by self._lock
        self._converted: list[str] = []  # ids of the notes of those that were converted
        self._forgettable: tuple[int, int] | None = None  # so many of them, when so many were taken of the queue
        self.shape_of = reader.shape_of
        self._renew_locks()

    def _renew_locks(self) -> None:
        self._lock = threading.RLock()
        self._owner = 0  # the thread that holds the lock, or 0
        self._converting = threading.RLock()  # held while what was put off is converted and emitted, in its order
        self._is_converting = False
        self._is_seeing_to_aside = False

    @property
    def is_behind(self) -> bool:
        """Whether spans have ended whose events are not emitted yet, or whose notes are there."""
        return bool(self._put_off or self._is_converting or self._converted)

    def _end_putting_off(self, node: Node) -> None:
        node.is_put_off = False
        if node.parent is not None:
            node.parent.put_off_below -= 1

    # -- later, on any thread ------------------------------------------------------------------------------

    def catch_up(self, patience_s: float = PATIENCE_S, *, or_leave_it: bool = False, most: int = 1_000_000_000) -> None:
        """Convert what was put off, and see it emitted. Any thread; in the middle of a conversion it does nothing.

        Args:
            patience_s: How long to wait for another thread that does so.
            or_leave_it: Leave the rest to that one then.
            most: How many to convert, about.
        """
        if self._owner == threading.get_ident():
            return
        if not (self.is_behind or self._ready or self._aside):
            return
        taken: list[bool] = []
        ready: list[Emitted] = []
        was_converting = False
        try:
            # in one step of C: where a handler of a signal raises, it is known whether the lock is held
            taken.extend(map(self._converting.acquire, _WAITING, (patience_s,)))
            is_ours = taken[0]
            if or_leave_it and not is_ours:
                return
            if is_ours:
                was_converting, self._is_converting = self._is_converting, True
            if self._aside:  # with that lock, so that who reads waits for what another thread has taken from there
                self._see_to_aside()
            for _ in range(0, min(most, len(self._put_off) or len(self._ready)), AT_ONCE):
                self._convert_some(ready)
                self._hand_out(ready)
            if is_ours and not was_converting:  # else what was converted may not be emitted yet
                self._forget_converted()
        finally:
            if ready:
                self._put_back(ready)
            if taken and taken[0]:
                self._is_converting = was_converting
                self._converting.release()

    def catch_up_giving_way(self) -> None:
        """Do so, on a thread that has nothing else to do, and let agents go on after each few."""
        for done in range(0, max(AT_ONCE, len(self._put_off)), AT_ONCE):
            if done:
                time.sleep(GIVES_WAY_S)
            self.catch_up(or_leave_it=True, most=AT_ONCE)

    def _forget_converted(self) -> None:
        """Forget notes, but none that a span that waits may need, should the process die before it is converted.

        Those are of spans that were converted while it waited. So all are forgotten when none waits, or, where there is
        always one, those of before some moment when all that waited at that moment have been converted.
        """
        converted: list[str] = []
        try:
            with self._lock:
                self._owner = threading.get_ident()
                try:
                    if not self._put_off and not self._on_the_way:
                        converted, self._converted, self._forgettable = self._converted, [], None
                    elif self._forgettable is None and not self._on_the_way:
                        self._forgettable = self._taken + len(self._put_off), len(self._converted)
                    elif self._forgettable is not None and self._forgettable[0] <= self._taken:
                        count = self._forgettable[1]
                        converted, self._converted = self._converted[:count], self._converted[count:]
                        self._forgettable = None
                finally:
                    self._owner = 0
            if self._aside:
                self._see_to_aside()
            if converted and self._notes is not None:
                self._notes.forget(converted)
                converted = []
        finally:
            if converted:  # a handler of a signal has raised
                with self._lock:
                    self._converted[:0] = converted

    def _convert_some(self, ready: list[Emitted]) -> None:
        failed: list[Exception] = []
        with self._lock:
            self._owner = threading.get_ident()
            try:
                for _ in range(min(AT_ONCE, len(self._put_off))):
                    waited = self._put_off[0]  # as long as it is not converted
                    node = waited.node
                    if node.is_put_off:
                        self._end_putting_off(node)
                    node.sampled = waited.sampled
                    try:
                        self._end(node, waited.span(), waited.reading)
                    except Exception as exc:  # of another span than the one that the caller is at
                        failed.append(exc)
                    self._note_ended(node.trace_id, node.span_id)
                    self._converted.append(waited.note_id)
                    self._taken += 1
                    self._put_off.popleft()
                ready += self._ready
                self._ready = []
            finally:
                self._owner = 0
        for exc in failed:
            self._failed(exc)

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
        event: OutcomeEvent | None = None
        try:
            ready.reverse()
            while ready:
                event, key, sampled = ready[-1]
                recorded = self._emit(event, key, sampled, is_told and event is awaited)
                if event is awaited:
                    taken = recorded
                ready.pop()
        except Exception:  # a defect of ours, which is told: not again and again
            if ready and ready[-1].event is event:
                ready.pop()
            raise
        finally:
            if ready:
                ready.reverse()
                self._put_back(ready)
        if self._aside:
            self._see_to_aside()
        return taken

    def _put_back(self, ready: list[Emitted]) -> None:
        """Let what is ready go out with what is next: a handler of a signal has raised."""
        with self._lock:
            self._ready[:0] = ready
            ready.clear()

    def _hand_out_rest(self) -> None:
        """Emit what is ready and nobody has in hand, with no lock held."""
        ready: list[Emitted] = []
        try:
            with self._lock:
                ready += self._ready
                self._ready = []
            self._hand_out(ready)
        finally:
            if ready:
                self._put_back(ready)

    def _see_to_aside(self) -> None:
        """See to what was put aside. Not in the middle of doing so: each may put another one aside, without end."""
        while self._aside and not self._is_seeing_to_aside:
            self._is_seeing_to_aside = True
            try:
                while self._aside:
                    self._aside.popleft()()
            except IndexError:  # another thread was as quick
                pass
            except Exception as exc:  # of another span than the one that the caller is at
                self._failed(exc)
            finally:
                self._is_seeing_to_aside = False
