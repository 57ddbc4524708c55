"""What the value of a Kafka record is: the event's JSON as it is in the journal, or what is made of it here.

Used on the worker's thread only.
"""

from __future__ import annotations

from typing import Protocol

from otel_feedback.exporters.kafka.headers import JSON
from otel_feedback.settings.kafka import KafkaConfig

__all__ = ["JsonValues", "Values", "values_for"]


class Values(Protocol):
    """Makes the values of one topic."""

    content_type: bytes
    """What a record's header says of them."""

    def prepare(self) -> None:
        """Get ready, by asking others if need be; at once, and without asking, from the second time on.

        Raises:
            ExportError: It cannot be done now; retryable.
        """
        ...

    def encode(self, payload: bytes) -> bytes:
        """Return the value of an event's JSON.

        Raises:
            SchemaError: The event does not fit; the message names the field.
        """
        ...


class JsonValues:
    """The JSON itself."""

    content_type = JSON

    def prepare(self) -> None:
        pass

    def encode(self, payload: bytes) -> bytes:
        return payload


def values_for(config: KafkaConfig, topic: str) -> Values:
    """Return what makes the values of a topic."""
    if config.value_format != "avro" or config.registry is None:
        return JsonValues()
    from otel_feedback.exporters.kafka.avro.writing import AvroValues

    return AvroValues(config.registry, topic)
