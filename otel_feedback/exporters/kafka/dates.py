"""The date of a record in Kafka: the event's own time where brokers take it, else the nearest that they do.

Brokers refuse records that are dated too far ahead (`message.timestamp.after.max.ms`, an hour in Kafka 4) or too long ago
(`message.timestamp.before.max.ms`), by their own clock, and with one such record its whole batch. So nothing is dated
later than now; and a refusal says between which dates it must be, from which both limits are learned, and how far this
clock is from the broker's. The payload and the header `ce_time` keep the event's own time.

Used on one thread.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from otel_feedback.events.model import epoch_us
from otel_feedback.events.record import Record

__all__ = ["NO_DATE_MS", "RecordDates", "is_about_date"]

NO_DATE_MS = -1
"""Kafka's `NO_TIMESTAMP`, which no limit applies to: the last resort."""

MOST_MARGIN_MS = 1_000
"""How far inside learned limits to stay, since clocks drift and a record waits before the broker looks at it."""

LEAST_RANGE_MS = 5_000
"""Where less than this is between the limits, a date would be outside before it arrives."""

_WITHIN = re.compile(r"timestamp should be within \[(-?\d+), (-?\d+)\]")


def is_about_date(exc: Exception) -> bool:
    """Tell whether a record was refused for its date."""
    # where several records of a batch are dated wrongly, each error is an InvalidRecordError, and only its text says so
    return type(exc).__name__ == "InvalidTimestampError" or _WITHIN.search(str(exc)) is not None


class RecordDates:
    """Dates between limits, which are known only once a broker has refused a record.

    Args:
        now_ms: The wall clock, in milliseconds since 1970.
    """

    def __init__(self, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self._now_ms = now_ms
        self._before_ms: int | None = None  # how long ago a record may be dated; None: as long as it likes
        self._after_ms = 0  # how far ahead; negative where this clock is ahead of the broker's

    def limits(self) -> tuple[int, int]:
        """Return the earliest and the latest date that is to be given now; both may be `NO_DATE_MS`."""
        now_ms = self._now_ms()
        latest_ms = now_ms + self._after_ms
        earliest_ms = 0 if self._before_ms is None else max(0, now_ms - self._before_ms)
        return (earliest_ms, latest_ms) if latest_ms - earliest_ms >= LEAST_RANGE_MS else (NO_DATE_MS, NO_DATE_MS)

    @staticmethod
    def date_ms(record: Record, limits: tuple[int, int]) -> int:
        """Return the date of a record: its event's time, or the limit that is nearest to it."""
        earliest_ms, latest_ms = limits
        return min(max(epoch_us(record.timestamp) // 1_000, earliest_ms), latest_ms)

    def limit(self, before_ms: int | None, after_ms: int) -> bool:
        """Take over limits that somebody knows; False when they are those that it has."""
        had = self._before_ms, self._after_ms
        margin_ms = MOST_MARGIN_MS if before_ms is None else min(MOST_MARGIN_MS, (before_ms + after_ms) // 4)
        self._before_ms = None if before_ms is None else before_ms - margin_ms
        self._after_ms = min(0, after_ms - margin_ms)
        return (self._before_ms, self._after_ms) != had

    def learn(self, exc: Exception) -> bool:
        """Take over the limits that a refusal names; True when it names some."""
        found = _WITHIN.search(str(exc))
        if found is None:
            return False
        earliest_ms, latest_ms = int(found[1]), int(found[2])
        margin_ms = min(MOST_MARGIN_MS, max(0, latest_ms - earliest_ms) // 4)
        now_ms = self._now_ms()
        self._before_ms = now_ms - earliest_ms - margin_ms
        self._after_ms = min(0, latest_ms - margin_ms - now_ms)
        return True
