"""A process that delivers events which another one left: from its journal, or the same ones by a plain producer.

Ours starts the clock before `configure()`: finding and adopting the journal, connecting, and reading are in it. The
plain producer is handed the same values and keys, with headers like ours and a partition chosen already, in portions
that are made while the clock stands still.
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Mapping
from itertools import islice
from typing import Any

from benchmarks.broker import PARTITIONS
from benchmarks.children import BenchmarkError, arguments, serve
from benchmarks.subjects.memory import Memory
from benchmarks.subjects.names import OURS
from benchmarks.subjects.producing import (
    FLUSH_TIMEOUT_S,
    configure,
    kafka_config,
    new_producer,
    require_acknowledged,
)
from benchmarks.subjects.watch import Watch
from benchmarks.subjects.workload import EVENTS_A_RUN, same_events
from otel_feedback.events.codec import encode
from otel_feedback.events.model import epoch_us
from otel_feedback.events.record import Origin, Record
from otel_feedback.exporters.kafka.headers import record_headers

PORTION = 8_000
"""As many as our worker has in flight. Measured: with 50,000 at once kafka-python sends a fifth fewer a second."""

POLL_S = 0.05
REPLAY_TIMEOUT_S = 540.0
ORIGIN = Origin("0" * 32, "raw")


def replay(given: dict[str, Any]) -> Mapping[str, Any]:
    """Adopt the journal of `producer_id` and deliver what is in it.

    Raises:
        BenchmarkError: Not every event was delivered, or something stayed.
    """
    events, producer_id = given["events"], given["producer_id"]
    with Watch() as watch:
        pipeline = configure(given)
        deadline = time.monotonic() + REPLAY_TIMEOUT_S
        account: Mapping[str, Any] = {"delivered": 0, "finished": False}
        while account["delivered"] < events and time.monotonic() < deadline:
            time.sleep(POLL_S)
            adopted = pipeline.metrics()["adopted"].get(producer_id, {"exporters": {}})
            account = adopted["exporters"].get("kafka", account)
    memory = Memory.now()
    while not account["finished"] and time.monotonic() < deadline:
        time.sleep(POLL_S)
        account = pipeline.metrics()["adopted"][producer_id]["exporters"]["kafka"]
    if account["delivered"] != events or account["pending"] or account["lost"] or not account["finished"]:
        raise BenchmarkError(f"{events} events were to be delivered from the journal of {producer_id}: {account}")
    pipeline.shutdown(timeout_s=5)
    return {**_figures(watch, events), "peak_mb": memory.peak_mb}


def resend(given: dict[str, Any]) -> Mapping[str, Any]:
    """Send some of the same events by a plain producer: `events` of them, from number `first` on."""
    first, count, topic = given["first"], given["events"], given["topic"]
    producer = new_producer(kafka_config(given))
    producer.partitions_for(topic)  # connected
    watch = Watch()
    numbered = islice(enumerate(same_events(first + count, given["began_s"])), first, None)
    while portion := list(islice(numbered, PORTION)):
        ready = [_ready(topic, number, event) for number, event in portion]
        del portion
        gc.collect()
        with watch:
            futures = [producer.send(*arguments) for arguments in ready]
            producer.flush(FLUSH_TIMEOUT_S)
            require_acknowledged(futures)
    producer.close()
    return {**_figures(watch, count), "peak_mb": Memory.now().peak_mb}


def _figures(watch: Watch, events: int) -> dict[str, float]:
    return {"events_a_second": watch.events_a_second(events), "cpu_us": watch.cpu_us(events)}


def _ready(topic: str, number: int, event: Any) -> tuple[Any, ...]:
    headers = record_headers(Record.of(event, ORIGIN, number, event.run_id, b"", sampled=True))
    partition = number // EVENTS_A_RUN % PARTITIONS
    return topic, encode(event), event.run_id.encode(), headers, partition, epoch_us(event.timestamp) // 1_000


def _main() -> None:
    logging.disable()  # that a process died with events is what is asked for
    given = arguments()
    serve(lambda request: replay(given) if given["subject"] == OURS else resend(given))


if __name__ == "__main__":
    _main()
