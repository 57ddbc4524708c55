"""The newest events in memory, for `get_recent_events()`. Appending is atomic, so no lock is needed.

Of an action that ended it is what the journal has of it, which an event is made of when somebody asks: some hundred bytes in
place of all that the action was made of, which its agent would have to do without for the next thousand actions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec

from otel_feedback.events.ended import unpack
from otel_feedback.events.model import OutcomeEvent

__all__ = ["Ring"]

_text = msgspec.json.Encoder().encode


class Ring:
    """At most `size` events, or what ended actions left (`events.ended.pack`), the oldest leaving first."""

    def __init__(self, size: int) -> None:
        self._events: deque[OutcomeEvent | bytes] = deque(maxlen=size)
        self.append = self._events.append

    def __len__(self) -> int:
        return len(self._events)

    def newest(self, count: int, wanted: Callable[[OutcomeEvent], bool]) -> list[OutcomeEvent]:
        """Return the last `count` wanted events, newest last; of each event only the highest revision.

        An event stands where its first revision that is still here stood.
        """
        latest: dict[str, OutcomeEvent] = {}
        for recorded in self._snapshot():
            event = _event_of(recorded)
            known = latest.get(event.event_id)
            if known is None or event.revision >= known.revision:
                latest[event.event_id] = event
        matching = [event for event in latest.values() if wanted(event)]
        return matching[-count:] if count > 0 else []

    def find(self, event_id: str | None, run_id: str | None) -> OutcomeEvent | None:
        """Return the newest event of this id, or of this run; None where it is not here any more."""
        words = [_text(wanted)[1:-1] for wanted in (event_id, run_id) if wanted is not None]
        for recorded in reversed(self._snapshot()):
            if isinstance(recorded, bytes) and not any(word in recorded for word in words):
                continue  # a run without a name has that of its trace, with which the event's id begins
            event = _event_of(recorded)
            if event.event_id == event_id or (run_id is not None and event.run_id == run_id):
                return event
        return None

    def _snapshot(self) -> list[OutcomeEvent | bytes]:
        while True:
            try:
                return list(self._events)
            except RuntimeError:  # appended to while copying; the next try nearly always succeeds
                continue


def _event_of(recorded: OutcomeEvent | bytes) -> OutcomeEvent:
    return unpack(recorded).event() if isinstance(recorded, bytes) else recorded
