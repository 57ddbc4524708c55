"""Sends the notices for one topic and waits for the answers, on the side lane's thread.

All together; when one is refused, those that are left one by one, with ever less of what may be cut. Each is settled
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
from otel_feedback.exporters.kafka.notices.lane import Notice
from otel_feedback.exporters.kafka.receipt import TOO_LARGE, refusal_of, unavailable

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
"""How long a notice may stay unacknowledged before the producer is built anew, in seconds."""

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
    """

    def __init__(self, connection: KafkaConnection, is_over: Callable[[], bool]) -> None:
        self._connection = connection
        self._is_over = is_over

    def send(self, topic: str, notices: Sequence[Notice], settle: Settle) -> None:
        """Send these; `settle` hears of each that was taken (None) or refused for good.

        Raises:
            ExportError: The others have to wait. Its reason is `NO_TOPIC`, `NOT_ALLOWED` or something that passes.
        """
        left, _ = self._exchange(topic, [(notice, notice.value) for notice in notices], settle)
        for notice in left:
            self._send_alone(topic, notice, settle)

    def _send_alone(self, topic: str, notice: Notice, settle: Settle) -> None:
        refusal: Refusal | None = None
        for value in notice.values():
            if value and refusal is not None and refusal.reason != TOO_LARGE:
                continue  # less text would not help; the headers alone may be taken
            _, refusal = self._exchange(topic, [(notice, value)], settle)
            if refusal is None:
                return
        settle(notice, refusal)

    def _exchange(
        self, topic: str, pairs: Sequence[tuple[Notice, bytes]], settle: Settle
    ) -> tuple[list[Notice], Refusal | None]:
        """Send values, wait; return the notices that were not taken, and why one of them was not."""
        producer = self._ready_producer(topic)
        if self._is_over():  # connecting took too long: these are counted as lost by now
            raise ExportError("over", "the end came first", retryable=True)
        sent: list[tuple[Notice, FutureRecordMetadata]] = []
        failure: Exception | None = None
        for notice, value in pairs:
            try:
                # dated now: a date that was refused would be so again, and old records are deleted soon
                future = producer.send(topic, value, notice.key, notice.headers)
            except Exception as exc:
                failure = exc
                break
            self._connection.last = future
            sent.append((notice, future))
        failed: list[Notice] = []
        until = time.monotonic() + GIVE_UP_S
        for notice, future in sent:
            error = self._wait(future, until)
            if error is None:
                settle(notice, None)
            else:
                failed.append(notice)
                failure = error
        if failed:
            self._connection.abandon()  # the producer refuses everything after a refusal
        left = [*failed, *(notice for notice, _ in pairs[len(sent) :])]
        return left, None if failure is None else _judge(failure, topic)

    def _wait(self, future: FutureRecordMetadata, until: float) -> Exception | None:
        while not future.is_done:
            if time.monotonic() >= until or self._is_over():
                self._connection.abandon()
                raise ExportError("timeout", "records were not acknowledged in time", retryable=True)
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


def _judge(failure: Exception, topic: str) -> Refusal:
    """Return why one record is refused for good, or raise what concerns all."""
    if _names(failure) & (_NO_TOPIC_NAMES | _NOT_ALLOWED_NAMES):
        raise _trouble(failure, topic) from failure
    return refusal_of(failure)


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
