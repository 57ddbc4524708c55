"""How many events may be on their way to Kafka at once: fewer after they took too long, more again while all goes well.

On a slow line everything that is in flight has to arrive before it is given up and sent again, else nothing ever gets
through. What is not in flight is not in batches: so these become smaller, too, over all partitions.

    full ── took too long ──► a quarter ── acknowledged ──► double, up to half of what took too long, then lease by lease

And how many bytes of them, however slow they are: what is on its way is in memory, here and in the client.

Used on the worker's thread only.
"""

from __future__ import annotations

from collections import deque

from otel_feedback.exporters.interface import Receipt

__all__ = ["Load", "Pace"]

MOST_BYTES = 32 << 20
"""Of payloads that are on their way, and one lease more: `buffer.memory` of Kafka's own producer, by default. Events of a usual size
are 6 MB where as many as may be are in flight."""


class Pace:
    """A window of events.

    Args:
        lease_events: How many a lease has at most.
        max_leases: How many leases at most are in flight while all goes well.
    """

    def __init__(self, lease_events: int, max_leases: int) -> None:
        self._full_lease = lease_events
        self._most = self._window = float(lease_events * max_leases)
        self._careful_from = self._most

    @property
    def lease_events(self) -> int:
        """How many events a lease is to have at most."""
        return min(self._full_lease, int(self._window))

    @property
    def max_leases(self) -> int:
        """How many leases may be in flight."""
        return max(1, int(self._window) // self.lease_events)

    def slow_down(self) -> None:
        """Events took too long to be acknowledged."""
        self._careful_from = max(1.0, self._window / 2)
        self._window = max(1.0, self._window / 4)

    def acknowledge(self, events: int) -> None:
        """So many events arrived."""
        if self._window < self._most:
            more = events if self._window < self._careful_from else events * self.lease_events / self._window
            self._window = min(self._most, self._window + more)


class Load:
    """The leases that are on their way, by their bytes."""

    def __init__(self) -> None:
        self._leases: deque[tuple[Receipt, int]] = deque()
        self._bytes = 0  # of these, among which some may be done

    def add(self, receipt: Receipt, size: int) -> None:
        """Count one more, of so many bytes."""
        leases = self._leases
        while leases and leases[0][0].done:
            self._bytes -= leases.popleft()[1]
        leases.append((receipt, size))
        self._bytes += size

    def is_full(self) -> bool:
        """Tell whether nothing more may go until something has arrived."""
        if self._bytes < MOST_BYTES:
            return False
        self._leases = deque(one for one in self._leases if not one[0].done)
        self._bytes = sum(size for _, size in self._leases)
        return self._bytes >= MOST_BYTES
