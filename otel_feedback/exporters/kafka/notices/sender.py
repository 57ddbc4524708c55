"""Sends the notices for one topic and waits for the answers, on the side lane's thread.

All together; when that fails, those that are left one by one: with ever less of what may be cut where one is too large,
dated otherwise where it is the date, else empty, and at last with nothing in it that can have got the original refused. Each is settled
as sent or refused for good, or `ExportError` says why it has to wait.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from otel_feedback.errors import ExportError
from otel_feedback.exporters.interface import Refusal
from otel_feedback.exporters.kafka.connection import KafkaConnection
from otel_feedback.exporters.kafka.dates import NO_DATE_MS, RecordDates, is_about_date
from otel_feedback.exporters.kafka.notices.lane import Notice
from otel_feedback.exporters.kafka.receipt import TIMEOUT, TOO_LARGE, concerns_all, is_refusal, refusal_of, unavailable

if TYPE_CHECKING:
    from kafka.producer.future import FutureRecordMetadata

    from otel_feedback.exporters.kafka.producer import OutcomeProducer

__all__ = ["NOT_ALLOWED", "NO_TOPIC", "PRODUCER_OPTIONS", "NoticeSender"]

NO_TOPIC = "no_topic"
NOT_ALLOWED = "not_allowed"
"""Reasons that somebody has to do something about."""

# for a topic that is missing kafka-python asks ten times a second, and writes an error each time
PRODUCER_OPTIONS = {"max_block_ms": 2_000}

GIVE_UP_S = 30.0

WAIT_S = 0.1
"""How long to wait at a time, so that the end is noticed."""

_NO_TOPIC_NAMES = frozenset({"UnknownTopicOrPartitionError", "InvalidTopicError"})
_NOT_ALLOWED_NAMES = frozenset({"TopicAuthorizationFailedError", "ClusterAuthorizationFailedError"})

Settle = Callable[[Notice, Refusal | None], None]


class NoticeSender:
    """Sends through a connection of its own.

    Args:
        connection: Used on this thread only.
        is_over: Tells that it is too late to wait any longer.
        give_up_s: How long notices may stay unacknowledged before the producer is built anew, in seconds.
    """

    def __init__(self, connection: KafkaConnection, is_over: Callable[[], bool], give_up_s: float = GIVE_UP_S) -> None:
        self._connection = connection
        self._is_over = is_over
        self._give_up_s = give_up_s
        self._dates = RecordDates()
        self._has_date, self._has_learned = True, False

    def send(self, topic: str, notices: Sequence[Notice], settle: Settle) -> None:
        """Send these; `settle` hears of each that was taken (None) or refused for good.

        Raises:
            ExportError: The others have to wait. Its reason is `NO_TOPIC`, `NOT_ALLOWED` or something that passes.
        """
        left, failure = self._exchange(topic, [(notice, notice) for notice in notices], settle)
        if failure is not None:
            _raise_if_for_all(failure, topic)
        for notice in left:
            self._send_alone(topic, notice, settle)

    def _send_alone(self, topic: str, notice: Notice, settle: Settle) -> None:
        form, bare = notice, notice.bare() if notice.is_event else notice
        smaller, emptier = notice.smaller(), iter([notice._replace(value=b"")])
        while True:
            _, failure = self._exchange(topic, [(notice, form)], settle)
            if failure is None:
                return
            _raise_if_for_all(failure, topic)
            if is_about_date(failure) and self._date_otherwise(failure):
                continue
            refusal = refusal_of(failure) if is_refusal(failure) or form == bare else None  # what passes is raised
            if form == bare:
                settle(notice, refusal)
                return
            form = next(smaller if refusal is not None and refusal.reason == TOO_LARGE else emptier, bare)

    def _date_otherwise(self, failure: Exception) -> bool:
        """Date notices within the limits that the broker names, or else not at all; False when they are not already."""
        had_date, had_learned = self._has_date, self._has_learned
        self._has_learned = self._dates.learn(failure)
        self._has_date = had_date and self._has_learned and not had_learned
        return had_date

    def _exchange(
        self, topic: str, pairs: Sequence[tuple[Notice, Notice]], settle: Settle
    ) -> tuple[list[Notice], Exception | None]:
        """Send notices in their forms, wait; return those that were not taken, and why one of them was not."""
        producer = self._ready_producer(topic)
        if self._is_over():  # connecting took too long: these are counted as lost by now
            raise ExportError("over", "the end came first", retryable=True)
        # dated now: a date that was refused would be so again, and old records are deleted soon
        date_ms = self._dates.limits()[1] if self._has_date else NO_DATE_MS
        sent: list[tuple[Notice, FutureRecordMetadata]] = []
        failure: Exception | None = None
        for notice, form in pairs:
            try:
                future = producer.send(topic, form.value, form.key, form.headers, timestamp_ms=date_ms)
            except Exception as exc:
                failure = exc
                break
            self._connection.last = future
            sent.append((notice, future))
        failed: list[Notice] = []
        until = time.monotonic() + self._give_up_s
        for notice, future in sent:
            error = self._wait(future, until)
            if error is None:
                settle(notice, None)
            else:
                failed.append(notice)
                failure = error
        if failed:
            self._connection.abandon()  # the producer refuses everything after a refusal
        return [*failed, *(notice for notice, _ in pairs[len(sent) :])], failure

    def _wait(self, future: FutureRecordMetadata, until: float) -> Exception | None:
        while not future.is_done:
            late = ExportError(TIMEOUT, "records were not acknowledged in time", retryable=True)
            if self._is_over():
                self._connection.abandon()
                raise late
            if time.monotonic() >= until:
                return late
            with contextlib.suppress(Exception):  # it is asked below
                future.get(timeout=WAIT_S)
        return future.exception

    def _ready_producer(self, topic: str) -> OutcomeProducer:
        is_new = not self._connection.is_open
        producer = self._connection.producer()
        try:
            producer.partitions_for(topic)
            return producer
        except Exception as exc:
            self._connection.abandon()  # it would go on asking for the topic
            if "KafkaTimeoutError" not in _names(exc):
                raise _trouble(exc, topic) from exc
            # one that has only just connected, and does not hear of the topic: then it is not the connection
            if is_new:
                raise _no_topic(topic) from exc
        return self._ready_producer(topic)


def _raise_if_for_all(failure: Exception, topic: str) -> None:
    """Raise what no notice can have caused."""
    if concerns_all(failure) or _names(failure) & (_NO_TOPIC_NAMES | _NOT_ALLOWED_NAMES):
        raise _trouble(failure, topic) from failure


def _trouble(exc: Exception, topic: str) -> ExportError:
    names = _names(exc)
    if names & _NO_TOPIC_NAMES:
        return _no_topic(topic)
    if names & _NOT_ALLOWED_NAMES:
        todo = "grant it WRITE and DESCRIBE; `otel-feedback doctor` looks at this client's permissions"
        return ExportError(NOT_ALLOWED, f"this client may not write to {topic}: {todo}", retryable=True)
    return unavailable(exc)


def _no_topic(topic: str) -> ExportError:
    todo = "create it: `otel-feedback topics`"
    return ExportError(NO_TOPIC, f"there is no topic {topic}, or this client may not see it: {todo}", retryable=True)


def _names(exc: Exception) -> set[str]:
    return {cls.__name__ for cls in type(exc).__mro__}
