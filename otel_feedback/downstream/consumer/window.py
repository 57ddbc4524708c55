"""Which events were handled lately, and in which revision: what a repeat is told by. Bounded; not thread-safe."""

from __future__ import annotations

__all__ = ["SeenWindow"]


class SeenWindow:
    """Remembers the newest `size` events that were handled, and up to as many before them.

    Args:
        size: Whole number of at least 0; with 0 nothing is remembered.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        # two halves: taking the oldest out of one dict costs more the more were taken out before
        self._newer: dict[str, int] = {}
        self._older: dict[str, int] = {}

    def revision_of(self, event_id: str) -> int | None:
        """Return the highest revision that is remembered; None of an event that is not."""
        revision = self._newer.get(event_id)
        return self._older.get(event_id) if revision is None else revision

    def note(self, event_id: str, revision: int) -> None:
        """Remember an event that was handled."""
        if len(self._newer) >= self._size:
            self._older, self._newer = self._newer, {}
        if self._size:
            self._newer[event_id] = revision
