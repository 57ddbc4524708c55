"""A process that serves requests as an instrumented web service does: HTTP and database spans, and no agent.

Each request is the server's span, with five database spans and two of an HTTP client inside. What is measured is the CPU
time of the thread that serves. The spans go to the SDK's own batch processor and an exporter that throws them away.
"""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace import SpanKind

import otel_feedback as feedback
from benchmarks.children import BenchmarkError, arguments, serve_subject
from benchmarks.subjects.conventions import Shape
from benchmarks.subjects.names import CONFIGURED, FORMER_NAMES, STABLE_NAMES
from benchmarks.subjects.producing import kafka_away, record
from benchmarks.subjects.tracing import Traced
from benchmarks.subjects.watch import Watch
from otel_feedback.sdk.sampling import OutcomeSampler

__all__ = ["SPANS_OF_A_REQUEST", "Subject"]

SPANS_OF_A_REQUEST: Final = 8
UNTIMED_REQUESTS = 20  # the process has slept since its last round

_QUERY: Final = "SELECT id, name, region, cancelled_at FROM customers WHERE region = %s AND cancelled_at > %s LIMIT 50"
_AGENT: Final = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
_STATUS: Final = {"http.response.status_code": 200}

_SHAPES: Final[Mapping[str, tuple[Shape, Shape, Shape]]] = {
    STABLE_NAMES: (
        Shape("GET /customers/{id}", {
            "http.request.method": "GET", "url.scheme": "https", "url.path": "/customers/4711", "url.query": "limit=50",
            "server.address": "shop.example", "server.port": 443, "network.protocol.version": "1.1",
            "client.address": "192.0.2.7", "user_agent.original": _AGENT, "http.route": "/customers/{id}",
        }, _STATUS, SpanKind.SERVER),
        Shape("SELECT customers", {
            "db.system.name": "postgresql", "db.namespace": "shop", "db.operation.name": "SELECT", "db.query.text": _QUERY,
            "server.address": "db.shop.example", "server.port": 5432,
        }, {"db.response.returned_rows": 11}, SpanKind.CLIENT),
        Shape("GET", {
            "http.request.method": "GET", "url.full": "https://stock.example/items/4711", "server.address": "stock.example",
            "server.port": 443, "network.protocol.version": "1.1",
        }, _STATUS, SpanKind.CLIENT),
    ),
    FORMER_NAMES: (
        Shape("GET /customers/{id}", {
            "http.method": "GET", "http.scheme": "https", "http.host": "shop.example", "http.target": "/customers/4711",
            "http.url": "https://shop.example/customers/4711?limit=50", "http.flavor": "1.1", "net.host.port": 443,
            "net.peer.ip": "192.0.2.7", "net.peer.port": 51234, "http.user_agent": _AGENT, "http.route": "/customers/{id}",
        }, {"http.status_code": 200}, SpanKind.SERVER),
        Shape("SELECT", {
            "db.system": "postgresql", "db.name": "shop", "db.user": "shop", "db.statement": _QUERY,
            "net.peer.name": "db.shop.example", "net.peer.port": 5432,
        }, {}, SpanKind.CLIENT),
        Shape("GET", {"http.method": "GET", "http.url": "https://stock.example/items/4711"}, {"http.status_code": 200},
              SpanKind.CLIENT),
    ),
}  # fmt: skip


class Subject:
    """The service, with or without outcome recording, and with a part of its traces sampled: all or none."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._sampled: float = given["sampled"]
        sampler = ParentBasedTraceIdRatio(self._sampled)
        is_ours = given["subject"] == CONFIGURED
        self._traced = Traced(OutcomeSampler(sampler) if is_ours else sampler)
        self._tracer = self._traced.tracer()
        self._pipeline: feedback.FeedbackPipeline | None = None
        if is_ours:
            self._pipeline = record(self._traced.provider, kafka_away())

    def measure(self, names: str, requests: int, work_us: int) -> float:
        """Serve the requests and return the CPU time of one in microseconds.

        Args:
            names: Of the attributes: those of today's conventions, or the former ones.
            requests: How many.
            work_us: CPU time that a request takes besides its spans.

        Raises:
            BenchmarkError: Other spans were exported than those that are sampled, or there was an event.
        """
        for _ in range(UNTIMED_REQUESTS):
            self._serve(names, work_us)
        before = self._traced.exported()
        gc.collect()  # it runs as it does in a program, and begins in each round with the same
        with Watch() as watch:
            for _ in range(requests):
                self._serve(names, work_us)
        exported, expected = self._traced.exported() - before, int(self._sampled * requests * SPANS_OF_A_REQUEST)
        events = 0 if self._pipeline is None else self._pipeline.metrics()["recorded"]
        if exported != expected or events:
            raise BenchmarkError(f"{exported} spans were exported instead of {expected}, and {events} events recorded")
        return watch.thread_ns / requests / 1e3

    def _serve(self, names: str, work_us: int) -> None:
        server, query, call = _SHAPES[names]
        with self._span(server):
            for shape in (query, query, call, query, query, call, query):
                with self._span(shape):
                    pass
            _work(work_us)

    @contextlib.contextmanager
    def _span(self, shape: Shape) -> Any:
        with self._tracer.start_as_current_span(shape.name, kind=shape.kind, attributes=shape.at_start) as span:
            yield
            if span.is_recording():  # as instrumentation asks
                span.set_attributes(shape.at_end)

    def close(self) -> None:
        """End the pipeline, which has nothing."""
        if self._pipeline is not None:
            self._pipeline.shutdown(timeout_s=0)


def _work(work_us: int) -> None:
    if work_us:
        end_ns = time.thread_time_ns() + work_us * 1_000
        while time.thread_time_ns() < end_ns:
            pass


def _main() -> None:
    serve_subject(Subject(arguments()), "us_a_request")


if __name__ == "__main__":
    _main()
