"""The names of the topics beside the outcome topic, which holds outcome events and nothing else."""

from __future__ import annotations

from otel_feedback.settings.table import KafkaConfig

__all__ = ["audit_topic", "dead_letter_topic"]


def dead_letter_topic(config: KafkaConfig) -> str:
    """Return where the records go that Kafka has refused for good."""
    return f"{config.topic}-dlq"


def audit_topic(config: KafkaConfig) -> str:
    """Return where the account goes: losses, and how far each producer is."""
    return f"{config.topic}-audit"
