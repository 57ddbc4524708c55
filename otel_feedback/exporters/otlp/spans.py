"""Spans to the address where OTLP goes when nobody names one: one request a batch, and nobody there is no trouble.

Input: the SDK's batches, on the thread of its processor. The SDK's own exporter retries for seconds, also at the end of the
program, and complains each time; that is right for a collector that somebody named, not for one that may never have been.
Guarantee: no request before there are spans; a refused one costs no wait, and one log line until one has been taken.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_feedback.errors import ConfigError, ExportError
from otel_feedback.exporters.otlp.transport import OtlpEndpoint, open_transport
from otel_feedback.logger import get_logger
from otel_feedback.sdk.forks import import_guard, import_host_lookup

if TYPE_CHECKING:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

__all__ = ["DefaultPlaceExporter", "traces_endpoint"]

logger = get_logger(__name__)

_LOGS, _TRACES = "OTEL_EXPORTER_OTLP_LOGS_", "OTEL_EXPORTER_OTLP_TRACES_"
_METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_RECONNECT_MS = 1_000
"""gRPC would otherwise look for a collector that comes later every two minutes."""


class DefaultPlaceExporter(SpanExporter):
    """Sends spans to the default address, once each; used where no endpoint is set."""

    def __init__(self, endpoint: OtlpEndpoint | None = None) -> None:
        self._endpoint = endpoint or traces_endpoint(os.environ)
        self._transport: Any = None
        self._pid = 0
        self._is_told = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send the batch; never raises."""
        try:
            if self._pid != os.getpid():  # a forked child must not write into its parent's connection
                with import_guard:
                    import_host_lookup()
                    # the answers for spans and for log records have the same shape on the wire, but not in gRPC's path
                    is_grpc = self._endpoint.protocol == "grpc"
                    self._transport = _Grpc(self._endpoint) if is_grpc else open_transport(self._endpoint)
                    self._pid = os.getpid()
            self._transport.send(_encoded(spans))
        except Exception as exc:
            if not self._is_told:
                why = exc.detail if isinstance(exc, ExportError) else f"{type(exc).__name__}: {exc}"
                logger.warning(
                    "spans are lost while no collector takes them at %s, the default (%s); set "
                    "OTEL_EXPORTER_OTLP_ENDPOINT, or OTEL_TRACES_EXPORTER=none to go without traces",
                    self._endpoint.url, why,
                )  # fmt: skip
            self._is_told = True
            return SpanExportResult.FAILURE
        self._is_told = False
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is kept here."""
        return True


def _encoded(spans: Sequence[ReadableSpan]) -> ExportTraceServiceRequest:
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

    return encode_spans(spans)


class _Grpc:
    def __init__(self, endpoint: OtlpEndpoint) -> None:
        import grpc

        self._grpc, self._endpoint = grpc, endpoint
        address = urlsplit(endpoint.url)
        options = [("grpc.max_reconnect_backoff_ms", _RECONNECT_MS)]
        self._channel = grpc.insecure_channel(f"{address.hostname}:{address.port}", options)
        self._call: Any = self._channel.unary_unary(_METHOD)

    def send(self, request: ExportTraceServiceRequest) -> None:
        try:
            metadata = tuple(self._endpoint.headers.items())
            self._call(request.SerializeToString(), timeout=self._endpoint.timeout_s, metadata=metadata)
        except self._grpc.RpcError as exc:
            call: Any = exc
            raise ExportError("unavailable", f"gRPC {call.code().name}", retryable=False) from exc

    def close(self) -> None:
        self._channel.close()


def traces_endpoint(environ: Mapping[str, str]) -> OtlpEndpoint:
    """Read the variables for traces by the reader of those for logs: the specification has the same for both.

    Raises:
        ConfigError: One of them cannot be used.
    """
    renamed = {name: value for name, value in environ.items() if not name.startswith(_LOGS)}
    for name, value in environ.items():
        if name.startswith(_TRACES):
            renamed[_LOGS + name.removeprefix(_TRACES)] = value
    try:
        endpoint = OtlpEndpoint.from_environment(renamed)
    except ConfigError as exc:
        raise ConfigError(exc.variable.replace(_LOGS, _TRACES), exc.value, exc.expected) from None
    if renamed.get(f"{_LOGS}ENDPOINT", "").strip():
        return endpoint
    # the general endpoint, to which HTTP adds the signal's path
    return endpoint._replace(
        url=endpoint.url.removesuffix("/v1/logs") + "/v1/traces" * endpoint.url.endswith("/v1/logs")
    )
