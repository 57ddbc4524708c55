"""A process that makes the same call over and over and times each one: an action, or a bare SDK span.

Every subject has a TracerProvider with the SDK's own BatchSpanProcessor, as it is by default, and an exporter that
throws spans away. What is measured is the thread that makes the calls: its wall time, which includes waiting for
the interpreter lock while background threads work, and its CPU time, which does not. The garbage collector runs as
it does in a program. After each round the process shows that all its calls were recorded.
"""

from __future__ import annotations

import functools
import logging
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

import otel_feedback as feedback
from benchmarks.children import BenchmarkError, arguments, serve
from benchmarks.subjects.names import AT_START, SET_ATTRIBUTE, UNREACHABLE
from benchmarks.subjects.workload import attributes_at_start, one_action, ten_set_attributes
from benchmarks.summary import percentile

__all__ = ["Subject"]

_BARE = {SET_ATTRIBUTE: ten_set_attributes, AT_START: attributes_at_start}
_UNTIMED_CALLS = 50  # the process has slept since its last round


class _NullExporter(SpanExporter):
    def __init__(self) -> None:
        self.count = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.count += len(spans)
        return SpanExportResult.SUCCESS


class Subject:
    """One way to record ten facts about a piece of work."""

    def __init__(self, name: str) -> None:
        self._exporter = _NullExporter()
        self._spans = BatchSpanProcessor(self._exporter)
        provider = TracerProvider()
        provider.add_span_processor(self._spans)
        self._pipeline: feedback.FeedbackPipeline | None = None
        self._call: Callable[[], None] = one_action
        if name in _BARE:
            self._call = functools.partial(_BARE[name], provider.get_tracer("benchmarks"))
            return
        kafka = _nobody_listens() if name == UNREACHABLE else None
        self._pipeline = feedback.configure(
            tracer_provider=provider, kafka=kafka, enable_outcome_logging=False, enable_otlp=False
        )

    def measure(self, calls: int) -> dict[str, float]:
        """Make the calls and return wall and CPU time per call, and percentiles of single calls, in microseconds.

        Raises:
            BenchmarkError: Not every call was recorded.
        """
        call, clock = self._call, time.perf_counter_ns
        for _ in range(_UNTIMED_CALLS):
            call()
        self._spans.force_flush()  # not the provider's: it would wait for Kafka, too
        before = self._recorded()
        times = [0] * (calls + 1)
        cpu_start = time.thread_time_ns()
        times[0] = clock()
        for place in range(1, calls + 1):
            call()
            times[place] = clock()
        cpu_ns = time.thread_time_ns() - cpu_start
        self._spans.force_flush()
        recorded = [after - start for after, start in zip(self._recorded(), before, strict=True)]
        if any(count != calls for count in recorded):
            raise BenchmarkError(f"of {calls} calls {recorded} were recorded as spans and events")
        single = [(times[place + 1] - times[place]) / 1e3 for place in range(calls)]
        return {
            "wall_us": (times[calls] - times[0]) / calls / 1e3,
            "cpu_us": cpu_ns / calls / 1e3,
            "p50_us": percentile(single, 50),
            "p99_us": percentile(single, 99),
        }

    def _recorded(self) -> list[int]:
        spans = [self._exporter.count]
        return spans if self._pipeline is None else [*spans, self._pipeline.metrics()["recorded"]]

    def close(self) -> None:
        """Give up what is pending: nobody will ever take it."""
        if self._pipeline is not None:
            self._pipeline.shutdown(timeout_s=0)


_reserved: list[socket.socket] = []


def _nobody_listens() -> feedback.KafkaConfig:
    # bound and never listening: connections are refused, and nobody else can get the port
    reserved = socket.socket()
    reserved.bind(("127.0.0.1", 0))
    _reserved.append(reserved)
    return feedback.KafkaConfig(bootstrap_servers=(f"127.0.0.1:{reserved.getsockname()[1]}",))


def _main() -> None:
    logging.disable()  # an unreachable broker is what is asked for
    subject = Subject(arguments()["subject"])

    def answer(request: Mapping[str, Any]) -> Mapping[str, float]:
        return subject.measure(request["calls"])

    serve(answer)
    subject.close()


if __name__ == "__main__":
    _main()
