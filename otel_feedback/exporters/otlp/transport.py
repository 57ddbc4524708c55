"""One OTLP logs request to a server, by HTTP or gRPC, and what its answer means.

Source: the OTLP specification 1.x: which HTTP and gRPC codes are retryable, Retry-After and RetryInfo, partial
success; and the protocol exporter specification for the OTEL_EXPORTER_OTLP_* variables.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

from otel_feedback.errors import ConfigError, ExportError
from otel_feedback.settings.values import a_flag, a_number, one_of

if TYPE_CHECKING:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
        ExportLogsServiceRequest,
        ExportLogsServiceResponse,
    )

__all__ = ["Answer", "OtlpEndpoint", "Transport", "open_transport", "without_login"]

RETRYABLE_HTTP = frozenset({429, 502, 503, 504})
RETRYABLE_GRPC = frozenset({"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"})
"""And RESOURCE_EXHAUSTED where the server sends RetryInfo with it."""


class Answer(NamedTuple):
    """What a server that took the request said: how many records it rejected, and why."""

    rejected: int
    message: str


class Transport(Protocol):
    """A connection to an OTLP server; used by one thread."""

    def send(self, request: ExportLogsServiceRequest) -> Answer:
        """Send one request and wait for the answer.

        Raises:
            ExportError: It was not taken; retryable or not, as the specification says.
        """
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class OtlpEndpoint(NamedTuple):
    """Where and how to send."""

    url: str
    protocol: str
    headers: Mapping[str, str]
    timeout_s: float
    gzip: bool
    insecure: bool
    certificate: str | None
    client_certificate: str | None
    client_key: str | None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> OtlpEndpoint:
        """Read the standard variables; those for logs go before the general ones.

        Raises:
            ConfigError: One of them cannot be used.
        """
        env = os.environ if environ is None else environ

        def find(name: str) -> tuple[str, str]:
            for variable in (f"OTEL_EXPORTER_OTLP_LOGS_{name}", f"OTEL_EXPORTER_OTLP_{name}"):
                text = env.get(variable, "").strip()
                if text:
                    return variable, text
            return f"OTEL_EXPORTER_OTLP_{name}", ""

        def read(name: str, default: str, reader: Any) -> Any:
            variable, text = find(name)
            try:
                return reader(text or default)
            except ValueError as exc:
                raise ConfigError(variable, text, str(exc)) from None

        protocol = read("PROTOCOL", "http/protobuf", one_of("grpc", "http/protobuf"))
        grpc = protocol == "grpc"
        variable, url = find("ENDPOINT")
        url = url or ("http://localhost:4317" if grpc else "http://localhost:4318")
        insecure = read("INSECURE", "false", a_flag)
        if "://" not in url:
            # as the SDK has it: without a scheme gRPC is secure unless told otherwise
            url = f"https://{url}" if grpc and not insecure else f"http://{url}"
        if not _is_http_url(url):
            raise ConfigError(variable, without_login(url), "a URL such as http://localhost:4318")
        if not grpc and variable == "OTEL_EXPORTER_OTLP_ENDPOINT":
            url = f"{url.rstrip('/')}/v1/logs"
        headers: dict[str, str] = {}
        for pair in find("HEADERS")[1].split(","):
            key, _, value = pair.partition("=")
            if key.strip():
                headers[key.strip().lower()] = unquote(value.strip())
        return cls(
            url=url,
            protocol=protocol,
            headers=headers,
            # Python's OpenTelemetry reads seconds here, and so do its users
            timeout_s=read("TIMEOUT", "10", a_number(0.001, 3_600)),
            gzip=read("COMPRESSION", "none", one_of("gzip", "none", "deflate")) == "gzip",
            insecure=urlsplit(url).scheme == "http",
            certificate=find("CERTIFICATE")[1] or None,
            client_certificate=find("CLIENT_CERTIFICATE")[1] or None,
            client_key=find("CLIENT_KEY")[1] or None,
        )


def _is_http_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is no number
        return False


def without_login(url: str) -> str:
    """Return the URL without user and password, as it may be shown."""
    scheme, separator, rest = url.partition("://")
    address, slash, path = rest.partition("/")
    return f"{scheme}{separator}{address.rpartition('@')[2]}{slash}{path}"


def open_transport(endpoint: OtlpEndpoint) -> Transport:
    """Return the transport for the endpoint's protocol; libraries are imported here, not at configure()."""
    return _GrpcTransport(endpoint) if endpoint.protocol == "grpc" else _HttpTransport(endpoint)


