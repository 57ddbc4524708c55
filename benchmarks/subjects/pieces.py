"""A process that does, over and over, one of the things of which an action consists, each by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any, Final

from opentelemetry import context as context_api

from benchmarks.children import BenchmarkError, arguments, serve_subject
from benchmarks.subjects.bare import SPAN_NAME, TEN, ten_set_attributes
from benchmarks.subjects.names import (
    CONTEXT,
    EVENT,
    EVENT_JSON,
    FRAME,
    SET_ATTRIBUTE,
    SPAN_OF_NONE,
    SPAN_OF_SIXTEEN,
)
from benchmarks.subjects.tracing import Traced
from benchmarks.subjects.watch import Watch
from benchmarks.subjects.workload import one_event
from otel_feedback.events.codec import encode
from otel_feedback.journal.disk import DiskJournal
from otel_feedback.settings.settings import get_settings

__all__ = ["Subject"]

_SIXTEEN: Final = {**TEN, "a": 1, "b": "x", "c": 2.5, "d": "yyyy", "e": 7, "f": "z"}
_KEY: Final = context_api.create_key("benchmarks.piece")


class Subject:
    """Has what the pieces work on: a tracer, an event, a journal on disk."""

    def __init__(self) -> None:
        self._traced = Traced()
        self._tracer = self._traced.tracer()
        settings = get_settings(enable_outcome_logging=False)
        self._journal = DiskJournal(settings.journal_dir, service_name=settings.service_name)
        self._journal.cursor("benchmarks", "nowhere", durable=True)
        self._now = datetime.now(timezone.utc)
        self._event = self._make()
        self._payload = encode(self._event)
        self._pieces: Mapping[str, Callable[[], object]] = {
            SET_ATTRIBUTE: lambda: ten_set_attributes(self._tracer),
            SPAN_OF_NONE: lambda: self._tracer.start_span(SPAN_NAME).end(),
            SPAN_OF_SIXTEEN: lambda: self._tracer.start_span(SPAN_NAME, attributes=_SIXTEEN).end(),
            CONTEXT: lambda: context_api.detach(context_api.attach(context_api.set_value(_KEY, self))),
            EVENT: self._make,
            EVENT_JSON: lambda: encode(self._event),
            FRAME: lambda: self._journal.append("run-1", self._payload, self._event, sampled=True),
        }

    def _make(self) -> Any:
        return one_event("run-1", self._now, "0" * 32, "0" * 16)

    def measure(self, piece: str, calls: int) -> float:
        """Do it and return the CPU time of once, in microseconds: it waits for nobody.

        Raises:
            BenchmarkError: What was to be on disk is not there.
        """
        do = self._pieces[piece]
        with Watch() as watch:
            for _ in range(calls):
                do()
        self._traced.exported()
        self._journal.tend()
        health = self._journal.health()
        if health.problem is not None or (piece == FRAME and health.bytes < calls * len(self._payload)):
            raise BenchmarkError(f"the journal on disk is not what it was to be: {health}")
        return watch.thread_ns / calls / 1e3

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()


def _main() -> None:
    arguments()
    serve_subject(Subject(), "us")


if __name__ == "__main__":
    _main()
