"""What became of the records of one lease, read off the producer's futures; and what each Kafka error means.

Used on the worker's thread only: the futures are asked, no callback runs on the producer's thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from otel_feedback.errors import ExportError
from otel_feedback.events.record import Record
from otel_feedback.exporters.interface import Refusal

if TYPE_CHECKING:
    from kafka.producer.future import FutureRecordMetadata
    from typing_extensions import Never

    Sent = tuple[Record, FutureRecordMetadata]
    Result = tuple[Record, Refusal | None]

__all__ = [
    "REFUSED_NAMES",
    "TOO_LARGE",
    "KafkaReceipt",
    "PartReceipt",
    "RefusedError",
    "is_about_one_record",
    "refusal_of",
    "unavailable",
]

TOO_LARGE = "too_large"
REFUSED_NAMES = {
    "MessageSizeTooLargeError": TOO_LARGE,
    "RecordListTooLargeError": TOO_LARGE,
    "InvalidRecordError": "invalid_record",
    "InvalidTimestampError": "invalid_record",
    "UnsupportedForMessageFormatError": "invalid_record",
    "PolicyViolationError": "policy",
}
"""Errors that are about one record and will not pass. All others may: a grant, a leader, a topic can come."""


class KafkaReceipt:
    """Follows the futures of one lease. `judge` raises for a future that failed."""

    __slots__ = ("_give_up_at", "_judge", "_refused", "_waiting")

    def __init__(
        self, waiting: list[Sent], refused: list[Result], judge: Callable[[Exception], Never], give_up_at: float
    ) -> None:
        self._waiting = waiting
        self._refused = refused
        self._judge = judge
        self._give_up_at = give_up_at

    @property
    def done(self) -> bool:
        return not self._waiting and not self._refused

    @property
    def unsettled(self) -> list[Record]:
        """The records of which nothing is known, or that failed."""
        return [record for record, _ in self._waiting]

    def poll(self) -> Iterable[Result]:
        settled: list[Result] = self._refused
        self._refused = []
        waiting: list[Sent] = []
        failure: Exception | None = None
        for pair in self._waiting:
            record, future = pair
            if not future.is_done:
                waiting.append(pair)
            elif future.exception is None:
                settled.append((record, None))
            else:
                failure = future.exception
                waiting.append(pair)
        self._waiting = waiting
        if settled:
            return settled  # first account for what is known; a failure is still there at the next poll
        if failure is not None:
            self._judge(failure)
        if waiting and time.monotonic() >= self._give_up_at:
            raise ExportError("timeout", "records were not acknowledged in time", retryable=True)
        return settled


class PartReceipt:
    """What became of a part of a lease, and then the error that ended it."""

    done = False

    def __init__(self, results: list[Result], error: ExportError) -> None:
        self._results = results
        self._error = error

    def poll(self) -> Iterable[Result]:
        results, self._results = self._results, []
        if results:
            return results
        raise self._error


class RefusedError(Exception):
    """The broker refused a record of a portion."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


def is_about_one_record(exc: Exception) -> bool:
    return not REFUSED_NAMES.keys().isdisjoint(cls.__name__ for cls in type(exc).__mro__)


def refusal_of(exc: Exception) -> Refusal:
    """Return why this record is refused for good, or raise what may pass."""
    detail = f"{type(exc).__name__}: {_one_line(exc)}"
    for cls in type(exc).__mro__:
        if cls.__name__ in REFUSED_NAMES:
            return Refusal(REFUSED_NAMES[cls.__name__], detail)
    if isinstance(exc, (TypeError, ValueError, AssertionError)):
        return Refusal("invalid_record", detail)
    raise unavailable(exc) from exc


def unavailable(exc: Exception, *, why: str | None = None) -> ExportError:
    """Return the error that may pass; `why` says more than kafka-python's exception does."""
    if isinstance(exc, ExportError):
        return exc
    name = type(exc).__name__
    detail = f"{name}: {_one_line(exc).removeprefix(f'{name}: ')}"
    return ExportError("unavailable", detail if why is None else f"{detail} ({why})", retryable=True)


def _one_line(exc: Any) -> str:
    return " ".join(str(exc).split())[:300]
