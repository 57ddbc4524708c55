"""Journals on disk for tests: events, a clock, a crash, and what the files of a journal hold."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

from otel_feedback.events import codec
from otel_feedback.events.ended import EndedAction
from otel_feedback.events.model import OutcomeEvent, OutcomeStatus, Severity
from otel_feedback.events.record import Record
from otel_feedback.journal.disk import CAPS_S, HEAL_S, SYNC_S, DiskJournal
from otel_feedback.journal.interface import Cursor, StartedAction
from otel_feedback.journal.limits import DiskLimits

KAFKA = ("kafka", "there:9092/agent-outcomes")
OTLP = ("otlp", "http://there:4318")
BOTH = (KAFKA, OTLP)

SMALL = DiskLimits(min_free_bytes=0, segment_bytes=4_096, tail_bytes=500)
"""Segments and memory so small that segments end and records are read back all the time."""


class Appended(NamedTuple):
    """One record as it was appended."""

    sequence: int
    key: str
    payload: bytes
    sampled: bool
    event: OutcomeEvent


class Clock:
    """Monotonic seconds that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s

    def pass_time(self) -> None:
        """Let enough time pass that everything is due again."""
        self.now_s += max(SYNC_S, HEAL_S, CAPS_S) + 1


class ForgottenJournal(DiskJournal):
    """One whose files are closed when a test forgets it; in a process they would be when it ends."""

    def __del__(self) -> None:
        self.leave_to_parent()


def journal_in(root: Path, limits: DiskLimits = SMALL, *, durability: str = "interval") -> tuple[DiskJournal, Clock]:
    """Make a journal, and the clock that it goes by."""
    clock = Clock()
    return ForgottenJournal(root, service_name="tested", durability=durability, limits=limits, clock=clock), clock


def tend(journal: DiskJournal, clock: Clock) -> None:
    """Look after a journal in which everything is due."""
    clock.pass_time()
    journal.tend()


def outcome(event_id: str, *, size: int = 0, revision: int = 1) -> OutcomeEvent:
    """An event of about this size."""
    return OutcomeEvent(
        event_id=event_id, revision=revision, action_type="é" + "x" * size, status=OutcomeStatus.SUCCESS,
        trace_id="1" * 32, span_id="2" * 16,
    )  # fmt: skip


def ended(event_id: str) -> EndedAction:
    """What an action left."""
    return EndedAction(
        event_id, False, {}, 0, 1, OutcomeStatus.SUCCESS, Severity.INFO, None, None, None, None, None, None, None, None, None,
        None, None, None, None,
    )  # fmt: skip


def append(journal: DiskJournal, event_id: str, *, size: int = 0, revision: int = 1, sampled: bool = True) -> Appended:
    """Append an event; return what must come out again."""
    event = outcome(event_id, size=size, revision=revision)
    key, payload = f"run-{event_id}", codec.encode(event)
    sequence = journal.append(key, payload, event, sampled=sampled)
    return Appended(sequence, key, payload, sampled, event)


def append_many(journal: DiskJournal, count: int, *, size: int = 0) -> list[Appended]:
    """Append so many events, named by where the journal stands."""
    return [append(journal, f"e{journal.end}", size=size) for _ in range(count)]


def assert_same(record: Record, appended: Appended) -> None:
    """This is what was appended, whichever way it came back."""
    event = appended.event
    assert (record.sequence, record.key, record.payload) == (appended.sequence, appended.key, appended.payload)
    assert record.sampled is appended.sampled
    assert (record.event_id, record.revision, record.timestamp) == (event.event_id, event.revision, event.timestamp)
    assert (record.trace_id, record.span_id) == (event.trace_id, event.span_id)


def lease_all(cursor: Cursor, most: int = 7) -> list[Record]:
    """Lease everything that is there."""
    leased: list[Record] = []
    while cursor.available() > 0:
        before = cursor.available()
        lease = cursor.lease(most)
        leased += lease
        assert lease or cursor.available() < before, "a lease that gives nothing must at least go on"
    return leased


def deliver(cursor: Cursor, records: Sequence[Record]) -> None:
    """Account for these records as delivered."""
    for record in records:
        assert cursor.settle(record.sequence)
    cursor.release()


def deliver_all(cursor: Cursor) -> list[int]:
    """Lease and deliver everything; return the sequences."""
    records = lease_all(cursor)
    deliver(cursor, records)
    return [record.sequence for record in records]


def assert_balanced(cursor: Cursor) -> None:
    """The law: appended = delivered + pending + sum(lost)."""
    account = cursor.account()
    assert account.appended == account.delivered + account.pending + sum(account.lost.values()), account
    assert min(account.appended, account.delivered, account.pending, *account.lost.values()) >= 0, account


def crash(journal: DiskJournal) -> None:
    """End the owner as SIGKILL does: nothing is written any more, and the kernel lets go of its locks."""
    journal.leave_to_parent()


def started(event_id: str, **attributes: object) -> StartedAction:
    """An action that began."""
    return StartedAction(event_id, 1, f"run-{event_id}", attributes, sampled=True)


def close_action(action: StartedAction, died: datetime) -> OutcomeEvent:
    """Make the final event of an action whose process died."""
    assert died.tzinfo is timezone.utc
    return OutcomeEvent(
        event_id=action.event_id, action_type="x", status=OutcomeStatus.FAILURE, error_type="process_lost",
        timestamp=died,
    )  # fmt: skip


def fast_folder() -> Path:
    """A new folder, in memory where the machine has such a place: thousands of journals are made in it."""
    memory = Path("/dev/shm")
    return Path(tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else None))


def segments(folder: Path) -> list[Path]:
    """The segments in a journal's folder, the oldest first."""
    return sorted(folder.glob("*.seg"))


def segment_size(segment: Path) -> int:
    """What is in a segment, without the room behind what was written last."""
    return len(segment.read_bytes().rstrip(b"\0"))


def write_behind(segment: Path, data: bytes) -> None:
    """Write behind the last frame, as its owner does."""
    end = segment_size(segment)
    with segment.open("r+b") as file:
        file.seek(end)
        file.write(data)


def segment_bytes(folder: Path) -> int:
    """What is in the segments."""
    return sum(map(segment_size, segments(folder)))


def folder_of(journal: DiskJournal) -> Path:
    path = journal.health().path
    assert path is not None
    return Path(path)


@contextmanager
def umask(mask: int) -> Generator[None, None, None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)
