"""A process that reads a topic from its beginning to its end, as often as it is asked: by our consumer, or by a plain one.

What is read is counted, so that nobody is quick by leaving out. Each time is a new group.
"""

from __future__ import annotations

import gc
import json
import uuid
from collections.abc import Callable, Generator, Mapping
from typing import Any

import msgspec

from benchmarks.children import arguments, serve
from benchmarks.subjects.names import OURS, RAW
from benchmarks.subjects.watch import Watch

__all__ = ["plain_events"]

POLL_MS = (
    30_000  # what a shorter one begins to join kafka-python (3.0.12) may forget, and then it reads nothing for good
)
COMMIT_MS = 1_000


def plain_events(
    bootstrap_servers: str, topic: str, decode: Callable[[bytes], Any] = json.loads
) -> Generator[Any, None, None]:
    """Yield a topic's events, decoded, by a plain kafka-python consumer that is a new group; without end."""
    from kafka import KafkaConsumer

    consumer: Any = KafkaConsumer(
        topic, bootstrap_servers=bootstrap_servers, group_id=uuid.uuid4().hex, auto_offset_reset="earliest",
        auto_commit_interval_ms=COMMIT_MS, metrics_enabled=False,
    )  # fmt: skip
    try:
        while True:
            for records in consumer.poll(timeout_ms=POLL_MS).values():
                for record in records:
                    yield decode(record.value)
    finally:
        consumer.close()


def _our_events(bootstrap_servers: str, topic: str) -> Generator[Any, None, None]:
    from otel_feedback import KafkaConfig
    from otel_feedback.downstream import OutcomeConsumer

    config = KafkaConfig(bootstrap_servers=tuple(bootstrap_servers.split(",")), topic=topic)
    with OutcomeConsumer(uuid.uuid4().hex, kafka=config, commit_interval_s=COMMIT_MS / 1e3) as consumer:
        yield from consumer


def _main() -> None:
    given = arguments()
    where = given["bootstrap_servers"], given["topic"]
    warm_up, events = given["warm_up"], given["events"]

    def answer(request: Mapping[str, Any]) -> Mapping[str, float]:
        name = request["subject"]
        if name == OURS:
            reading = _our_events(*where)
        else:
            reading = plain_events(*where, json.loads if name == RAW else msgspec.json.decode)
        for _ in range(warm_up):
            next(reading)
        gc.collect()
        with Watch() as watch:
            for _ in range(events):
                next(reading)
        reading.close()
        return {"events_a_second": watch.events_a_second(events), "cpu_us": watch.cpu_us(events)}

    serve(answer)


if __name__ == "__main__":
    _main()
