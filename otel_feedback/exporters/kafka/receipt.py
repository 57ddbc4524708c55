"""What became of the records of one lease, read off the producer's futures; and what each Kafka error means.

Used on the worker's thread only: the futures are asked; what runs on the producer's thread does no more than wake it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from otel_feedback.errors import ExportError
from otel_feedback.events.record import Record
from otel_feedback.exporters.interface import Refusal
from otel_feedback.exporters.kafka.advice import advice_on
from otel_feedback.exporters.kafka.held import Held

if TYPE_CHECKING:
    from typing_extensions import Never

Result = tuple[Record, Refusal | None]

__all__ = [
    "REFUSED_NAMES",
    "TIMEOUT",
    "TOO_LARGE",
    "Future",
    "FuturePortion",
    "Judge",
    "KafkaReceipt",
    "PartReceipt",
    "Portion",
    "RefusedError",
    "Result",
    "concerns_all",
    "is_about_one_record",
    "is_refusal",
    "refusal_of",
    "unavailable",
]

TIMEOUT = "timeout"
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

_OF_ALL_NAMES = frozenset({"AuthorizationError", "SaslAuthenticationFailedError", "InvalidTopicError"})
"""Errors that no record can cause. Whether others do is tried out."""

_PART_OF_A_BATCH = "KafkaError"
"""What kafka-python says of records that the broker does not take because of another one in their batch."""

Judge = Callable[[Exception, Record], "Never"]
"""Raises for a record that failed, or was not acknowledged in time."""


class Future(Protocol):
    """What is asked of a future of kafka-python."""

    is_done: bool
    exception: Exception | None

    def add_both(self, f: Callable[[Any], None]) -> Any:
        """Call this with the value or the error, on kafka-python's thread."""
        ...


class Portion(Protocol):
    """Records that kafka-python answers for together."""

    @property
    def records(self) -> Sequence[Record]:
        """Which they are."""
        ...

    @property
    def is_done(self) -> bool:
        """True when it is known what became of them."""
        ...

    def failures(self) -> Sequence[Exception | None] | None:
        """Return the error of each record, None for one that was taken; None when all were. Asked when done."""
        ...


class FuturePortion:
    """One record, and its own future."""

    __slots__ = ("_future", "records")

    def __init__(self, record: Record, future: Future) -> None:
        self.records: Sequence[Record] = (record,)
        self._future = future

    @property
    def is_done(self) -> bool:
        return self._future.is_done

    def failures(self) -> Sequence[Exception | None] | None:
        return None if self._future.exception is None else (self._future.exception,)


class _Failed:
    """Records that failed in a way that may pass."""

    is_done = True

    def __init__(self, records: Sequence[Record], errors: Sequence[Exception]) -> None:
        self.records = records
        self._errors = errors

    def failures(self) -> Sequence[Exception | None] | None:
        return self._errors


class KafkaReceipt:
    """Follows the portions of one lease.

    Args:
        give_up_at: By the monotonic clock: then what is not acknowledged has failed.
        acknowledge: Told how many records were acknowledged.
        ask: Called before the portions are looked at: has the client say what it knows.
    """

    __slots__ = ("_acknowledge", "_ask", "_give_up_at", "_has_held", "_judge", "_refused", "_waiting")

    def __init__(
        self,
        waiting: list[Portion],
        refused: list[Result],
        judge: Judge,
        give_up_at: float,
        acknowledge: Callable[[int], None] = lambda _count: None,
        ask: Callable[[], object] = lambda: None,
    ) -> None:
        self._acknowledge = acknowledge
        self._ask = ask
        self._waiting = waiting
        self._has_held = any(isinstance(portion, Held) for portion in waiting)
        self._refused = refused
        self._judge = judge
        self._give_up_at = give_up_at

    @property
    def done(self) -> bool:
        return not self._waiting and not self._refused

    @property
    def unsettled(self) -> list[Record]:
        """The records of which nothing is known, or that failed, in order."""
        return sorted((record for portion in self._waiting for record in portion.records), key=_sequence)

    def poll(self) -> Iterable[Result]:
        if self._waiting:
            self._ask()
        if self._has_held:
            self._open()
        settled: list[Result] = self._refused
        refused = len(settled)
        self._refused = []
        waiting: list[Portion] = []
        failures: list[tuple[Record, Exception]] = []
        for portion in self._waiting:
            if not portion.is_done:
                waiting.append(portion)
                continue
            errors = portion.failures()
            if errors is None:
                settled += [(record, None) for record in portion.records]
                continue
            pairs = list(zip(portion.records, errors, strict=True))
            settled += [(record, None) for record, error in pairs if error is None]
            failed = [(record, error) for record, error in pairs if error is not None]
            if failed:
                waiting.append(_Failed([record for record, _ in failed], [error for _, error in failed]))
                failures += failed
        self._waiting = waiting
        if settled:
            self._acknowledge(len(settled) - refused)
            return settled  # first account for what is known; a failure is still there at the next poll
        if failures:
            record, error = max(failures, key=_tells)
            self._judge(error, record)
        if waiting and time.monotonic() >= self._give_up_at:
            late = ExportError(TIMEOUT, "records were not acknowledged in time", retryable=True)
            self._judge(late, waiting[0].records[0])
        return settled

    def _open(self) -> None:
        """Put what was held, and is on its way by now, in its place."""
        portions: list[Portion] = []
        refused: list[Result] = []
        for portion in self._waiting:
            opened = portion.opened() if isinstance(portion, Held) else None
            if opened is None:
                portions.append(portion)
            else:
                portions += opened[0]
                refused += opened[1]
        self._waiting = portions
        self._refused = self._refused + refused
        self._has_held = any(isinstance(portion, Held) for portion in portions)


class PartReceipt:
    """What became of a part of a lease, and then, not before `due_s` by the monotonic clock, the error that ended it."""

    done = False

    def __init__(self, results: list[Result], error: ExportError, due_s: float = 0.0) -> None:
        self._results = results
        self._error = error
        self._due_s = due_s

    def poll(self) -> Iterable[Result]:
        results, self._results = self._results, []
        if results or time.monotonic() < self._due_s:
            return results
        raise self._error


class RefusedError(Exception):
    """The broker refused a record of a portion."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


def is_about_one_record(exc: Exception) -> bool:
    """Tell whether a record was refused, this one or another in its batch."""
    return is_refusal(exc) or type(exc).__name__ == _PART_OF_A_BATCH


def concerns_all(exc: Exception) -> bool:
    """Tell whether no record can have caused this."""
    return isinstance(exc, OSError) or not _OF_ALL_NAMES.isdisjoint(cls.__name__ for cls in type(exc).__mro__)


def is_refusal(exc: Exception) -> bool:
    """Tell whether the broker says that it will never take a record."""
    return not REFUSED_NAMES.keys().isdisjoint(cls.__name__ for cls in type(exc).__mro__)


def _tells(failed: tuple[Record, Exception]) -> int:
    """Return how much an error tells of what was wrong."""
    error = failed[1]
    return 2 if is_refusal(error) else int(is_about_one_record(error))


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
    detail = detail if why is None else f"{detail} ({why})"
    todo = advice_on(detail)
    return ExportError("unavailable", detail if todo is None else f"{detail}; {todo}", retryable=True)


def _sequence(record: Record) -> int:
    return record.sequence


def _one_line(exc: Any) -> str:
    return " ".join(str(exc).split())[:300]
