"""What waits for one topic of the side lane: bounded, oldest first, and each accounted for.

    put ──► waiting ──take──► in flight ──settle──► sent, or lost
               ▲                  │
               └──── put_back ────┘          over the bound: the oldest that is waiting is lost

Guarantee: `put = sent + pending + lost`. Not safe from threads: guarded by its owner's lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from otel_feedback.events.trim import smaller_forms
from otel_feedback.retry import Backoff

__all__ = ["Notice", "NoticeLane"]

MOST_NOTICES = 10_000
MOST_BYTES = 16 * 1024 * 1024
"""Of the values that are pending: a dead letter may be as large as Kafka takes, or larger."""

SHUT_FIRST_S = 2.0
SHUT_MOST_S = 60.0
"""How long to leave a topic alone that is missing, or shut to us: somebody has to do something first."""


class Notice(NamedTuple):
    """One record for a topic beside the outcome topic. Only an event's value may be sent with less text."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]
    is_event: bool
    producer_id: bytes = b""
    """Of an event: whose it is, which is the key of its barest form."""

    def smaller(self) -> Iterator[Notice]:
        """Yield what may be sent where the notice is too large: the event with ever less text, at last nothing of it."""
        if self.is_event:
            for value in smaller_forms(self.value):
                yield self._replace(value=value)
            yield self._replace(value=b"")  # the headers say what it was
            yield self.bare()

    def bare(self) -> Notice:
        """Return what cannot be the reason of a refusal: no text of the event's, not even in headers or the key."""
        headers = [pair for pair in self.headers if pair[0] in _BARE]
        return self._replace(key=self.producer_id, value=b"", headers=headers)


_BARE = frozenset({
    "content-type", "producer_id", "sequence", "error.reason", "error.culprit",
    "original.topic", "original.partition", "original.offset",
})  # fmt: skip


class NoticeLane:
    """The notices for `topic`. Nothing is tried before `due_s`, by the monotonic clock."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.sent = 0
        self.lost = 0
        self.due_s = 0.0
        self.while_away = Backoff()
        self.while_shut = Backoff(SHUT_FIRST_S, SHUT_MOST_S)
        self._waiting: deque[Notice] = deque()
        self._in_flight: dict[int, Notice] = {}  # by identity: two may be equal
        self._bytes = 0

    @property
    def pending(self) -> int:
        """How many wait or are in flight."""
        return len(self._waiting) + len(self._in_flight)

    @property
    def settled(self) -> int:
        """How many were sent or lost."""
        return self.sent + self.lost

    def put(self, notice: Notice) -> int:
        """Take a notice; return how many older ones had to go."""
        self._waiting.append(notice)
        self._bytes += len(notice.value)
        return self._keep_within_bounds()

    def take(self, most: int) -> list[Notice]:
        """Put the oldest in flight and return them; none may be in flight."""
        taken = list(islice(self._waiting, most))
        for notice in taken:
            self._waiting.popleft()
            self._in_flight[id(notice)] = notice
        return taken

    def put_back(self) -> int:
        """Let what is in flight wait again, in its place; return how many had to go."""
        self._waiting.extendleft(reversed(self._in_flight.values()))
        self._in_flight.clear()
        return self._keep_within_bounds()

    def settle(self, notice: Notice, *, is_sent: bool) -> None:
        """Account for a notice in flight; nothing happens if it was given up meanwhile."""
        if self._in_flight.pop(id(notice), None) is None:
            return
        self._bytes -= len(notice.value)
        if is_sent:
            self.sent += 1
            self.while_away.reset()
            self.while_shut.reset()
        else:
            self.lost += 1

    def give_up(self) -> int:
        """Lose all that is pending; return how many that were."""
        given_up = self.pending
        self.lost += given_up
        self._waiting.clear()
        self._in_flight.clear()
        self._bytes = 0
        return given_up

    def _keep_within_bounds(self) -> int:
        gone = 0
        # the newest stays, however large it is
        while self.pending > MOST_NOTICES or (self._bytes > MOST_BYTES and len(self._waiting) > 1):
            self._bytes -= len(self._waiting.popleft().value)
            gone += 1
        self.lost += gone
        return gone
