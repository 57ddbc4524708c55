"""A process that reads a topic from its beginning, in one of three ways: a plain consumer that decodes JSON, ours, the store.

Each is a new group, which reads from the beginning, and connected before the clock starts. The store is done when everything
is committed, in its files.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.children import BenchmarkError, arguments, journal_directory, serve
from benchmarks.subjects.memory import Memory, forget_peak
from benchmarks.subjects.names import CONSUMER, RAW, STORE
from benchmarks.subjects.producing import kafka_config
from benchmarks.subjects.reading import plain_events
from benchmarks.subjects.watch import Watch


def _raw(given: Mapping[str, Any], watch: Watch) -> int:
    count = 0
    reading = plain_events(given["bootstrap_servers"], given["topic"])
    next(reading)
    with watch:
        for count, _event in enumerate(reading, 2):
            if count == given["events"]:
                break
    reading.close()
    return count


def _consumer(given: Mapping[str, Any], watch: Watch) -> int:
    from otel_feedback.downstream import OutcomeConsumer

    count = 0
    with OutcomeConsumer(uuid.uuid4().hex, kafka=kafka_config(given)) as consumer:
        next(consumer)
        with watch:
            for count, _event in enumerate(consumer, 2):
                if count == given["events"]:
                    break
    return count


def _store(given: Mapping[str, Any], watch: Watch) -> int:
    from otel_feedback.downstream.store.folder import StoreFolder
    from otel_feedback.downstream.store.keeping import Limits
    from otel_feedback.downstream.store.source import follow
    from otel_feedback.downstream.store.topic import TopicSource
    from otel_feedback.downstream.store.writer import StoreWriter

    stop = threading.Event()
    with journal_directory() as place:
        folder = StoreFolder(Path(place) / "store")
        with folder.writing():
            writer = StoreWriter(folder, Limits(), _fail, _fail)
            source = TopicSource(kafka_config(given), uuid.uuid4().hex, {}, stop, _fail)
            writer.start()
            source.connect()
            with watch:
                follow(source, writer, stop, once=True, flush_rows=20_000, flush_interval_s=5.0)
            source.close(writer.manifest.positions)
            return writer.manifest.rows


def _fail(what: str | bytes, why: str) -> None:
    raise BenchmarkError(f"the store says: {what!r} {why}")


SUBJECTS: Mapping[str, Callable[[Mapping[str, Any], Watch], int]] = {RAW: _raw, CONSUMER: _consumer, STORE: _store}


def _main() -> None:
    given = arguments()

    def answer(_request: Mapping[str, Any]) -> Mapping[str, float]:
        before = Memory.now()
        forget_peak()
        watch = Watch()
        count = SUBJECTS[given["subject"]](given, watch)
        if count != given["events"]:
            raise BenchmarkError(f"{count} of {given['events']} events were read")
        events = given["events"]
        grown_mb = Memory.now().peak_mb - before.rss_mb
        return {"events_a_second": watch.events_a_second(events), "cpu_us": watch.cpu_us(events), "grown_mb": grown_mb}

    serve(answer)


if __name__ == "__main__":
    _main()
