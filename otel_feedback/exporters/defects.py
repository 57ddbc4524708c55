"""Records that may make an exporter fail in a way that none should: found one by one, and refused in the end.

Used on one thread; a source is whose records they are, a cursor or a producer.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

__all__ = ["Defects"]

MOST_DEFECTS = 3
"""Times that a record may make an exporter fail in a way that none should, before it is refused.

Of the next one twice as many, until one is delivered: what fails with every record is not the records' fault."""


class Defects:
    """Errors in a row that no exporter should raise, by whose records they were."""

    def __init__(self) -> None:
        self._in_a_row: dict[Hashable, int] = {}
        self._most = MOST_DEFECTS

    def most(self, source: Hashable, lease_events: int) -> int:
        """Return how many records to lease: one by one after a defect, so that a record which provokes it is found."""
        return 1 if source in self._in_a_row else lease_events

    def count(self, source: Hashable, records: int) -> bool:
        """Count one more, with a lease of so many records; True when it is to be refused."""
        defects = self._in_a_row.get(source, 0)
        if records > 1 or defects < self._most:
            self._in_a_row[source] = defects + 1
            return False
        self._in_a_row[source], self._most = 1, self._most * 2
        return True

    def end(self, sources: Iterable[Hashable]) -> None:
        """Records of these were settled."""
        self._most = MOST_DEFECTS
        for source in sources:
            self.forget(source)

    def forget(self, source: Hashable) -> None:
        """Nothing more is leased from this one, or one of its records was settled."""
        self._in_a_row.pop(source, None)
