"""The side lane to Kafka: dead letters and the account go to topics of their own, by a producer of their own.

Input: notices, from any thread, which never waits. Output: records on `<topic>-dlq` and `<topic>-audit`. One daemon
thread, started by the first notice. A dead letter that is refused again, a topic that is missing, a broker that is
away: none of it can hold up an outcome event, nor can one of the two topics hold up the other for longer than a try.
At least once; in the order of `put` for each topic.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial

from otel_feedback.errors import ExportError
from otel_feedback.events.record import Record
from otel_feedback.exporters.interface import Refusal
from otel_feedback.exporters.kafka.connection import KafkaConnection
from otel_feedback.exporters.kafka.headers import record_headers
from otel_feedback.exporters.kafka.notices.lane import Notice, NoticeLane
from otel_feedback.exporters.kafka.notices.sender import NO_TOPIC, NOT_ALLOWED, PRODUCER_OPTIONS, NoticeSender
from otel_feedback.exporters.kafka.topics import audit_topic, dead_letter_topic, topic_for
from otel_feedback.logger import get_logger, number_of
from otel_feedback.sdk.compat.suppressing import suppress_instrumentation
from otel_feedback.settings.kafka import KafkaConfig
from otel_feedback.throttle import ThrottledLog

__all__ = ["KafkaNotices"]

logger = get_logger(__name__)

BATCH = 500

_JSON = ("content-type", b"application/json")


class KafkaNotices:
    """Sends dead letters and audit records. Safe from any thread; nothing is raised, and only flush and close wait.

    Args:
        config: Where and how to send; the topics are named after the outcome topic.
        connected: Called after a producer was built.
    """

    def __init__(self, config: KafkaConfig, *, connected: Callable[[], None] = lambda: None) -> None:
        self._config = config
        self._connection = KafkaConnection(config, connected, PRODUCER_OPTIONS)
        self._sender = NoticeSender(self._connection, self._is_over)
        self._is_closed = False
        self._begin()

    def _begin(self) -> None:
        self._changed = threading.Condition()
        # guarded by self._changed
        self._dead_letters = NoticeLane(dead_letter_topic(self._config))
        self._audit = NoticeLane(audit_topic(self._config))
        self._lanes = (self._dead_letters, self._audit)
        self._lost_unmade = 0
        self._is_wanted = False  # a connection, before there is a notice
        self._stop_by = 0.0
        self._thread: threading.Thread | None = None
        self._log = ThrottledLog(logger)

    # -- from any thread -----------------------------------------------------------------------------------

    def dead_letter(self, record: Record, refusal: Refusal, *, culprit: str = "kafka") -> None:
        """Send a record that was refused for good to the dead letters, with the reason in its headers.

        Args:
            record: As it was refused. Its value is sent with less text, at last empty, if it is too large here too.
            refusal: Why.
            culprit: Who refused it.
        """
        try:
            letter = self._letter(record, refusal, culprit)
        except Exception as exc:  # whatever was given is no record
            self._lose_unmade(exc)
        else:
            self._put(self._dead_letters, letter)

    def put_dead_letter(self, key: bytes, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        """Send somebody else's dead letter: a record of Kafka's as it was read, with the reason among its headers."""
        self._put(self._dead_letters, Notice(key, value, headers, is_event=True))

    def _letter(self, record: Record, refusal: Refusal, culprit: str) -> Notice:
        producer_id = _bytes(record.origin.producer_id)
        try:
            headers = record_headers(record)
        except ValueError:  # an id that is no text, which may be why it was refused
            headers = [_JSON, ("producer_id", producer_id), ("sequence", b"%d" % record.sequence)]
        topic = self._config.feedback_topic if record.is_feedback else self._config.topic
        headers += [
            ("error.reason", _bytes(refusal.reason)),
            ("error.detail", _bytes(refusal.detail)),
            ("error.culprit", _bytes(culprit)),
            ("original.topic", _bytes(topic_for(topic, record.tenant_id))),
        ]
        return Notice(_bytes(record.key), record.payload, headers, is_event=True, producer_id=producer_id)

    def audit(self, key: str, payload: bytes) -> None:
        """Send one record of the account; `key` is the producer's id, `payload` JSON."""
        self._put(self._audit, Notice(_bytes(key), payload, [_JSON], is_event=False))

    def prepare(self) -> None:
        """Start the thread and let it connect, since something will be sent soon."""
        with self._changed:
            self._is_wanted = True
            self._wake()

    def account(self) -> Mapping[str, int]:
        """Return how many notices are `sent`, `pending` and `lost`; their sum is how many there were."""
        with self._changed:
            return {
                "sent": sum(lane.sent for lane in self._lanes),
                "pending": sum(lane.pending for lane in self._lanes),
                "lost": sum(lane.lost for lane in self._lanes) + self._lost_unmade,
            }

    def flush(self, timeout_s: float) -> bool:
        """Send what there is; wait at most so many seconds. True when all of it was sent, False also after a loss."""
        until = time.monotonic() + timeout_s
        with self._changed:
            goals = [(lane, lane.settled + lane.pending, lane.lost) for lane in self._lanes]
            self._hurry()
            while any(lane.settled < goal for lane, goal, _ in goals):
                left = until - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
            return all(lane.lost == lost for lane, _, lost in goals)

    def close(self, timeout_s: float) -> None:
        """Send what is waiting, within so many seconds; what is left is lost. Later notices are lost, too."""
        with self._changed:
            if self._is_closed:
                return
            self._is_closed = True
            self._stop_by = time.monotonic() + timeout_s
            self._hurry()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout_s)
        with self._changed:
            lost = {lane.topic: given_up for lane in self._lanes if (given_up := lane.give_up())}
            self._changed.notify_all()
        for topic, given_up in lost.items():
            logger.warning("%s not delivered to %s before the end", number_of(given_up, "record"), topic)

    def after_fork(self) -> None:
        """Drop, in a forked child, what belongs to the parent: its notices, its thread and its producer."""
        self._connection.after_fork()
        self._begin()

    def _put(self, lane: NoticeLane, notice: Notice) -> None:
        with self._changed:
            gone = lane.put(notice) if not self._is_closed else 0
            if self._is_closed:
                lane.lost += 1
            self._wake()
        if gone:
            self._say_gone(lane)

    def _lose_unmade(self, exc: Exception) -> None:
        with self._changed:
            self._lost_unmade += 1
        self._log.warning("unmade", "a dead letter could not be made: %r", exc)

    def _hurry(self) -> None:
        for lane in self._lanes:
            lane.due_s = 0.0
        self._changed.notify_all()

    def _wake(self) -> None:
        if self._thread is None and not self._is_closed:
            thread = threading.Thread(target=self._run, name="otel-feedback-notices", daemon=True)
            # the interpreter that is going down starts no more threads
            with contextlib.suppress(RuntimeError):
                thread.start()
                self._thread = thread
        self._changed.notify_all()

    # -- the thread ----------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with suppress_instrumentation():
                while not self._is_over():
                    self._connect_if_wanted()
                    lane = self._next()
                    if lane is not None:
                        self._tend(lane)
        finally:
            self._connection.close(max(0.0, self._stop_by - time.monotonic()))

    def _is_over(self) -> bool:
        """Tell whether nothing can be sent any more: all is, or it is too late."""
        with self._changed:
            if not self._is_closed:
                return False
            is_late = time.monotonic() >= self._stop_by
            return is_late or not any(lane.pending and lane.due_s < self._stop_by for lane in self._lanes)

    def _next(self) -> NoticeLane | None:
        """Wait for a lane that is due; None when something else has changed."""
        with self._changed:
            lane = min((lane for lane in self._lanes if lane.pending), key=_due_s, default=None)
            if lane is None:
                wait_s = None
            elif (wait_s := lane.due_s - time.monotonic()) <= 0:
                return lane
            if not self._is_wanted and not self._is_over():
                self._changed.wait(wait_s)
            return None

    def _connect_if_wanted(self) -> None:
        if self._is_wanted:
            self._is_wanted = False
            try:
                self._connection.producer()
            except ExportError as exc:
                logger.debug("Kafka cannot be reached yet: %s", exc)

    def _tend(self, lane: NoticeLane) -> None:
        with self._changed:
            notices = lane.take(BATCH)
        try:
            self._sender.send(lane.topic, notices, partial(self._settle, lane))
        except ExportError as exc:
            self._postpone(lane, exc)
        except Exception as exc:  # a defect of ours, or of a library: the thread must survive it
            self._connection.abandon()
            self._log.warning("defect", "sending to %s failed: %r", lane.topic, exc, exc_info=exc)
            self._postpone(lane, ExportError("defect", repr(exc)[:300], retryable=True))

    def _settle(self, lane: NoticeLane, notice: Notice, refusal: Refusal | None) -> None:
        with self._changed:
            lane.settle(notice, is_sent=refusal is None)
            self._changed.notify_all()
        if refusal is not None:
            self._log.warning(
                f"refused {lane.topic}", "%s does not take a record (%s: %s): it is lost",
                lane.topic, refusal.reason, refusal.detail,
            )  # fmt: skip

    def _postpone(self, lane: NoticeLane, exc: ExportError) -> None:
        """Let the lane wait for the next try, and say why."""
        with self._changed:
            gone = lane.put_back()
            is_shut = exc.reason in (NO_TOPIC, NOT_ALLOWED)
            delay_s = (lane.while_shut if is_shut else lane.while_away).next_s()
            # at the end there is no time for somebody to do something about it
            lane.due_s = math.inf if is_shut and self._is_closed else time.monotonic() + delay_s
            pending = lane.pending
        if pending == 0:  # given up meanwhile
            return
        if gone:
            self._say_gone(lane)
        self._log.warning(
            f"{exc.reason} {lane.topic}", "records wait for %s, %d by now: %s", lane.topic, pending,
            exc.detail if is_shut else f"Kafka does not take them ({exc.reason}: {exc.detail})",
        )  # fmt: skip

    def _say_gone(self, lane: NoticeLane) -> None:
        self._log.warning(
            f"gone {lane.topic}", "too many records wait for %s: the oldest are lost, %d by now", lane.topic, lane.lost
        )


def _due_s(lane: NoticeLane) -> float:
    return lane.due_s


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")
