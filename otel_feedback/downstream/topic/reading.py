"""Read a topic from somewhere to where it ends now, without a group. For the one thread that calls it, which waits."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, cast

from otel_feedback.downstream.topic.unpacking import unpacked
from otel_feedback.downstream.topic.values import TopicValues
from otel_feedback.errors import FeedbackError
from otel_feedback.exporters.kafka.library import import_kafka
from otel_feedback.exporters.kafka.security import secured
from otel_feedback.exporters.kafka.topics import is_per_tenant, is_topic_of
from otel_feedback.settings.kafka import KafkaConfig

__all__ = ["Progress", "TopicMissingError", "TopicReader", "open_reader", "partitions_of"]

POLL_MS = 500
ANSWER_MS = 30_000
AT_ONCE = 2_000

Progress = Callable[[str, int, int], None]
"""Called with a topic, how many of its records were read, and how many there are to read."""


class TopicMissingError(FeedbackError):
    """There is no such topic, or this client may not see it."""


class TopicReader:
    """Reads topics with one of kafka-python's consumers, which it is given the partitions of."""

    def __init__(self, consumer: Any, values: TopicValues, progress: Progress) -> None:
        self.consumer = consumer
        self.values = values
        self._progress = progress

    def partitions(self, topic: str) -> list[Any]:
        """Return the partitions of a topic, as kafka-python has them; of the topics of all tenants, where it is one for each.

        Raises:
            TopicMissingError: There is none.
        """
        places = partitions_of(self.consumer, topic)
        if not places:
            raise TopicMissingError(f"there is no topic {topic}, or this client may not see it")
        return places

    def starts(self, partitions: list[Any], since: datetime | None = None) -> dict[Any, int]:
        """Return the offsets at which partitions begin, or from which on a record may be of a moment or later."""
        if since is None:
            return cast("dict[Any, int]", self.consumer.beginning_offsets(partitions))
        ends = self.consumer.end_offsets(partitions)
        moments = dict.fromkeys(partitions, int(since.timestamp() * 1e3))
        found = self.consumer.offsets_for_times(moments, ANSWER_MS)
        return {place: ends[place] if at is None else at.offset for place, at in found.items()}

    def read(
        self, partitions: list[Any], starts: Mapping[Any, int] | None = None, ends: Mapping[Any, int] | None = None
    ) -> Iterator[Any]:
        """Yield the records between offsets; default: all that there are now."""
        consumer = self.consumer
        ends = cast("Mapping[Any, int]", consumer.end_offsets(partitions) if ends is None else ends)
        starts = self.starts(partitions) if starts is None else starts
        left = {place for place in partitions if starts[place] < ends[place]}
        total, read = sum(ends[place] - starts[place] for place in left), 0
        if left:
            consumer.assign(list(left))
        for place in left:
            consumer.seek(place, starts[place])
        while left:
            for place, records in consumer.poll(timeout_ms=POLL_MS, max_records=AT_ONCE).items():
                for record in records:
                    if record.offset < ends[place]:
                        read += 1
                        yield record
            # by position, since the last offsets may hold no record
            left = {place for place in left if consumer.position(place, ANSWER_MS) < ends[place]}
            self._progress(partitions[0].topic, read, total)


def partitions_of(consumer: Any, topic: str) -> list[Any]:
    """Return the partitions of a topic, or of those of all tenants that this client may see: none where there is none."""
    from kafka.structs import TopicPartition

    names = [topic]
    if is_per_tenant(topic):
        names = sorted(name for name in consumer.topics() if is_topic_of(topic, name))
    return [
        TopicPartition(name, number) for name in names for number in sorted(consumer.partitions_for_topic(name) or ())
    ]


@contextmanager
def open_reader(config: KafkaConfig, purpose: str, progress: Progress) -> Generator[TopicReader, None, None]:
    """Connect, and close at the end.

    Args:
        config: Where.
        purpose: What the client's id ends with.
        progress: Called now and then.

    Raises:
        KafkaError: kafka-python's, where Kafka does not answer.
    """
    import_kafka()
    from kafka import KafkaConsumer

    from otel_feedback.exporters.kafka.inside import unpack_by
    from otel_feedback.exporters.kafka.sockets import closed_on_failure

    options: dict[str, Any] = {
        "bootstrap_servers": list(config.bootstrap_servers),
        "client_id": f"{config.client_id}-{purpose}",
        "group_id": None,
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "allow_auto_create_topics": False,
        "metrics_enabled": False,
        **secured(config.client_options),
    }
    with closed_on_failure(options) as opening:
        consumer = KafkaConsumer(**opening)
    unpack_by(consumer, unpacked)
    try:
        yield TopicReader(consumer, TopicValues(config.registry), progress)
    finally:
        consumer.close()
