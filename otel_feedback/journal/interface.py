"""What the pipeline asks of a journal: append on the agent's thread, one cursor for each destination.

    append ──►  0  1  2  3  4  5  6  7  8  9
                      ▲        ▲        ▲
                      │        │        └ end: the next sequence
                      │        └ next: the first record not leased yet
                      └ low: the first record not settled (delivered or lost)

One law, which tests check everywhere: `appended = delivered + pending + sum(lost.values())`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from otel_feedback.events.model import OutcomeEvent
from otel_feedback.events.record import Origin, Record, Recordable
from otel_feedback.events.started import StartedAction

__all__ = [
    "CLOSED",
    "LOST_DAMAGED",
    "LOST_RETENTION",
    "Account",
    "Adopted",
    "CloseAction",
    "Cursor",
    "Elsewhere",
    "Journal",
    "JournalHealth",
    "Loss",
    "Recognize",
    "StartedAction",
]


class Account(NamedTuple):
    """What became of the records that one destination was to get."""

    appended: int
    delivered: int
    pending: int
    lost: Mapping[str, int]


class Loss(NamedTuple):
    """Records `first` to `last` of a journal, `records` of them, that a destination will not get, and why."""

    reason: str
    first: int
    last: int
    records: int


class JournalHealth(NamedTuple):
    """Where a journal keeps its records now, for people and for metrics.

    `kind` is "disk" or "memory"; `problem` says why records are in memory that should be on disk. Sizes are in
    bytes. `damaged_bytes` are those of frames, and of records, that could not be read back.
    """

    kind: str
    path: str | None
    bytes: int
    segments: int
    problem: str | None
    open_actions: int
    damaged_bytes: int


LOST_DAMAGED = "damaged"
"""Why records are lost that were written, and cannot be read back."""

LOST_RETENTION = "retention"
"""Why records are lost that were the oldest of a journal that was full, or too old, or whose disk was nearly full."""

CLOSED = -1
"""What `append` returns when the journal is closed and takes nothing more."""

CloseAction = Callable[[StartedAction, datetime], OutcomeEvent | None]
"""Makes the final event of an action whose process died, if it is to have one; the moment is the last sign of life."""


Recognize = Callable[[str, str, str], "tuple[str, str] | None"]
"""Tells of an exporter, a destination and an address, as they were written down, whether they are ours: what is to be
written down in their place, else None."""


class Elsewhere(NamedTuple):
    """What journals of dead processes hold for a destination that is not ours; each open action counts as an event."""

    exporter: str
    destination: str
    address: str
    journals: int
    events: int


class Cursor(Protocol):
    """One destination's place in the journal. Leased and settled by that destination's worker only."""

    @property
    def destination(self) -> str:
        """What is written down of where this leads."""
        ...

    @property
    def address(self) -> str:
        """Where it was looked for, of a destination that has another name than its address; else empty."""
        ...

    def rename(self, destination: str, address: str) -> None:
        """Write down from now on that this leads there. Safe from any thread."""
        ...

    @property
    def low(self) -> int:
        """The first record that is neither delivered nor lost."""
        ...

    def available(self) -> int:
        """Return how many records can be leased now."""
        ...

    def lease(self, most: int, *, packed: bool = False, most_bytes: int = sys.maxsize) -> Sequence[Record]:
        """Take up to `most` records, in order; each is leased once until `rewind()`.

        Args:
            packed: Of what an action left no event is made: see `Record.is_packed`.
            most_bytes: The record that makes them so many bytes or more, as the journal has them, is the last.
        """
        ...

    def settle(self, sequence: int, lost: str | None = None) -> bool:
        """Account for one record: delivered, or lost for the given reason. False if it was settled before."""
        ...

    def deliver(self, sequences: Sequence[int]) -> None:
        """Account for these records as delivered, in any order; what was settled before stays as it was."""
        ...

    def rewind(self) -> None:
        """Give back every lease that is not settled: leasing goes on from the lowest of them."""
        ...

    def release(self) -> None:
        """Let the journal forget what every destination has settled."""
        ...

    def give_up(self, reason: str, first: int = 0) -> int:
        """Settle what is pending from `first` on as lost for this reason; return how many."""
        ...

    def account(self) -> Account:
        """Return what became of the records so far. Safe from any thread."""
        ...

    def losses(self) -> Sequence[Loss]:
        """Return the losses since the last call. Safe from any thread."""
        ...


class Adopted(Protocol):
    """The journal of a dead process, in our hands until our destinations have what is left in it."""

    @property
    def origin(self) -> Origin:
        """Who numbered these records."""
        ...

    @property
    def end(self) -> int:
        """The sequence after the last record."""
        ...

    @property
    def is_announced(self) -> bool:
        """True when it was said before that this journal was left."""
        ...

    @property
    def cursors(self) -> Mapping[tuple[str, str], Cursor]:
        """Those of our destinations, by exporter and destination as they were when it was taken over."""
        ...

    def disown(self, cursor: Cursor) -> None:
        """Say that this one is not ours after all; it stays as it is, for whoever comes for it."""
        ...

    def tend(self) -> bool:
        """Write down how far the cursors are; True when nothing is left to do for our destinations."""
        ...

    def close(self) -> None:
        """Let go of it: remove it when every destination has everything, else leave it for another process."""
        ...


class Journal(Protocol):
    """An append-only log of encoded events."""

    @property
    def origin(self) -> Origin:
        """Who numbers these records; a new one for each journal."""
        ...

    @property
    def end(self) -> int:
        """The sequence that the next record will get."""
        ...

    def append(self, key: str, payload: bytes, event: Recordable, sampled: bool) -> int:
        """Append one record: an event, what an action left, or feedback, and its encoded form; return its sequence, or `CLOSED`. Safe from any thread; never waits for a destination."""
        ...

    def note_start(self, action: StartedAction) -> bool:
        """Note that an action began, so that it can be closed if this process dies. Never raises.

        Returns:
            False where it would not survive the process, though it was to.
        """
        ...

    def forget_start(self, *event_ids: str) -> None:
        """Forget actions that began: they ended without an event, or with one that has another id."""
        ...

    def cursor(self, exporter: str, destination: str, *, durable: bool, address: str = "") -> Cursor:
        """Open the cursor of this exporter for this destination, at the end of the journal.

        One that is not durable ends with the process: what it has not settled then is lost.
        """
        ...

    def has_orphans(self) -> bool:
        """Tell, cheaply, whether there may be journals of dead processes."""
        ...

    def adopt(
        self,
        destinations: Sequence[tuple[str, str]],
        close_action: CloseAction,
        recognize: Recognize | None = None,
    ) -> Sequence[Adopted]:
        """Take over the journals of dead processes that hold something for these destinations.

        Args:
            recognize: Knows them also under other names; None: by these names only.
        """
        ...

    def elsewhere(self) -> Sequence[Elsewhere]:
        """Return what the last `adopt()` saw for destinations that are not ours. Safe from any thread."""
        ...

    def tend(self) -> bool:
        """Sync, write the cursors down, heal, keep to the caps; from one thread, often. True if there may be more."""
        ...

    def secure(self) -> int:
        """Bring to disk what can be brought; records below the returned sequence stay for another process."""
        ...

    def close(self, *, is_announced: bool = False) -> None:
        """Write everything down; remove what no destination needs, leave the rest for another process.

        Args:
            is_announced: Whoever takes it over need not say so: it was left as it should be.
        """
        ...

    def leave_to_parent(self) -> None:
        """In a forked child: close the copies of what belongs to the parent, above all locks."""
        ...

    def quarantine(self, record: Record, exporter: str, reason: str, detail: str) -> bool:
        """Keep a record that a destination refused for good; False when there is no place for it."""
        ...

    def health(self) -> JournalHealth:
        """Return where the records are now. Safe from any thread."""
        ...
