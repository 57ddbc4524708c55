"""What the tests of readers share: a topic of their own with events on it, and how far a group has committed."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

import otel_feedback as feedback
from otel_feedback.downstream import OutcomeConsumer
from otel_feedback.settings.registry import RegistryConfig
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker

QUICK = {"session_timeout_ms": 6_000, "heartbeat_interval_ms": 300}


def event(number: int, **fields: Any) -> feedback.OutcomeEvent:
    """Return an event; those of one run are in one partition."""
    given: dict[str, Any] = {"run_id": f"run-{number % 24}", "event_id": f"event-{number:06d}", **fields}
    return feedback.OutcomeEvent(action_type="step", status=feedback.OutcomeStatus.SUCCESS, **given)


class Topic(NamedTuple):
    """A topic of its own, with those beside it, on a broker."""

    broker: KafkaBroker
    name: str
    registry: RegistryConfig | None = None  # with one, values are Avro

    @classmethod
    def make(cls, broker: KafkaBroker, partitions: int = 6) -> Topic:
        name = f"outcomes-{uuid.uuid4().hex[:12]}"
        broker.create_topic(name, partitions)
        for kind in ("dlq", "audit"):
            broker.create_topic(f"{name}-{kind}", 1)
        return cls(broker, name)

    @property
    def config(self) -> feedback.KafkaConfig:
        servers = (self.broker.bootstrap_servers,)
        value_format = "json" if self.registry is None else "avro"
        return feedback.KafkaConfig(
            bootstrap_servers=servers, topic=self.name, feedback_topic=self.feedback, value_format=value_format,
            registry=self.registry,
        )  # fmt: skip

    @property
    def feedback(self) -> str:
        """The name of the topic of feedback; to be made."""
        shared, of_tenants, _ = self.name.partition(".{tenant}")
        return f"{shared}-feedback{of_tenants}"

    def give(self, given: Sequence[feedback.Feedback]) -> None:
        """Produce feedback, plainly."""
        records = [(one.key.encode(), one.to_json().encode()) for one in given]
        kafka_clients.produce_keyed(self.broker.bootstrap_servers, self.feedback, records, compression="gzip")

    def send(self, events: Sequence[feedback.OutcomeEvent]) -> str:
        """Send events as a program does; return the id of its producer."""
        pipeline = feedback.configure(kafka=self.config, enable_outcome_logging=False, durability="memory")
        for one in events:
            assert pipeline.record_outcome(one)
        assert pipeline.shutdown(60)
        return pipeline.producer_id

    def consumer(self, group: str = "group", **more: Any) -> OutcomeConsumer:
        given: dict[str, Any] = {"kafka_options": QUICK, "commit_interval_s": 0.05, **more}
        return OutcomeConsumer(group, kafka=self.config, **given)

    def letters(self) -> list[kafka_clients.Record]:
        return kafka_clients.read_to_end(self.broker.bootstrap_servers, f"{self.name}-dlq")

    def audit(self) -> list[kafka_clients.Record]:
        return kafka_clients.read_to_end(self.broker.bootstrap_servers, f"{self.name}-audit")

    def records(self) -> list[kafka_clients.Record]:
        return kafka_clients.read_to_end(self.broker.bootstrap_servers, self.name)

    def committed(self, group: str = "group") -> dict[int, int]:
        """Return how far a group has committed, by partition."""
        return kafka_clients.committed(self.broker.bootstrap_servers, group, self.name)
