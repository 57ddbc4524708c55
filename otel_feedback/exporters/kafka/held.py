"""Records that were not handed to a producer yet, and are answered for like those that were. Used on the worker's thread only."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from otel_feedback.events.record import Record
from otel_feedback.exporters.kafka.receipt import NotTakenError, Portion, Result

__all__ = ["Held"]


class Held:
    """Records that wait, as a portion.

    Args:
        tend: Sends what is held, where that is possible by now.
    """

    def __init__(self, records: Sequence[Record], tend: Callable[[], None]) -> None:
        self.records = records
        self._tend = tend
        self._portions: list[Portion] | None = None
        self._refused: list[Result] = []

    def sent(self, portions: list[Portion], refused: list[Result]) -> None:
        """Take what became of them when they were handed over."""
        self._portions, self._refused = portions, refused
        self.records = [record for record, _ in refused] + [one for portion in portions for one in portion.records]

    @property
    def is_done(self) -> bool:
        if self._portions is None:
            self._tend()
        return self._portions is not None and all(portion.is_done for portion in self._portions)

    def failures(self) -> Sequence[Exception | None] | None:
        errors: list[Exception | None] = [NotTakenError(why) for _, why in self._refused if why is not None]
        for portion in self._portions or ():
            errors += portion.failures() or [None] * len(portion.records)
        return errors if any(errors) else None
