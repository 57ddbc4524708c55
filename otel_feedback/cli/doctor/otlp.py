"""The doctor's look at the collector: does it take log records and spans, on the protocol that is set?

An empty request is sent for each, which a collector answers and keeps nothing of. Outcome events go by our own
transport; spans by the SDK's exporter, since that is what a program of the user's sends them with.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from otel_feedback.cli.doctor.findings import Finding, State
from otel_feedback.cli.listening import listening
from otel_feedback.cli.network import CONNECT_S, REQUEST_S, UnreachableError, reach, within
from otel_feedback.errors import ConfigError, ExportError
from otel_feedback.exporters.otlp.advice import advice_on
from otel_feedback.exporters.otlp.spans import traces_endpoint
from otel_feedback.exporters.otlp.transport import OtlpEndpoint, open_transport
from otel_feedback.settings.settings import Settings

__all__ = ["check_logs", "check_traces", "import_clients"]

ANSWER_S = 2.0
"""Shorter than a request may take, so that a library still says why it gave up."""

_LOGS, _TRACES, _BOTH = "OTEL_EXPORTER_OTLP_LOGS_", "OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"
_START = "start the collector (docker compose up -d), or correct OTEL_EXPORTER_OTLP_ENDPOINT"
_PORT = "compare OTEL_EXPORTER_OTLP_PROTOCOL ({}) with the port: grpc is usually on 4317, http/protobuf on 4318"
# libraries wrap the reason into what they tried; each of these leaves what is inside
_REASONS = (
    re.compile(r"[Ee]rror details: (.+)"),
    re.compile(r"Transient error (.+) encountered while exporting"),
    re.compile(r"last error: (.+)"),
    re.compile(r"\(Caused by (.+)\)"),
)


def import_clients() -> None:
    """Import what sends the requests. On one thread: two that import these at once can deadlock."""
    from opentelemetry.exporter.otlp.proto.http import trace_exporter
    from opentelemetry.proto.collector.logs.v1 import logs_service_pb2

    del trace_exporter, logs_service_pb2
    if any(os.environ.get(f"{prefix}PROTOCOL", "").strip() == "grpc" for prefix in (_LOGS, _TRACES, _BOTH)):
        from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as grpc_trace_exporter
        from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc

        del grpc_trace_exporter, logs_service_pb2_grpc


def check_logs(settings: Settings) -> Iterator[Finding]:
    """Say whether outcome events can be sent as OTLP log records."""
    name = "OTLP logs"
    if settings.disabled or not settings.enable_otlp:
        todo = "to switch on: OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318"
        yield Finding(name, State.OFF, "events are not sent by OTLP", todo)
        return
    try:
        endpoint = OtlpEndpoint.from_environment()
    except ConfigError as exc:
        yield Finding(name, State.FAILED, str(exc), f"correct {exc.variable}")
        return
    yield _check(name, "logs", endpoint, lambda: _send_logs(endpoint))


def check_traces(settings: Settings) -> Iterator[Finding]:
    """Say whether the spans that `configure()` sends can go out."""
    name = "OTLP traces"
    exporters = [part.strip() for part in os.environ.get("OTEL_TRACES_EXPORTER", "otlp").split(",") if part.strip()]
    if settings.disabled or "otlp" not in (exporters or ["otlp"]):
        why = "nothing is recorded" if settings.disabled else f"OTEL_TRACES_EXPORTER is {','.join(exporters)}"
        todo = "to switch on: OTEL_TRACES_EXPORTER=otlp"
        yield Finding(name, State.OFF, f"spans are not sent by OTLP: {why}", todo)
        return
    try:
        endpoint = traces_endpoint(os.environ)
    except ConfigError as exc:
        yield Finding(name, State.FAILED, str(exc), f"correct {exc.variable}")
        return
    finding = _check(name, "traces", endpoint, lambda: _send_spans(endpoint))
    chosen = any(os.environ.get(f"{prefix}ENDPOINT", "").strip() for prefix in (_TRACES, _BOTH))
    if finding.state is State.FAILED and not chosen:
        # nobody asked for this address: it is where the SDK sends when it is told nothing
        todo = "docker compose up -d; or, to go without traces: OTEL_TRACES_EXPORTER=none"
        finding = finding._replace(
            state=State.WARNING, found=f"{finding.found} (the default); spans are lost", todo=todo
        )
    yield finding


def _check(name: str, signal: str, endpoint: OtlpEndpoint, send: Callable[[], None]) -> Finding:
    address = urlsplit(endpoint.url)
    try:
        usual = 4317 if endpoint.protocol == "grpc" else 443 if address.scheme == "https" else 80
        if not _goes_by_proxy(endpoint):
            reach(address.hostname or "", address.port or usual, CONNECT_S)
    except (UnreachableError, ValueError) as exc:  # ValueError: a port that is no number
        return Finding(name, State.FAILED, str(exc), _START)
    try:
        within(REQUEST_S, send)
    except ExportError as exc:
        found, todo = exc.detail, _advice(exc.detail, signal, endpoint)
    except TimeoutError as exc:
        found, todo = str(exc), _advice("", signal, endpoint)
    except Exception as exc:  # a certificate file that is not there, a channel that cannot be made
        found, todo = f"{type(exc).__name__}: {exc}", "correct the OTEL_EXPORTER_OTLP_… settings"
    else:
        return Finding(name, State.OK, f"{endpoint.url} takes {signal} by {endpoint.protocol}")
    return Finding(name, State.FAILED, f"{endpoint.url}: {_reason(found)}", todo)


def _advice(detail: str, signal: str, endpoint: OtlpEndpoint) -> str:
    return advice_on(detail, signal) or _PORT.format(endpoint.protocol)


def _reason(text: str) -> str:
    text = " ".join(text.split())
    for pattern in _REASONS:
        inner = pattern.search(text)
        text = inner[1] if inner else text
    return text[:160]


def _goes_by_proxy(endpoint: OtlpEndpoint) -> bool:
    from requests.utils import get_environ_proxies

    return endpoint.protocol != "grpc" and bool(get_environ_proxies(endpoint.url))


def _send_logs(endpoint: OtlpEndpoint) -> None:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    transport = open_transport(endpoint._replace(timeout_s=min(ANSWER_S, endpoint.timeout_s)))
    try:
        transport.send(ExportLogsServiceRequest())
    finally:
        transport.close()


def _send_spans(endpoint: OtlpEndpoint) -> None:
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    exporter: SpanExporter
    if endpoint.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter

        exporter = GrpcExporter(timeout=ANSWER_S)
    else:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter

        exporter = HttpExporter(timeout=ANSWER_S)
    try:
        with listening("opentelemetry.exporter.otlp") as logged:
            result = exporter.export([])
    finally:
        exporter.shutdown()
    if result is not SpanExportResult.SUCCESS:
        # the first line has the reason; the last one only says that it gave up
        raise ExportError("unavailable", logged[0].getMessage() if logged else "no reason given", retryable=True)
