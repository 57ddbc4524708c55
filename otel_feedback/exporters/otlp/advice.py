"""What to do about an OTLP server's answer, in one line for people: in the log and by the doctor."""

from __future__ import annotations

import re

__all__ = ["advice_on"]

_HEADERS = "correct OTEL_EXPORTER_OTLP_HEADERS"
_ADDRESS = (
    "give the collector a pipeline for {signal} with the otlp receiver, or correct the address: "
    "OTEL_EXPORTER_OTLP_ENDPOINT without a path, or OTEL_EXPORTER_OTLP_{SIGNAL}_ENDPOINT with all of it"
)
_TLS = "http:// before the address where the collector speaks no TLS; else look at OTEL_EXPORTER_OTLP_CERTIFICATE"

_ADVICE = (
    (re.compile(r"(HTTP|code:) 40[13]\b|UNAUTHENTICATED|PERMISSION_DENIED"), _HEADERS),
    (re.compile(r"INTERNAL: Invalid metadata"), "correct OTEL_EXPORTER_OTLP_HEADERS: one of them cannot be sent"),
    (re.compile(r"HTTP 3\d\d\b"), "set the address that it has moved to as OTEL_EXPORTER_OTLP_{SIGNAL}_ENDPOINT"),
    (re.compile(r"HTTP 407\b"), "let this client through the proxy, or set NO_PROXY"),
    (re.compile(r"SSLError|SSL_ERROR|Tls handshake|CERTIFICATE"), _TLS),
    (re.compile(r"(HTTP|code:) (404|405|410)\b|UNIMPLEMENTED|NOT_FOUND"), _ADDRESS),
    (re.compile(r"HTTP 400\b"), "https:// before the address where the server speaks TLS; else look at its log"),
    (re.compile(r"ModuleNotFoundError.*grpc"), "pip install opentelemetry-exporter-otlp-proto-grpc"),
)


def advice_on(detail: str, signal: str = "logs") -> str | None:
    """Return what to do about an answer, as `ExportError.detail` or the SDK's exporters tell it; None: nobody knows."""
    for signs, todo in _ADVICE:
        if signs.search(detail):
            return todo.format(signal=signal, SIGNAL=signal.upper())
    return None
