"""Records that were not handed to a producer yet, in the place of the portions that they will be. Used on the worker's thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from otel_feedback.events.record import Record

if TYPE_CHECKING:
    from otel_feedback.exporters.kafka.receipt import Portion, Result

__all__ = ["Held"]


class Held:
    """Records that wait, as a portion that is never done: its receipt takes in its place what they were handed over as.

    Args:
        tend: Sends what is held, where that is possible by now.
    """

    is_done = False

    def __init__(self, records: Sequence[Record], tend: Callable[[], None]) -> None:
        self.records = records
        self._tend = tend
        self._sent: tuple[list[Portion], list[Result]] | None = None

    def sent(self, portions: list[Portion], refused: list[Result]) -> None:
        """Take what became of them when they were handed over."""
        self._sent = portions, refused

    def opened(self) -> tuple[list[Portion], list[Result]] | None:
        """Return what follows them, and those that cannot go, with why; None while they wait."""
        if self._sent is None:
            self._tend()
        return self._sent

    def failures(self) -> Sequence[Exception | None] | None:
        return None
