"""What a worker asks of a destination. An exporter lives on its worker's thread and needs no locks for it.

`export` may hand records over without waiting for the answer; the receipt tells later what became of each.
An `ExportError` from `export` or `Receipt.poll` concerns everything that is in flight: retryable, the worker
gives up all receipts, calls `abandon()`, waits, and leases again from the lowest unsettled record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from otel_feedback.errors import ExportError
from otel_feedback.events.record import Record

__all__ = [
    "LEASE_BYTES",
    "Answering",
    "Asked",
    "Exporter",
    "Identifying",
    "Interruptible",
    "Notices",
    "Packing",
    "Receipt",
    "Redirecting",
    "Refusal",
    "Settled",
    "Telling",
]


LEASE_BYTES = 4 << 20
"""What a lease may hold of records that are large: as much as a journal on disk keeps in memory of its newest, so that where
events are small, and those are leased, nothing has to be counted."""


class Refusal(NamedTuple):
    """Why a destination will never take a record: a stable word for metrics, a line for people."""

    reason: str
    detail: str


class Receipt(Protocol):
    """The answer to one lease, as far as it is known."""

    @property
    def done(self) -> bool:
        """True when `poll` has told of every record of the lease."""
        ...

    def poll(self) -> Iterable[tuple[Record, Refusal | None]]:
        """Return what became known since the last call: delivered (None) or refused for good.

        Raises:
            ExportError: A record failed in a way that may pass.
        """
        ...


class Settled:
    """The receipt of an exporter that knows the answer at once: what became of these, and then why the rest has to wait."""

    __slots__ = ("_error", "_results")

    def __init__(self, results: Iterable[tuple[Record, Refusal | None]], error: ExportError | None = None) -> None:
        self._results = list(results)
        self._error = error

    @property
    def done(self) -> bool:
        return not self._results and self._error is None

    def poll(self) -> Iterable[tuple[Record, Refusal | None]]:
        results, self._results = self._results, []
        if not results and self._error is not None:
            raise self._error
        return results


class Exporter(Protocol):
    """One destination of outcome events.

    `name` and `destination` identify its cursor. A lease has at most `lease_events` records, of which the one that makes them
    `lease_bytes` or more is the last; it is made after `linger_s` seconds at the latest, and at most `max_leases` are in flight.
    One that is not `durable` is the process's own, like stderr: no other process delivers there in its place.
    """

    name: str
    linger_s: float
    lease_bytes: int
    durable: bool

    @property
    def destination(self) -> str:
        """Where this leads, as it is written down and shown."""
        ...

    @property
    def lease_events(self) -> int:
        """How many records a lease may have now, at least 1."""
        ...

    @property
    def max_leases(self) -> int:
        """How many leases may be in flight now, at least 1."""
        ...

    def export(self, lease: Sequence[Record]) -> Receipt:
        """Hand over one lease, whose records are all of one origin.

        Raises:
            ExportError: The destination did not take it; not retryable means that it never will.
        """
        ...

    def abandon(self) -> None:
        """Forget everything in flight, so that none of it is sent after what will be leased again."""
        ...

    def close(self, timeout_s: float) -> None:
        """Release connections and files; nothing is in flight. Called once, last, from the worker's thread."""
        ...

    def after_fork(self) -> None:
        """Drop, in a forked child, what belongs to the parent: without closing, flushing or waiting."""
        ...


@runtime_checkable
class Answering(Protocol):
    """An exporter that says when there is an answer, so that its worker need not ask all the time."""

    def call_when_answered(self, answered: Callable[[], None]) -> None:
        """Call this, from any thread, whenever a receipt may have something new to tell."""
        ...


@runtime_checkable
class Asked(Protocol):
    """An exporter that has to be asked whether there are answers, and knows how soon that may be worth while."""

    @property
    def ask_s(self) -> float:
        """How long to wait before it is asked again, in seconds."""
        ...

    def ask(self) -> bool:
        """Take in what the destination says; True when a receipt may have something new to tell."""
        ...


@runtime_checkable
class Identifying(Protocol):
    """An exporter that knows which destination it has only when it has connected; `destination` is its address until then.

    Nothing is exported before it is known.
    """

    @property
    def address(self) -> str:
        """Where the destination is looked for."""
        ...

    @property
    def is_identified(self) -> bool:
        """True when it is known. Safe from any thread."""
        ...

    def identify(self) -> None:
        """Find it out, on the worker's thread.

        Raises:
            ExportError: It could not be reached.
        """
        ...

    def is_same(self, destination: str, address: str) -> bool:
        """Tell whether what was written down for a destination, found at an address, is this one's. Safe from any thread.

        Until it is identified, by the address; then ask again.
        """
        ...


@runtime_checkable
class Telling(Protocol):
    """An exporter that knows what it waits for before that has failed."""

    def trouble(self, since_s: float) -> str | None:
        """Return what has stood in the way since then, by the monotonic clock, or does now. Safe from any thread.

        Empty where what was handed over is not on its way yet, so that no answer is none to be missed: an error will say more.
        """
        ...


@runtime_checkable
class Interruptible(Protocol):
    """An exporter that need not be waited for while it finds out its destination."""

    def interrupt(self) -> None:
        """Have `identify` come to an end at once, by an ExportError, now or when it is called: its worker stops. From any thread."""
        ...


@runtime_checkable
class Redirecting(Protocol):
    """An exporter that sends some records elsewhere than they were meant to go."""

    @property
    def redirected(self) -> Mapping[str, int] | None:
        """How many, by why; None where that cannot be. Safe from any thread."""
        ...


@runtime_checkable
class Packing(Protocol):
    """An exporter that takes records packed, as the journal has them, and makes their events elsewhere."""

    takes_packed: bool


class Notices(Protocol):
    """A side lane for what is not an outcome event: dead letters and the account. Safe from any thread; never raises."""

    def dead_letter(self, record: Record, refusal: Refusal) -> None:
        """Send a record that was refused for good to where such records go."""
        ...

    def audit(self, key: str, payload: bytes) -> None:
        """Send one record of the account; `payload` is JSON."""
        ...

    def prepare(self) -> None:
        """Connect now, since something will be sent soon."""
        ...

    def close(self, timeout_s: float) -> None:
        """Send what is waiting and end, within so many seconds."""
        ...

    def after_fork(self) -> None:
        """Drop, in a forked child, what belongs to the parent: without closing, flushing or waiting."""
        ...

    def account(self) -> Mapping[str, int]:
        """Return how many notices are `sent`, `pending` and `lost`."""
        ...
