"""The newest events in memory, for `get_recent_events()`. Appending is atomic, so no lock is needed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from otel_feedback.events.ended import EndedAction
from otel_feedback.events.model import OutcomeEvent

__all__ = ["Ring"]


class Ring:
    """At most `size` events, the oldest leaving first."""

    def __init__(self, size: int) -> None:
        self._events: deque[OutcomeEvent | EndedAction] = deque(maxlen=size)
        self.append = self._events.append

    def __len__(self) -> int:
        return len(self._events)

    def newest(self, count: int, wanted: Callable[[OutcomeEvent], bool]) -> list[OutcomeEvent]:
        """Return the last `count` wanted events, newest last; of each event only the highest revision.

        An event stands where its first revision that is still here stood.
        """
        latest: dict[str, OutcomeEvent] = {}
        for recorded in self._snapshot():
            event = recorded if isinstance(recorded, OutcomeEvent) else recorded.event()
            known = latest.get(event.event_id)
            if known is None or event.revision >= known.revision:
                latest[event.event_id] = event
        matching = [event for event in latest.values() if wanted(event)]
        return matching[-count:] if count > 0 else []

    def find(self, event_id: str | None, run_id: str | None) -> OutcomeEvent | None:
        """Return the newest event of this id, or of this run; None where it is not here any more."""
        for recorded in reversed(self._snapshot()):
            if recorded.event_id == event_id or (run_id is not None and recorded.run_id == run_id):
                return recorded if isinstance(recorded, OutcomeEvent) else recorded.event()
        return None

    def _snapshot(self) -> list[OutcomeEvent | EndedAction]:
        while True:
            try:
                return list(self._events)
            except RuntimeError:  # appended to while copying; the next try nearly always succeeds
                continue
