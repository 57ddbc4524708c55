"""Whether a journal is whole: each frame of each segment read, nothing changed, nothing kept in memory.

Input: the folder. Output: for each segment what is in it and which bytes are no frame; which sequences are not there;
whether the cursors file can be read. What a living process has not finished writing is no damage.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from otel_feedback.cli.journal.survey import Owner, owner_of
from otel_feedback.journal.adopted import believed
from otel_feedback.journal.files import read_private
from otel_feedback.journal.folder import CURSORS
from otel_feedback.journal.frames import Kind, scan
from otel_feedback.journal.reading import scan_segment
from otel_feedback.journal.segments import Segment, list_segments
from otel_feedback.journal.sequences import SequenceSet
from otel_feedback.journal.state import VERSION, JournalState, decode_state, load_state

__all__ = ["CheckedJournal", "CheckedSegment", "CursorsFile", "Gap", "check_journal"]

MOST_RUNS = 1_000
"""Damaged runs of a segment that are told one by one."""
TOLD_BYTES = 1 << 20
"""How often reading is told of, in bytes."""

Read = Callable[[int], None]
"""Told of bytes that were read."""


class CursorsFile(NamedTuple):
    """The cursors file: `whole`, `missing`, `broken`, or of an `unknown version`."""

    state: str
    version: int | None = None

    @property
    def is_whole(self) -> bool:
        # without one the newest segment tells the state: its owner died before it was written
        return self.state in ("whole", "missing")


class CheckedSegment(NamedTuple):
    """What reading one segment to its end has shown.

    `damaged` are runs `(offset, bytes)`, the first 1,000; `unfinished_bytes` are those of a frame that a living process
    is at. `version` is that of its first frame, None where there is none.
    """

    name: str
    bytes: int
    version: int | None
    frames: dict[str, int]
    damaged_bytes: int
    damaged: Sequence[tuple[int, int]]
    unfinished_bytes: int = 0
    problem: str | None = None

    @property
    def is_version_known(self) -> bool:
        return self.version == VERSION

    @property
    def is_whole(self) -> bool:
        return not self.damaged_bytes and self.is_version_known and self.problem is None


class Gap(NamedTuple):
    """Sequences `first` to `last` that are in no segment; `pending` of them some destination still waits for."""

    first: int
    last: int
    pending: int


class CheckedJournal(NamedTuple):
    """What reading all of a journal has shown."""

    path: Path
    owner: Owner
    service_name: str | None
    cursors_file: CursorsFile
    segments: Sequence[CheckedSegment]
    missing: Sequence[Gap]
    problem: str | None = None

    @property
    def is_whole(self) -> bool:
        is_there = not any(gap.pending for gap in self.missing)
        return (
            self.problem is None and self.cursors_file.is_whole and is_there and all(s.is_whole for s in self.segments)
        )


def check_journal(folder: Path, read: Read = lambda size: None) -> CheckedJournal | None:
    """Read a journal from beginning to end; None where it is gone."""
    owner, problem = owner_of(folder)
    written_down = load_state(folder)  # first: what it counts is in the segments by then
    cursors_file = _cursors_file(folder, written_down)
    try:
        segments = _list_segments(folder)
    except FileNotFoundError:
        return None
    except OSError as exc:
        problem = f"cannot be read: {exc.strerror or exc}"
        return CheckedJournal(folder, owner, None, cursors_file, (), (), problem)
    sequences = _Sequences(segments[0].first) if segments else _Sequences(written_down.end if written_down else 0)
    checked: list[CheckedSegment] = []
    state = written_down
    for segment, following in zip(segments, (*segments[1:], None), strict=False):
        reading = _Reading(segment, is_written=owner is Owner.ALIVE and following is None)
        try:
            checked.append(reading.read(sequences, read))
        except FileNotFoundError:  # delivered meanwhile, and removed by its owner
            sequences.skip_to(0 if following is None else following.first)
        else:
            state = believed(written_down, reading.state)
    if state is not None and owner is not Owner.ALIVE:  # a living one may have some in memory, or just removed some
        sequences.begin_at(min((cursor.low for cursor in state.cursors), default=state.end))
        sequences.end_at(state.end)
    service_name = None if state is None else state.service_name
    return CheckedJournal(folder, owner, service_name, cursors_file, checked, sequences.gaps(state), problem)


def _list_segments(folder: Path) -> list[Segment]:
    """Return the segments up to the one that was the newest when it was begun to list them."""
    listed = list_segments(folder)
    # a folder that a living process adds to is not listed as of one moment: one may be missed, and the next be seen
    again = [segment for segment in list_segments(folder) if listed and segment.first <= listed[-1].first]
    return sorted({*listed, *again})


def _cursors_file(folder: Path, state: JournalState | None) -> CursorsFile:
    if state is not None:
        return CursorsFile("whole", state.version)
    try:
        body = read_private(folder / CURSORS).partition(b"\n")[0]
    except FileNotFoundError:
        return CursorsFile("missing")
    except OSError:
        return CursorsFile("broken")
    version = _version_of(body)
    return CursorsFile("broken" if version in (None, VERSION) else "unknown version", version)


class _Versioned(msgspec.Struct):
    version: int


_versioned = msgspec.json.Decoder(_Versioned)


def _version_of(state: bytes) -> int | None:
    try:
        return _versioned.decode(state).version
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


class _Reading:
    """Reads one segment."""

    def __init__(self, segment: Segment, *, is_written: bool) -> None:
        self.state: JournalState | None = None
        self._segment = segment
        self._is_written = is_written  # by its owner, now
        self._version: int | None = None
        self._frames: Counter[int] = Counter()
        self._end = 0  # of the last whole frame
        self._damaged = SequenceSet()
        self._last_damage = (0, b"")

    def read(self, sequences: _Sequences, read: Read) -> CheckedSegment:
        segment = self._segment
        size, told, problem = segment.size, 0, None
        try:
            for frame in scan_segment(segment, self._note_damage):
                self._frames[frame.kind] += 1
                if frame.kind == Kind.HEAD:
                    self._version = _version_of(frame.payload)
                    self.state = decode_state(frame.payload)
                elif frame.kind == Kind.EVENT:
                    sequences.note(frame.sequence)
                self._end = frame.end
                if frame.end - told >= TOLD_BYTES:
                    read(frame.end - told)
                    told = frame.end
        except OSError as exc:
            if isinstance(exc, FileNotFoundError):
                raise
            problem = f"cannot be read: {exc.strerror or exc}"
        read(max(0, size - told))
        is_end = self._last_damage[0] >= self._end  # no frame follows
        unfinished = self._note_last_damage(may_go_on=self._is_written and is_end)
        runs = self._damaged.runs
        return CheckedSegment(
            segment.path.name, size, self._version, {kind.name.lower(): self._frames[kind] for kind in Kind},
            sum(end - first for first, end in runs), [(first, end - first) for first, end in runs[:MOST_RUNS]],
            unfinished, problem,
        )  # fmt: skip

    def _note_damage(self, _: Path, first: int, data: bytes) -> None:
        self._note_last_damage()
        self._last_damage = (first, data)

    def _note_last_damage(self, *, may_go_on: bool = False) -> int:
        """Count what was told last; return how many bytes of it may be of a frame that is not whole yet."""
        (first, data), self._last_damage = self._last_damage, (0, b"")
        damaged = scan(data, is_last=False).rest if may_go_on else len(data)
        self._damaged.add(first, first + damaged)
        return len(data) - damaged


class _Sequences:
    """Which sequences were not seen, from the first one that can be there."""

    def __init__(self, first: int) -> None:
        self._first = self._next = first
        self._gaps: list[tuple[int, int]] = []

    def note(self, sequence: int) -> None:
        """Say that an event with this sequence is there."""
        self.end_at(sequence)
        self._next = max(self._next, sequence + 1)

    def begin_at(self, first: int) -> None:
        """Say that there should be events from this one on."""
        if first < self._first:
            self._gaps.insert(0, (first, self._first))

    def end_at(self, end: int) -> None:
        """Say that there are events up to this one."""
        if end > self._next:
            self._gaps.append((self._next, end))
            self._next = end

    def skip_to(self, sequence: int) -> None:
        """Say that what was before this sequence could not be seen any more."""
        self._next = max(self._next, sequence)

    def gaps(self, state: JournalState | None) -> list[Gap]:
        """Return what is missing, and how much of it somebody waits for; without a state all of it."""
        return [Gap(first, end - 1, _pending(state, first, end)) for first, end in self._gaps]


def _pending(state: JournalState | None, first: int, end: int) -> int:
    if state is None:
        return end - first
    most = 0
    for cursor in state.cursors:
        settled = SequenceSet(cursor.ahead)
        settled.add(0, cursor.low)
        most = max(most, end - first - settled.count(first, end))
    return most
