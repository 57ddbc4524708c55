"""A provider as a program has it: the SDK's own batch processor, as it is by default, and an exporter that only counts."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Sampler
from opentelemetry.trace import Tracer

__all__ = ["Traced"]


class _CountingExporter(SpanExporter):
    def __init__(self) -> None:
        self.count = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.count += len(spans)
        return SpanExportResult.SUCCESS


class Traced:
    """A TracerProvider whose spans are thrown away, and counted, which shows that they were made."""

    def __init__(self, sampler: Sampler | None = None) -> None:
        self._exporter = _CountingExporter()
        self._spans = BatchSpanProcessor(self._exporter)
        self.provider = TracerProvider(sampler)
        self.provider.add_span_processor(self._spans)

    def tracer(self) -> Tracer:
        """Return a tracer for spans that are not ours."""
        return self.provider.get_tracer("benchmarks")

    def exported(self) -> int:
        """Return how many spans there were so far."""
        self._spans.force_flush()  # not the provider's: it would wait for Kafka, too
        return self._exporter.count
