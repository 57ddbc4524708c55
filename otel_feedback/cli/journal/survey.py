"""One journal as it lies there, read as who adopts it would, and nothing changed: also that of a living process.

Input: the folder. Output: whose it is, what is in it, and the account of each destination. Of the segments the newest
is read, and the one with the oldest undelivered event, so the size of a journal does not matter.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from otel_feedback.events.record import Origin
from otel_feedback.journal.adopted import Newest, believed
from otel_feedback.journal.cursor import CursorState
from otel_feedback.journal.files import open_private
from otel_feedback.journal.folder import QUARANTINE, is_owned
from otel_feedback.journal.interface import Account
from otel_feedback.journal.reading import SegmentReader
from otel_feedback.journal.segments import Segment, list_segments
from otel_feedback.journal.sequences import SequenceSet
from otel_feedback.journal.state import JournalState, load_state

__all__ = ["CursorView", "Kept", "Owner", "Survey", "kept_in", "owner_of", "survey"]

TRIES = 5
"""How often a journal is looked at anew whose living owner removed a segment meanwhile."""
CHUNK_BYTES = 1 << 20


class Owner(str, Enum):
    """Whether a living process has the journal: its own, or one that delivers what a dead one left."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"

    __str__ = str.__str__


class CursorView(NamedTuple):
    """One destination of a journal. `low` is the first sequence that is neither delivered nor lost.

    `address` is where it was looked for, of a destination that has another name than its address.
    """

    exporter: str
    destination: str
    account: Account
    low: int
    address: str = ""


class Survey(NamedTuple):
    """What is known of a journal. `cursors` is None where nothing tells how far any destination is.

    `first` and `last` are the sequences that are there, None where no event is. `problem` says why something is
    not known.
    """

    path: Path
    owner: Owner
    service_name: str | None = None
    segments: int = 0
    bytes: int = 0
    first: int | None = None
    last: int | None = None
    oldest: datetime | None = None
    cursors: Sequence[CursorView] | None = None
    open_actions: int = 0
    """Outcomes that are yet to be made: of actions under way, or that never ended, and of `ended_spans` of others."""
    ended_spans: int = 0
    problem: str | None = None

    @property
    def producer_id(self) -> str:
        return self.path.name


def survey(folder: Path) -> Survey | None:
    """Look at a journal; None where it is gone, which one is when everything in it is delivered."""
    owner, problem = owner_of(folder)
    for _ in range(TRIES):
        try:
            return _look(folder, owner)._replace(problem=problem)
        except FileNotFoundError:
            if not folder.is_dir():
                return None
        except OSError as exc:
            problem = f"cannot be read: {exc.strerror or exc}"
            break
    return Survey(folder, owner, problem=problem or "changes too quickly to be looked at")


def owner_of(folder: Path) -> tuple[Owner, str | None]:
    """Return whether a living process has the journal, and why that is not known."""
    try:
        return (Owner.ALIVE if is_owned(folder) else Owner.DEAD), None
    except FileNotFoundError:
        return Owner.UNKNOWN, "its lock is missing, and without it no process takes the journal over"
    except OSError as exc:
        return Owner.UNKNOWN, exc.strerror or str(exc)


def _look(folder: Path, owner: Owner) -> Survey:
    written_down = load_state(folder)  # first: what it counts is in the segments by then
    segments = list_segments(folder)
    newest = Newest.read(segments[-1]) if segments else Newest()
    state = believed(written_down, newest.state)
    end = newest.end if state is None else max(state.end, newest.end)
    first = segments[0].first if segments and segments[0].first < end else None
    cursors = None if state is None else [_view(cursor, end) for cursor in state.cursors]
    pending = [cursor.low for cursor in cursors or () if cursor.account.pending]
    oldest = first if state is None else min(pending, default=None)
    noted = newest.open_actions
    return Survey(
        folder, owner, _service_of(state), len(segments), sum(segment.size for segment in segments),
        first, None if first is None else end - 1,
        None if oldest is None else _time_of(segments, oldest, end), cursors, len(noted), sum(action.ended is not None for action in noted),
    )  # fmt: skip


def _service_of(state: JournalState | None) -> str | None:
    return None if state is None else state.service_name


def _view(cursor: CursorState, end: int) -> CursorView:
    pending = max(0, end - cursor.low - SequenceSet(cursor.ahead).count(cursor.low, end))
    account = Account(max(0, end - cursor.start), cursor.delivered, pending, dict(cursor.lost))
    return CursorView(cursor.exporter, cursor.destination, account, cursor.low, cursor.address)


def _time_of(segments: Sequence[Segment], sequence: int, end: int) -> datetime | None:
    """Return the time of the first event from this sequence on that can be read."""
    reader = SegmentReader(lambda: segments, Origin("", ""), lambda *damage: None, lambda *unread: None)
    records, _ = reader.read(sequence, 1, end)
    return records[0].timestamp if records else None


class Kept(NamedTuple):
    """What is in a quarantine: files, lines of those that have lines, bytes."""

    files: int
    lines: int
    bytes: int


def kept_in(directory: Path, only: str | None) -> Kept:
    """Count what is in the quarantine of a directory of journals, or what one producer has in it."""
    files = lines = size = 0
    with contextlib.suppress(OSError), os.scandir(directory / QUARANTINE) as entries:
        for entry in entries:
            if entry.name.startswith(only or "") and entry.is_file(follow_symlinks=False):
                files += 1
                size += entry.stat(follow_symlinks=False).st_size
                lines += _lines_in(Path(entry.path)) if entry.name.endswith(".jsonl") else 0
    return Kept(files, lines, size)


def _lines_in(path: Path) -> int:
    with contextlib.suppress(OSError), os.fdopen(open_private(path, os.O_RDONLY), "rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(CHUNK_BYTES), b""))
    return 0
