"""A process that sends one burst of events as fast as it can: our actions, also for a Kafka that is away, or records by a plain
producer.

The plain producer sends what a burst of ours left on a topic: the same values, keys, headers, partitions and
timestamps, in the same order, read before the clock starts. Both connect, and send some events, before it does.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.sdk.trace import TracerProvider

from benchmarks.children import arguments, serve
from benchmarks.subjects.names import AWAY, RAW
from benchmarks.subjects.producing import (
    FLUSH_TIMEOUT_S,
    configure,
    flush,
    kafka_away,
    kafka_config,
    new_producer,
    record,
    require_acknowledged,
    require_journal,
)
from benchmarks.subjects.watch import Watch
from benchmarks.subjects.workload import EVENTS_A_RUN, one_action, run_of, tenant_of
from tests.stack.kafka_clients import Record, read_topic


class _Ours:
    def __init__(self, given: dict[str, Any]) -> None:
        self._pipeline = configure(given)
        self._tenants = given.get("tenants", 0)

    def burst(self, first: int, end: int) -> None:
        for number in range(first, end):
            of = tenant_of(number // EVENTS_A_RUN, self._tenants) if self._tenants else None
            one_action(run_of(number), of)
        flush(self._pipeline, end)


class _Away:
    def __init__(self) -> None:
        logging.disable()  # that nothing was delivered
        self._pipeline = record(TracerProvider(), kafka_away())

    def burst(self, first: int, end: int) -> None:
        for number in range(first, end):
            one_action(run_of(number))
        require_journal(self._pipeline, "disk")


class _Raw:
    def __init__(self, given: dict[str, Any]) -> None:
        count = given["warm_up"] + given["events"]
        records = sorted(read_topic(given["bootstrap_servers"], given["source"], count, timeout_s=120), key=_sequence)
        self._producer = new_producer(kafka_config(given))
        self._topic = given["topic"]
        self._ready: Sequence[tuple[Any, ...]] = [
            (sent.value, sent.key, list(sent.headers), sent.partition, sent.timestamp_ms) for sent in records
        ]

    def burst(self, first: int, end: int) -> None:
        send, topic = self._producer.send, self._topic
        futures = [
            send(topic, value, key, headers, partition, timestamp_ms)
            for value, key, headers, partition, timestamp_ms in self._ready[first:end]
        ]
        self._producer.flush(FLUSH_TIMEOUT_S)
        require_acknowledged(futures)


def _sequence(record: Record) -> int:
    return int(dict(record.headers)["sequence"])


def _main() -> None:
    given = arguments()
    warm_up, events = given["warm_up"], given["events"]
    subject = _Raw(given) if given["subject"] == RAW else _Away() if given["subject"] == AWAY else _Ours(given)

    def answer(_request: Mapping[str, Any]) -> Mapping[str, float]:
        subject.burst(0, warm_up)
        gc.collect()
        with Watch() as watch:
            subject.burst(warm_up, warm_up + events)
        return {"events_a_second": watch.events_a_second(events), "cpu_us": watch.cpu_us(events)}

    serve(answer)


if __name__ == "__main__":
    _main()
