"""A process whose spans are really encoded and sent by OTLP: bare SDK spans, or actions, with Kafka or without.

What is measured is the CPU time of the whole process, all its threads: what is done on the agent's thread, and what is left
to others. The clock runs until everything has been sent, and with Kafka acknowledged.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import logging
from collections.abc import Mapping
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

import otel_feedback as feedback
from benchmarks.children import arguments, serve
from benchmarks.subjects.bare import ten_set_attributes
from benchmarks.subjects.names import NO_EXPORTER, SET_ATTRIBUTE, THERE
from benchmarks.subjects.producing import flush, kafka_away, kafka_config, record, require_journal
from benchmarks.subjects.watch import Watch
from benchmarks.subjects.workload import one_action

__all__ = ["PORTION", "Subject"]

PORTION = 500
"""Spans between two flushes: a batch of the processor, and a quarter of its queue, so that none is dropped."""


class Subject:
    """One way to record ten facts and send them."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._name = name = given["subject"]
        self._spans = BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{given['url']}/v1/traces"))
        provider = TracerProvider()
        provider.add_span_processor(self._spans)
        self._pipeline: feedback.FeedbackPipeline | None = None
        self._call = one_action
        if name == SET_ATTRIBUTE:
            self._call = functools.partial(ten_set_attributes, provider.get_tracer("benchmarks"))
            return
        kafka = None if name == NO_EXPORTER else kafka_config(given) if name == THERE else kafka_away()
        self._pipeline = record(provider, kafka)
        self._recorded = 0

    def measure(self, calls: int) -> Mapping[str, float]:
        """Make the calls and return the CPU time of the process for each, and the wall time of the thread, in microseconds.

        Raises:
            BenchmarkError: An event was not acknowledged, or the journal is not where it was to be.
        """
        made = Watch()
        gc.collect()  # it runs as it does in a program, and begins in each round with the same
        with Watch() as watch:
            for first in range(0, calls, PORTION):
                with made:
                    for _ in range(first, min(calls, first + PORTION)):
                        self._call()
                self._spans.force_flush()
            if self._name == THERE:
                self._deliver(calls)
        if self._pipeline is not None:
            require_journal(self._pipeline, "memory" if self._name == NO_EXPORTER else "disk")
        return {"cpu_us": watch.cpu_us(calls), "wall_us": made.wall_ns / calls / 1e3}

    def _deliver(self, calls: int) -> None:
        assert self._pipeline is not None
        self._recorded += calls
        flush(self._pipeline, self._recorded)

    def close(self) -> None:
        """Give up what is pending: nobody will ever take it."""
        if self._pipeline is not None:
            self._pipeline.shutdown(timeout_s=0)


def _main() -> None:
    logging.disable()  # an unreachable broker is what is asked for
    subject = Subject(arguments())
    with contextlib.closing(subject):
        serve(lambda request: subject.measure(**request))


if __name__ == "__main__":
    _main()
