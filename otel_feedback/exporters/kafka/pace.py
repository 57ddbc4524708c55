"""How many events may be on their way to Kafka at once: fewer after they took too long, more again while all goes well.

On a slow line everything that is in flight has to arrive before it is given up and sent again, else nothing ever gets
through. What is not in flight is not in batches: so these become smaller, too, over all partitions.

    full ── took too long ──► a quarter ── acknowledged ──► double, up to half of what took too long, then lease by lease

Used on the worker's thread only.
"""

from __future__ import annotations

__all__ = ["Pace"]


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
