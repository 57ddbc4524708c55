"""Which events are recorded at all: a user's filter, and a limit of events a second for each agent.

Input: events that have been redacted. Output: why an event is dropped on purpose, or nothing. On the agent's thread, one
lock for some lines; memory is bounded. Guarantee: of an event that was let through every later revision is let through,
so no reader keeps a stale one. One that was dropped is judged anew when its next revision comes: each is complete.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final

from otel_feedback.events.model import OutcomeEvent

__all__ = ["FILTERED", "RATE_LIMITED", "Admission", "AgentRates", "EventFilter"]

FILTERED: Final = "filtered"
RATE_LIMITED: Final = "rate_limited"

EventFilter = Callable[[OutcomeEvent], Any]

MOST_AGENTS = 1_000
MOST_EVENTS = 10_000
"""Events whose later revisions are let through for sure."""


class AgentRates:
    """A token bucket for each agent: `rate` events a second, and as many at once, at least one.

    Beyond 1,000 agents those that have nothing saved up share one bucket, so that new names are no way around the limit.
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = max(1.0, rate)
        self._clock = clock
        self._buckets: dict[str | None, tuple[float, float]] = {}  # tokens, when; the longest unused first

    def take(self, agent: str | None) -> bool:
        """Take a token of this agent; False where none is left."""
        now = self._clock()
        bucket = self._buckets.pop(agent, None)
        if bucket is None:
            if agent is not None and len(self._buckets) >= MOST_AGENTS and not self._forget_one(now):
                return self.take(None)
            bucket = (self._burst, now)
        tokens = min(self._burst, bucket[0] + (now - bucket[1]) * self._rate)
        is_free = tokens >= 1.0
        self._buckets[agent] = (tokens - is_free, now)
        return is_free

    def _forget_one(self, now: float) -> bool:
        """Forget the bucket that was not used for longest, if it is full again: it would be made anew as it is."""
        agent, (tokens, since) = next(iter(self._buckets.items()))
        if tokens + (now - since) * self._rate < self._burst:
            return False
        del self._buckets[agent]
        return True


class Admission:
    """Judges events.

    Args:
        event_filter: Returns whether an event is to be recorded; one that raises keeps the event.
        rate: Events a second for each agent; None: no limit.
        failed: Told the exception of a filter that raised.
    """

    def __init__(
        self, event_filter: EventFilter | None, rate: float | None, failed: Callable[[Exception], None]
    ) -> None:
        self._filter = event_filter
        self._rates = None if rate is None else AgentRates(rate)
        self._failed = failed
        self._lock = threading.RLock()  # re-entrant: a finaliser may record an action at any moment
        self._let_through: dict[str, None] = {}  # guarded by self._lock

    def drops(self, event: OutcomeEvent) -> str | None:
        """Return why this event is not to be recorded, or None."""
        if self._filter is None and self._rates is None:
            return None
        if event.event_id in self._let_through:
            return None
        if self._filter is not None and not self._passes(self._filter, event):
            return FILTERED
        with self._lock:
            if self._rates is not None and not self._rates.take(event.agent_name):
                return RATE_LIMITED
            if len(self._let_through) >= MOST_EVENTS:
                del self._let_through[next(iter(self._let_through))]
            self._let_through[event.event_id] = None
        return None

    def _passes(self, event_filter: EventFilter, event: OutcomeEvent) -> bool:
        try:
            return bool(event_filter(event))
        except Exception as exc:  # a user's function may raise anything; rather an event too many than one lost
            self._failed(exc)
            return True

    def renew_after_fork(self) -> None:
        """In a forked child: a thread that is not here may have held the lock."""
        self._lock = threading.RLock()
