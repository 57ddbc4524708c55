"""A process that makes events at an even pace: our actions, or records by a plain producer.

What the plain producer sends is an event like ours, made and encoded on the spot, with its own end as `end_time`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

from benchmarks.broker import PARTITIONS
from benchmarks.children import arguments, serve
from benchmarks.subjects.names import OURS
from benchmarks.subjects.producing import (
    FLUSH_TIMEOUT_S,
    configure,
    flush,
    kafka_config,
    new_producer,
    require_acknowledged,
)
from benchmarks.subjects.workload import EVENTS_A_RUN, one_action, one_event, run_of
from otel_feedback.events.codec import encode
from otel_feedback.events.record import Origin, Record
from otel_feedback.exporters.kafka.headers import record_headers

ORIGIN = Origin("0" * 32, "raw")


class _Ours:
    def __init__(self, given: dict[str, Any]) -> None:
        self._pipeline = configure(given)
        self._count = 0

    def send(self) -> None:
        one_action(run_of(self._count))
        self._count += 1

    def flush(self) -> None:
        flush(self._pipeline, self._count)


class _Raw:
    def __init__(self, given: dict[str, Any]) -> None:
        self._topic = given["topic"]
        self._producer = new_producer(kafka_config(given))
        self._futures: list[Any] = []

    def send(self) -> None:
        number = len(self._futures)
        key = run_of(number)
        now = datetime.now(timezone.utc)
        event = one_event(key, now, "0" * 32, "0" * 16)
        headers = record_headers(Record.of(event, ORIGIN, number, key, b"", sampled=True))
        partition = number // EVENTS_A_RUN % PARTITIONS
        self._futures.append(
            self._producer.send(
                self._topic, encode(event), key.encode(), headers, partition, int(now.timestamp() * 1e3)
            )
        )

    def flush(self) -> None:
        self._producer.flush(FLUSH_TIMEOUT_S)
        require_acknowledged(self._futures)


def keep_pace(send: Callable[[], None], rate: int, seconds: float) -> float:
    """Call `send` `rate` times a second, catching up after a delay; return the rate that came of it."""
    count = int(rate * seconds)
    start = time.perf_counter()
    for number in range(count):
        left_s = start + number / rate - time.perf_counter()
        if left_s > 0:
            time.sleep(left_s)
        send()
    return count / (time.perf_counter() - start)


def _main() -> None:
    given = arguments()
    subject = _Ours(given) if given["subject"] == OURS else _Raw(given)

    def answer(request: Mapping[str, Any]) -> Mapping[str, float]:
        rate = keep_pace(subject.send, request["rate"], request["seconds"])
        subject.flush()
        return {"rate": rate}

    serve(answer)


if __name__ == "__main__":
    _main()
