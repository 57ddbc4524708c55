"""What the pipeline asks of a journal: append on the agent's thread, one cursor for each destination.

    append ──►  0  1  2  3  4  5  6  7  8  9
                      ▲        ▲        ▲
                      │        │        └ end: the next sequence
                      │        └ next: the first record not leased yet
                      └ low: the first record not settled (delivered or lost)

One law, which tests check everywhere: `appended = delivered + pending + sum(lost.values())`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from otel_feedback.events.model import OutcomeEvent
from otel_feedback.events.record import Origin, Record

__all__ = ["Account", "Cursor", "Journal"]


class Account(NamedTuple):
    """What became of the records that one destination was to get."""

    appended: int
    delivered: int
    pending: int
    lost: Mapping[str, int]


class Cursor(Protocol):
    """One destination's place in the journal. Leased and settled by that destination's worker only."""

    @property
    def low(self) -> int:
        """The first record that is neither delivered nor lost."""
        ...

    def available(self) -> int:
        """Return how many records can be leased now."""
        ...

    def lease(self, most: int) -> Sequence[Record]:
        """Take up to `most` records, in order; each is leased once until `rewind()`."""
        ...

    def settle(self, sequence: int, lost: str | None = None) -> bool:
        """Account for one record: delivered, or lost for the given reason. False if it was settled before."""
        ...

    def rewind(self) -> None:
        """Give back every lease that is not settled: leasing goes on from the lowest of them."""
        ...

    def release(self) -> None:
        """Let the journal forget what every destination has settled."""
        ...

    def give_up(self, reason: str) -> int:
        """Settle everything that is pending as lost for this reason; return how many."""
        ...

    def account(self) -> Account:
        """Return what became of the records so far. Safe from any thread."""
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

    def append(self, key: str, payload: bytes, event: OutcomeEvent, sampled: bool) -> int:
        """Append one record; return its sequence. Safe from any thread; never waits for a destination."""
        ...

    def cursor(self, exporter: str, destination: str) -> Cursor:
        """Open the cursor of this exporter for this destination, at the end of the journal."""
        ...
