"""A producer for the side lane that does as told, in place of kafka-python's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import msgspec

import otel_feedback as feedback
from otel_feedback.events import codec
from otel_feedback.events.record import Record
from otel_feedback.exporters.interface import Refusal
from tools.sample import sample_record

CONFIG = feedback.KafkaConfig(topic="mine")
REFUSAL = Refusal("policy", "not today")


class MessageSizeTooLargeError(Exception):
    """Known by its name, as kafka-python's own is."""


class PolicyViolationError(Exception):
    """As above."""


class KafkaTimeoutError(Exception):
    """As above."""


class TopicAuthorizationFailedError(Exception):
    """As above."""


class FakeFuture:
    is_done = True

    def __init__(self, exception: Exception | None = None) -> None:
        self.exception = exception

    def get(self, timeout: float) -> None:
        """Nothing to wait for."""


class NeverFuture:
    is_done = False
    exception = None

    def get(self, timeout: float) -> None:
        threading.Event().wait(0.01)
        raise KafkaTimeoutError


class FakeKafka:
    """What arrived, by topic; `judge` says what becomes of a record: an exception for "refused"."""

    def __init__(self) -> None:
        self.arrived: dict[str, list[tuple[bytes, bytes, dict[str, bytes]]]] = {}
        self.topics = {"mine-dlq", "mine-audit"}
        self.judge: Callable[[str, bytes], Exception | None] = lambda topic, value: None
        self.answers = True
        self.client_limit = 10**9
        self.down: Exception | None = None
        self.may_connect = threading.Event()
        self.may_connect.set()
        self.built = 0
        self.open: set[FakeProducer] = set()

    def producer(self, config: feedback.KafkaConfig, options: Any) -> FakeProducer:
        self.may_connect.wait()
        if self.down is not None:
            raise self.down
        self.built += 1
        return FakeProducer(self)

    def values(self, topic: str) -> list[bytes]:
        return [value for _, value, _ in self.arrived.get(topic, [])]


class FakeProducer:
    def __init__(self, kafka: FakeKafka) -> None:
        self.kafka = kafka
        self.failed: Exception | None = None
        kafka.open.add(self)

    def partitions_for(self, topic: str) -> set[int]:
        if topic not in self.kafka.topics:
            raise KafkaTimeoutError("Failed to update metadata")
        return {0}

    def send(
        self, topic: str, value: bytes, key: bytes, headers: list[tuple[str, bytes]], timestamp_ms: int
    ) -> FakeFuture | NeverFuture:
        if not self.kafka.answers:
            return NeverFuture()
        if len(value) > self.kafka.client_limit:
            raise MessageSizeTooLargeError("larger than max_request_size")
        self.failed = self.failed or self.kafka.judge(topic, value)
        if self.failed is None:
            self.kafka.arrived.setdefault(topic, []).append((key, value, dict(headers)))
        return FakeFuture(self.failed)

    def close(self, timeout: float) -> None:
        self.kafka.open.discard(self)

    def disown(self) -> None:
        self.kafka.open.discard(self)


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "otel-feedback-notices"]


def record(text: int = 0, numbers: int = 0) -> Record:
    metadata: dict[str, Any] = {"numbers": [7] * numbers}
    event = feedback.OutcomeEvent(
        action_type="a", status=feedback.OutcomeStatus.FAILURE, stack_trace="x" * text, metadata=metadata
    )
    return msgspec.structs.replace(sample_record(), payload=codec.encode(event))
