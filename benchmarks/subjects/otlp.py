"""Spans that are really sent: a provider with OTLP/HTTP, and the round that is measured where everything goes out.

Nothing of this package is imported: peers are measured where it is not installed.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from benchmarks.subjects.watch import Watch

__all__ = ["PORTION", "Sent", "measure"]

PORTION: Final = 500
"""Calls between two flushes: a batch of the processor, and a quarter of its queue, so that no span is dropped."""


class Sent:
    """A TracerProvider as OpenTelemetry's documentation sets one up for a backend at this URL."""

    def __init__(self, url: str) -> None:
        self._spans = BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{url}/v1/traces"))
        self.provider = TracerProvider()
        self.provider.add_span_processor(self._spans)

    def flush(self) -> None:
        """Return when all finished spans have been sent; what else is on the provider is not waited for."""
        self._spans.force_flush()


def measure(
    call: Callable[[], None], flush: Callable[[], object], calls: int, finish: Callable[[], None] | None = None
) -> Mapping[str, float]:
    """Make calls and see them sent; return the CPU time of the process and the wall time of the thread for each, in µs.

    Args:
        call: What is measured.
        flush: Waits until everything was sent; its CPU time counts, the thread's time that it takes does not.
        calls: How many.
        finish: What else counts as CPU time, at the end.
    """
    made = Watch()
    gc.collect()  # it runs as it does in a program, and begins in each round with the same
    with Watch() as watch:
        for first in range(0, calls, PORTION):
            with made:
                for _ in range(first, min(calls, first + PORTION)):
                    call()
            flush()
        if finish is not None:
            finish()
    return {"cpu_us": watch.cpu_us(calls), "wall_us": made.wall_ns / calls / 1e3}
