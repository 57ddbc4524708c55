"""The journal of a process that died, in the hands of one that lives.

    claim the folder ─► read the state ─► close what never ended ─► cursors to our workers ─► tend … ─► let go

Guarantee: records go out with their own producer id and sequence; a cursor whose destination is not ours is neither
moved nor forgotten; the folder goes when every cursor in it has everything. Used by the journal's thread; its cursors
by the workers.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

import msgspec

from otel_feedback.events import codec
from otel_feedback.events.model import OutcomeEvent
from otel_feedback.events.record import Origin, Record
from otel_feedback.journal.cursor import CursorState, JournalCursor, Reader
from otel_feedback.journal.folder import Folder
from otel_feedback.journal.frames import SAMPLED, Frame, Kind, event_body, frame
from otel_feedback.journal.interface import (
    LOST_DAMAGED,
    LOST_RETENTION,
    CloseAction,
    Cursor,
    Elsewhere,
    Recognize,
    StartedAction,
)
from otel_feedback.journal.quarantine import Quarantine
from otel_feedback.journal.reading import SegmentReader, record_of, scan_segment
from otel_feedback.journal.segments import Segment, SegmentWriter, cut_left, list_segments
from otel_feedback.journal.state import VERSION, JournalState, decode_state, load_state, save_state
from otel_feedback.logger import get_logger
from otel_feedback.redaction.scrubbing import scrub

__all__ = ["AdoptedJournal", "Newest", "believed", "together"]

logger = get_logger(__name__)

_NOBODY = Origin("", "")
_start = msgspec.msgpack.Decoder(StartedAction)


class AdoptedJournal:
    """What a dead process left; made by `open`."""

    def __init__(
        self, folder: Folder, state: JournalState, segments: Sequence[Segment], end: int, ours: set[tuple[str, str]]
    ) -> None:
        self.folder = folder
        self.origin = Origin(state.producer_id, state.service_name)
        self.end = end
        self.is_closed = False
        self.has_unclosed = False  # actions that could not be closed, which keeps the folder
        self.is_announced = state.is_announced
        self._saved = state.saved
        self._lock = threading.Lock()
        self._segments = tuple(segments)  # guarded by self._lock for writing
        self.kept_aside = Quarantine(folder.path.parent, self.origin.producer_id)
        self._all = [JournalCursor(self, cursor) for cursor in state.cursors]
        self.cursors: Mapping[tuple[str, str], JournalCursor] = {
            name: cursor for cursor in self._all if (name := (cursor.exporter, cursor.destination)) in ours
        }
        self._open_actions = 0  # that were not closed
        self._saved_marks: list[tuple[int, str]] = []

    @classmethod
    def open(
        cls,
        folder: Folder,
        destinations: Sequence[tuple[str, str]],
        close_action: CloseAction,
        oldest_allowed: float = 0.0,
        recognize: Recognize | None = None,
    ) -> AdoptedJournal | None:
        """Take a claimed folder over, and let go of it when there is nothing in it for these destinations.

        Returns:
            None where nothing is in it at all. `is_closed` says whether it was let go of.

        Raises:
            OSError: It cannot be read now; nothing was changed.
        """
        segments = list_segments(folder.path)
        written_down = load_state(folder.path)
        if not segments and written_down is None:  # its owner died before the first event
            folder.remove()
            return None
        cut_left(segments)
        newest = Newest.read(segments[-1]) if segments else Newest()
        state = believed(written_down, newest.state) or _assumed(folder.path.name, segments, destinations)
        end = max(state.end, newest.end)
        state, ours = _recognized(state, destinations, recognize)
        adopted = cls(folder, state, segments, end, ours)
        if adopted.cursors:
            for damage in newest.damaged:
                adopted.kept_aside.note_damage(*damage)
            adopted._close_actions(newest, close_action)
        else:  # for whoever comes with one of its destinations
            adopted.has_unclosed = bool(newest.open_actions)
            adopted._open_actions = len(newest.open_actions)
        adopted.keep_to_age(oldest_allowed)
        if not adopted.cursors or adopted.tend():
            adopted.close()
        return adopted

    def elsewhere(self) -> list[Elsewhere]:
        """Return what is in it for destinations that are not ours."""
        ours = list(self.cursors.values())
        waiting = [
            (cursor, cursor.account().pending + self._open_actions) for cursor in self._all if cursor not in ours
        ]
        return [
            Elsewhere(cursor.exporter, cursor.destination, cursor.address, 1, events)
            for cursor, events in waiting
            if events
        ]

    def disown(self, cursor: Cursor) -> None:
        self.cursors = {name: known for name, known in self.cursors.items() if known is not cursor}

    def _close_actions(self, newest: Newest, close_action: CloseAction) -> None:
        """Append the final event of each action that never ended: it is a record like the others from then on."""
        if not newest.open_actions:
            return
        died = datetime.fromtimestamp(max(segment.modified for segment in self._segments), timezone.utc)
        try:
            writer = SegmentWriter.reopen(self._segments[-1])
        except OSError:
            self.has_unclosed = True
            return
        try:
            for action in newest.open_actions:
                try:
                    event = close_action(action, died)
                    if event is None:
                        continue
                    payload = codec.encode(self._closing_event(event))
                except Exception as exc:  # one that makes no event must not hold up the others, now and ever after
                    logger.warning(
                        "the action %s of a dead process makes no event: %s", action.event_id, scrub(repr(exc))
                    )
                    continue
                body = event_body(action.key or event.trace_id or event.event_id, payload)
                writer.append(frame(Kind.EVENT, self.end, body, SAMPLED if action.sampled else 0))
                self.end += 1
        except OSError:  # a full disk: deliver first; whoever comes next can close them
            self.has_unclosed = True
        finally:
            os.close(writer.file)

    def _closing_event(self, event: OutcomeEvent) -> OutcomeEvent:
        if event.service_name is not None:
            return event
        return msgspec.structs.replace(event, service_name=self.origin.service_name)

    # -- what cursors need ---------------------------------------------------------------------------------

    def reader(self) -> Reader:
        return _AdoptedReader(self)

    def segments(self) -> Sequence[Segment]:
        """Return the segments that are left. Safe from any thread."""
        return self._segments

    def forget_settled(self) -> None:
        """Nothing is in memory; files go in `tend()`."""

    # -- by the journal's thread ---------------------------------------------------------------------------

    @property
    def bytes(self) -> int:
        """The size of what is left on disk."""
        return sum(segment.size for segment in self._segments)

    def tend(self) -> bool:
        marks = [(cursor.settled, cursor.destination) for cursor in self._all]
        if marks != self._saved_marks and not self.is_closed:
            with contextlib.suppress(OSError):
                save_state(self.folder.path, self._state())
                self._saved_marks = marks
            lowest = min((cursor.low for cursor in self._all), default=self.end)
            while len(self._segments) > 1 and self._segments[1].first <= lowest:
                self._remove_first()
        return all(cursor.low >= self.end for cursor in self.cursors.values())

    def keep_to_age(self, oldest_allowed: float) -> None:
        """Drop segments that were last written to before this moment (seconds since 1970)."""
        while self._segments and self._segments[0].modified < oldest_allowed and self.drop_segment():
            pass

    def drop_segment(self) -> bool:
        """Drop the oldest segment, with what is pending in it; False when none is left."""
        if not self._segments:
            return False
        beyond = self._segments[1].first if len(self._segments) > 1 else self.end
        for cursor in self._all:
            before = cursor.settled
            cursor.lose(0, beyond, LOST_RETENTION)
            if cursor.settled > before and cursor not in self.cursors.values():  # nobody here accounts for it
                logger.warning(
                    "%s: %d events for %s (%s), which no process came for, were dropped",
                    self.folder.path, cursor.settled - before, cursor.exporter, cursor.destination,
                )  # fmt: skip
        with contextlib.suppress(OSError):  # or whoever comes next would take them for damaged
            save_state(self.folder.path, self._state())
        self._remove_first()
        return True

    def _remove_first(self) -> None:
        with self._lock:
            first, *rest = self._segments
            self._segments = tuple(rest)
        with contextlib.suppress(OSError):
            first.path.unlink()

    def close(self) -> None:
        self.is_closed = True
        if all(cursor.low >= self.end for cursor in self._all) and not self.has_unclosed:
            self.folder.remove()
            return
        if self.cursors:
            with contextlib.suppress(OSError):
                save_state(self.folder.path, self._state())
        self.folder.release()

    def leave_to_parent(self) -> None:
        """In a forked child: close the copy of the lock, and touch nothing any more."""
        self.is_closed = True
        self.folder.release()

    def _state(self) -> JournalState:
        self._saved += 1
        cursors = [cursor.state() for cursor in self._all]
        # whoever has it in hand says so
        origin = self.origin
        return JournalState(
            VERSION, origin.producer_id, origin.service_name, self.end, self._saved, cursors, is_announced=True
        )


class _AdoptedReader:
    def __init__(self, journal: AdoptedJournal) -> None:
        self._journal = journal
        aside = journal.kept_aside
        self._reader = SegmentReader(journal.segments, journal.origin, aside.note_damage, aside.keep_unread)

    def read(self, start: int, most: int, packed: bool, most_bytes: int) -> tuple[list[Record], int, str]:
        return *self._reader.read(start, most, self._journal.end, packed, most_bytes), LOST_DAMAGED


class Newest:
    """What the newest segment tells: the state when it was begun, where the journal ends, what never ended."""

    def __init__(self) -> None:
        self.state: JournalState | None = None
        self.end = 0
        self.damaged: list[tuple[Path, int, bytes]] = []
        self._open: dict[str, StartedAction] = {}

    @property
    def open_actions(self) -> list[StartedAction]:
        """Those without an event; a span that ended has what all of them left, since they say things of each other."""
        ended = {one.event_id: one.ended for one in self._open.values() if one.ended is not None}
        return [one if one.ended is None else msgspec.structs.replace(one, ended=ended) for one in self._open.values()]

    @classmethod
    def read(cls, segment: Segment) -> Newest:
        newest = cls()
        newest.end = segment.first
        for found in scan_segment(segment, lambda *damage: newest.damaged.append(damage)):
            newest._note(found)
        return newest

    def _note(self, found: Frame) -> None:
        self.end = max(self.end, found.sequence + (found.kind == Kind.EVENT))
        if found.kind == Kind.HEAD:
            self.state = decode_state(found.payload)
        elif found.kind == Kind.START:
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
                action = _start.decode(found.payload)
                self._open[action.event_id] = action
        elif found.kind == Kind.FORGET:
            self._open.pop(found.payload.decode(errors="replace"), None)
        else:
            record = record_of(found, _NOBODY)
            if record is not None and record.revision:
                self._open.pop(record.event_id, None)


def _recognized(
    state: JournalState, destinations: Sequence[tuple[str, str]], recognize: Recognize | None
) -> tuple[JournalState, set[tuple[str, str]]]:
    """Return the state with those of our destinations by their present names, and these names."""
    if recognize is None:
        return state, set(destinations)
    taken = {(cursor.exporter, cursor.destination) for cursor in state.cursors}
    ours: set[tuple[str, str]] = set()
    cursors: list[CursorState] = []
    for cursor in state.cursors:
        name = cursor.exporter, cursor.destination
        present = recognize(cursor.exporter, cursor.destination, cursor.address)
        if present is not None:
            renamed = cursor.exporter, present[0]
            if renamed == name or renamed not in taken:  # else two accounts would be mixed
                cursor = msgspec.structs.replace(cursor, destination=present[0], address=present[1])  # noqa: PLW2901
                taken.add(renamed)
                name = renamed
            ours.add(name)
        cursors.append(cursor)
    return msgspec.structs.replace(state, cursors=cursors), ours


def together(waiting: Iterable[Elsewhere]) -> list[Elsewhere]:
    """Add up what waits for the same destination."""
    sums: dict[tuple[str, str], Elsewhere] = {}
    for one in waiting:
        name = one.exporter, one.destination
        known = sums.get(name)
        sums[name] = (
            one
            if known is None
            else known._replace(journals=known.journals + one.journals, events=known.events + one.events)
        )
    return list(sums.values())


def believed(file: JournalState | None, head: JournalState | None) -> JournalState | None:
    """Return what was written down later: the cursors file, or the first frame of the newest segment."""
    if file is None or head is None:
        return file or head
    return file if file.saved >= head.saved else head


def _assumed(producer_id: str, segments: Sequence[Segment], destinations: Sequence[tuple[str, str]]) -> JournalState:
    """Return a state for a journal that has lost its own: everything that is there, to everybody who asks."""
    first = segments[0].first
    cursors = [CursorState(exporter, there, first, first, [], 0, {}) for exporter, there in destinations]
    return JournalState(VERSION, producer_id, "unknown_service", first, 0, cursors)
