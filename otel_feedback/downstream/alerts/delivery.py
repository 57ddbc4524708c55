"""From the outbox to the channels: a lane each, with a thread, a backoff and a limit of its own, so that none waits for another.

    outbox ──of one channel and one rule──► Lane ──thread──► channel
       ▲                                                       │
       └────────────────────── Done ◄──────────────────────────┘

A lane has one job at a time. What waits meanwhile of the same rule goes together with the next.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from queue import SimpleQueue
from typing import NamedTuple

from otel_feedback.downstream.alerts.advancing import RATE_S
from otel_feedback.downstream.alerts.state import Notice
from otel_feedback.errors import describe
from otel_feedback.retry import Backoff

__all__ = ["Clock", "Done", "Lane", "batch_of"]

FIRST_S = 1.0
MOST_S = 300.0
MOST_AT_ONCE = 200
"""Alerts that one message names."""


def _now() -> datetime:
    return datetime.now(timezone.utc)


class Clock(NamedTuple):
    """The time: what is written down, and in seconds how long something waits."""

    now: Callable[[], datetime] = _now
    monotonic: Callable[[], float] = time.monotonic


class Done(NamedTuple):
    """What became of a job: the numbers of what it sent, and why not, else None."""

    lane: Lane
    numbers: frozenset[int]
    failure: str | None


class Lane:
    """Does the jobs of one channel, one at a time.

    Args:
        name: The channel's.
        done: Where it says what became of each.
        clock: The time.
    """

    def __init__(self, name: str, done: SimpleQueue[Done | None], clock: Clock) -> None:
        self.name = name
        self.failing: str | None = None
        """The rule that failed last, so that another has its turn."""
        self._done = done
        self._clock = clock
        self._jobs: SimpleQueue[tuple[frozenset[int], Callable[[], None]]] = SimpleQueue()
        self._backoff = Backoff(FIRST_S, MOST_S)
        self._due_s = 0.0
        self._is_busy = False
        self._thread: threading.Thread | None = None

    def wait_s(self) -> float | None:
        """Return how long until it may do something, in seconds; None: it says when, by `Done`."""
        return None if self._is_busy else max(0.0, self._due_s - self._clock.monotonic())

    def start(self, numbers: frozenset[int], job: Callable[[], None]) -> None:
        """Do a job; when it raises it was not done."""
        self._is_busy = True
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=f"otel-feedback-alerts-{self.name}", daemon=True)
            self._thread.start()
        self._jobs.put((numbers, job))

    def settle(self, done: Done) -> None:
        """Take note of what became of its job."""
        self._is_busy = False
        if done.failure is None:
            self._backoff.reset()
            self._due_s = 0.0
        else:
            self._due_s = self._clock.monotonic() + self._backoff.next_s()

    def _work(self) -> None:
        while True:
            numbers, job = self._jobs.get()
            try:
                job()
            except Exception as exc:
                self._done.put(Done(self, numbers, str(exc) or describe(exc)))
            else:
                self._done.put(Done(self, numbers, None))


def batch_of(
    waiting: Sequence[Notice], failing: str | None, sent: Sequence[datetime], at_most: int, now: datetime
) -> list[Notice]:
    """Return what a channel is to be sent next: all that waits of one rule; nothing while it has had enough.

    Args:
        waiting: The notices of this channel, in order.
        failing: The rule that failed last: it comes after all others.
        sent: When the channel was sent something.
        at_most: How often it may be, in an hour.
        now: The time.
    """
    lately = sum(now - at < timedelta(seconds=RATE_S) for at in sent)
    if not waiting or lately >= at_most:
        return []
    rules = list(dict.fromkeys(notice.alert.key.rule for notice in waiting))
    after = [rule for rule in rules if rule != failing]
    chosen = (after or rules)[0]
    return [notice for notice in waiting if notice.alert.key.rule == chosen][:MOST_AT_ONCE]
