"""TracerProviders: making one that exports by OTLP and records every action, or working on somebody else's.

Only `bootstrap` uses this. A provider that we make gets a sampler that records what it does not sample, so that
an action has its outcome event even where traces are sampled at 1 %.
"""

from __future__ import annotations

import atexit
import os
import uuid
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from inspect import signature
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor, SpanExporter

from otel_feedback.errors import ConfigError
from otel_feedback.logger import get_logger
from otel_feedback.sdk.sampling import OutcomeSampler, sampler_of_environment

__all__ = ["attach", "prepare", "prepare_metrics"]

logger = get_logger(__name__)

Flush = Callable[[float], None]

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def prepare(
    given: trace.TracerProvider | None, service_name: str, default_place: Callable[[], SpanExporter]
) -> tuple[trace.TracerProvider, Flush | None]:
    """Return the provider to work on, and what flushes its spans at shutdown (None if it is not ours).

    Args:
        default_place: Makes what exports by OTLP where no endpoint is set.

    Raises:
        ConfigError: `OTEL_TRACES_EXPORTER` names an exporter that is not installed, or the argument of
            `OTEL_TRACES_SAMPLER=otel_feedback` no sampler.
    """
    if given is not None:
        return given, None
    current = trace.get_tracer_provider()
    if hasattr(current, "add_span_processor"):
        return current, None
    provider = TracerProvider(sampler_of_environment(), Resource.create({SERVICE_NAME: service_name}))
    if not isinstance(provider.sampler, OutcomeSampler):
        provider.sampler = OutcomeSampler(provider.sampler)
    exporters = _exporters(default_place)
    for exporter in exporters:
        # the console is for people: at once, and in order
        process = SimpleSpanProcessor if isinstance(exporter, ConsoleSpanExporter) else BatchSpanProcessor
        provider.add_span_processor(process(exporter))
    trace.set_tracer_provider(provider)
    flush = _SpanFlush(provider, exporters)
    atexit.register(flush.stop_retries)
    return provider, flush


class _SpanFlush:
    """Flushes a provider's spans, and stops those exporters that go on retrying after their time."""

    def __init__(self, provider: TracerProvider, exporters: Sequence[SpanExporter]) -> None:
        self._provider = provider
        self._exporters = exporters
        self._hangs = False

    def __call__(self, timeout_s: float) -> None:
        self._hangs = True
        self._hangs = not self._provider.force_flush(int(timeout_s * 1e3))

    def stop_retries(self) -> None:
        """At exit, after our flush and before the provider's own, which would wait for all retries."""
        if self._hangs:
            for exporter in self._exporters:
                exporter.shutdown()


def attach(provider: trace.TracerProvider, processor: SpanProcessor) -> None:
    """Add our processor; a provider that takes none still gets events of `action()`, not of other spans."""
    if hasattr(provider, "add_span_processor"):
        takes: Any = provider
        add = takes.add_span_processor
        # Phoenix's provider stops exporting to Phoenix when another processor comes, unless told not to
        is_phoenix = "replace_default_processor" in signature(add).parameters
        add(processor, **({"replace_default_processor": False} if is_phoenix else {}))
    else:
        logger.warning(
            "%s takes no span processors: outcomes of action() are recorded, other spans are not seen",
            type(provider).__name__,
        )


def prepare_metrics(service_name: str) -> None:
    """Make a MeterProvider that exports by OTLP, where the program has none and an OTLP endpoint is set."""
    names = os.environ.get("OTEL_METRICS_EXPORTER", "").strip()
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")
    is_wanted = names == "otlp" or (not names and any(os.environ.get(name, "").strip() for name in endpoints))
    if not is_wanted or hasattr(metrics.get_meter_provider(), "force_flush"):
        return
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricExporter, PeriodicExportingMetricReader

    exporter: MetricExporter
    if _otlp_protocol("METRICS") == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcExporter

        exporter = GrpcExporter()
    else:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpExporter

        exporter = HttpExporter()
    resource = Resource.create({SERVICE_NAME: service_name})
    if SERVICE_INSTANCE_ID not in resource.attributes:  # older SDKs: two processes would be one series
        resource = resource.merge(Resource({SERVICE_INSTANCE_ID: str(uuid.uuid4())}))
    metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(exporter)], resource))


def _exporters(default_place: Callable[[], SpanExporter]) -> list[SpanExporter]:
    is_named = any(os.environ.get(name, "").strip() for name in _ENDPOINTS)
    otlp = _otlp_exporter if is_named else default_place
    names = os.environ.get("OTEL_TRACES_EXPORTER", "").strip() or "otlp"
    make: dict[str, Callable[[], SpanExporter]] = {"otlp": otlp, "console": ConsoleSpanExporter}
    return [
        make[name]() if name in make else _installed_exporter(name)
        for name in dict.fromkeys(part.strip() for part in names.split(","))
        if name != "none"
    ]


def _otlp_exporter() -> SpanExporter:
    if _otlp_protocol("TRACES") == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter

        return GrpcExporter()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter

    return HttpExporter()


def _otlp_protocol(signal: str) -> str:
    for variable in (f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        protocol = os.environ.get(variable, "").strip()
        if protocol:
            if protocol not in ("grpc", "http/protobuf"):
                raise ConfigError(variable, protocol, "grpc or http/protobuf")
            return protocol
    return "http/protobuf"  # the specification's default


def _installed_exporter(name: str) -> SpanExporter:
    for entry in entry_points(group="opentelemetry_traces_exporter", name=name):
        exporter: SpanExporter = entry.load()()
        return exporter
    raise ConfigError("OTEL_TRACES_EXPORTER", name, "otlp, console, none, or the name of an installed exporter")