def _partial(response: ExportLogsServiceResponse) -> Answer:
    partial = response.partial_success
    return Answer(int(partial.rejected_log_records), partial.error_message[:300])


class _HttpTransport:
    def __init__(self, endpoint: OtlpEndpoint) -> None:
        import requests

        self._requests = requests
        self._endpoint = endpoint
        self._session = requests.Session()
        self._session.headers.update(endpoint.headers)
        self._session.headers["Content-Type"] = "application/x-protobuf"
        self._session.verify = endpoint.certificate or True
        if endpoint.client_certificate:
            certificate, key = endpoint.client_certificate, endpoint.client_key
            self._session.cert = (certificate, key) if key else certificate
        if endpoint.gzip:
            self._session.headers["Content-Encoding"] = "gzip"

    def send(self, request: ExportLogsServiceRequest) -> Answer:
        from google.protobuf.message import DecodeError
        from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

        body = request.SerializeToString()
        if self._endpoint.gzip:
            packer = zlib.compressobj(6, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
            body = packer.compress(body) + packer.flush()
        try:
            response = self._session.post(self._endpoint.url, data=body, timeout=self._endpoint.timeout_s)
        except self._requests.RequestException as exc:
            raise ExportError("unavailable", _root_cause(exc), retryable=True) from exc
        status = response.status_code
        if status in RETRYABLE_HTTP:
            raise ExportError(
                "unavailable",
                f"HTTP {status}",
                retryable=True,
                retry_after_s=_seconds(response.headers.get("Retry-After")),
            )
        if not 200 <= status < 300:
            raise ExportError("rejected", f"HTTP {status}", retryable=False)
        try:
            return _partial(ExportLogsServiceResponse.FromString(response.content))
        except DecodeError:
            return Answer(0, "")  # 2xx means taken; some servers answer with JSON or nothing

    def close(self) -> None:
        self._session.close()


def _root_cause(exc: BaseException) -> str:
    """Return what went wrong at the bottom; requests and urllib3 wrap a refused connection five times."""
    while (cause := exc.__cause__ or exc.__context__) is not None:
        exc = cause
    return f"{type(exc).__name__}: {exc}"[:300]


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else max(0.0, float(text))
    except ValueError:
        return None  # an HTTP date: our own backoff will do


class _GrpcTransport:
    def __init__(self, endpoint: OtlpEndpoint) -> None:
        import grpc
        from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub

        self._grpc = grpc
        self._endpoint = endpoint
        address = urlsplit(endpoint.url)
        target = f"{address.hostname}:{address.port or 4317}"
        if endpoint.insecure:
            self._channel = grpc.insecure_channel(target)
        else:
            read = _file_bytes
            self._channel = grpc.secure_channel(
                target,
                grpc.ssl_channel_credentials(
                    read(endpoint.certificate), read(endpoint.client_key), read(endpoint.client_certificate)
                ),
            )
        self._stub = LogsServiceStub(self._channel)

    def send(self, request: ExportLogsServiceRequest) -> Answer:
        grpc = self._grpc
        compression = grpc.Compression.Gzip if self._endpoint.gzip else grpc.Compression.NoCompression
        try:
            response = self._stub.Export(
                request,
                timeout=self._endpoint.timeout_s,
                metadata=tuple(self._endpoint.headers.items()),
                compression=compression,
            )
        except grpc.RpcError as exc:
            call: Any = exc
            code = call.code().name
            asked_s = _retry_info_s(call.trailing_metadata())
            retryable = code in RETRYABLE_GRPC or (code == "RESOURCE_EXHAUSTED" and asked_s is not None)
            raise ExportError(
                "unavailable" if retryable else "rejected",
                f"gRPC {code}: {call.details()}"[:300],
                retryable=retryable,
                retry_after_s=asked_s,
            ) from exc
        return _partial(response)

    def close(self) -> None:
        self._channel.close()


def _file_bytes(path: str | None) -> bytes | None:
    return None if path is None else Path(path).read_bytes()


def _retry_info_s(trailers: Any) -> float | None:
    from google.rpc.error_details_pb2 import RetryInfo
    from google.rpc.status_pb2 import Status

    for key, value in trailers or ():
        if key == "grpc-status-details-bin":
            for detail in Status.FromString(value).details:
                info = RetryInfo()
                if detail.Unpack(info):
                    return float(info.retry_delay.ToTimedelta().total_seconds())
    return None
