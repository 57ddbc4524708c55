"""How long to wait before the next try: exponential backoff with full jitter.

Source of the scheme: aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter.
"""

from __future__ import annotations

import random
from collections.abc import Callable

__all__ = ["Backoff"]


class Backoff:
    """Delays that grow from `first_s` to at most `most_s`, each drawn at random from its half upwards."""

    def __init__(self, first_s: float = 0.1, most_s: float = 10.0, draw: Callable[[], float] = random.random) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._draw = draw
        self._tries = 0

    @property
    def tries(self) -> int:
        """Failures since the last success."""
        return self._tries

    def next_s(self, asked_s: float | None = None) -> float:
        """Return the next delay in seconds; what the destination asked for is a lower bound."""
        ceiling = min(self._most_s, self._first_s * 2.0 ** min(self._tries, 30))
        self._tries += 1
        delay = ceiling * (0.5 + 0.5 * self._draw())
        return delay if asked_s is None else max(delay, asked_s)

    def reset(self) -> None:
        """Start again from the first delay."""
        self._tries = 0
