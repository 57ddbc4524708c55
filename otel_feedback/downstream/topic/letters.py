"""Records that a consumer could not use, to the dead letters: the record as it was, with reason and position.

A record counts as settled only when Kafka has its letter; so it is waited for, and what comes after it waits with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from otel_feedback.exporters.kafka.notices.notices import KafkaNotices
from otel_feedback.exporters.kafka.topics import dead_letter_topic
from otel_feedback.logger import get_logger
from otel_feedback.settings.kafka import KafkaConfig
from otel_feedback.throttle import ThrottledLog

__all__ = ["INVALID", "RAISED", "REJECTED", "DeadLetter", "DeadLetters"]

logger = get_logger(__name__)

INVALID = "invalid_event"
RAISED = "handler_raised"
REJECTED = "rejected"
"""Why: it cannot be decoded; the handler raised; the program rejected it."""

TRY_S = 1.0
"""How long to wait for the acknowledgement at a time."""
LOOK_S = 0.1
"""How often to look whether it has come after all, or is given up."""
AGAIN_S = 5.0
"""How long to leave a topic alone that did not take it: somebody has to make it, or grant access to it."""
_DETAIL = 1_000


class DeadLetter(NamedTuple):
    """A record, as kafka-python has it, and why it is one."""

    record: Any
    reason: str
    detail: str


class DeadLetters:
    """Sends them, through a producer of its own, which the first one starts.

    Args:
        config: Where; the topic is named after the outcome topic.
        group: Who could not use them.
    """

    def __init__(self, config: KafkaConfig, group: str) -> None:
        self._topic = dead_letter_topic(config)
        self._group = group.encode()
        self._notices = KafkaNotices(config)
        self._log = ThrottledLog(logger)
        self.waiting = 0
        """1 while a letter waits that the topic does not take now, and with it whoever sends it."""

    def send(self, letter: DeadLetter, is_given_up: Callable[[], bool]) -> bool:
        """Send one and wait until Kafka has it.

        Args:
            is_given_up: Tells that it is no longer to be waited for.

        Returns:
            False when it was given up: then the record must not count as settled. True also where the topic takes it
            in no form at all, since it would not later, either; then the log says so.
        """
        record, (reason, detail) = letter.record, letter[1:]
        self._log.warning(
            reason, "a record goes to %s (%s): partition %d, offset %d",
            self._topic, reason, record.partition, record.offset,
        )  # fmt: skip
        lost = self._notices.account()["lost"]
        self._notices.put_dead_letter(
            record.key or b"",
            record.value or b"",
            [
                *((name, value or b"") for name, value in record.headers),
                ("error.reason", reason.encode()),
                ("error.detail", detail[:_DETAIL].encode("utf-8", "replace")),
                ("error.culprit", b"consumer"),
                ("error.group", self._group),
                ("original.topic", record.topic.encode()),
                ("original.partition", b"%d" % record.partition),
                ("original.offset", b"%d" % record.offset),
            ],
        )
        try:
            while not self._notices.flush(TRY_S):
                if self._notices.account()["lost"] > lost:
                    return True
                self.waiting = 1
                again_s = time.monotonic() + AGAIN_S
                while self._notices.account()["pending"] and time.monotonic() < again_s:
                    if is_given_up():
                        return False
                    time.sleep(LOOK_S)
            return True
        finally:
            self.waiting = 0

    def close(self, timeout_s: float) -> None:
        """Close the producer, if there is one."""
        self._notices.close(timeout_s)
