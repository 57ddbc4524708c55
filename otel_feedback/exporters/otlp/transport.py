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

__all__ = ["Answer", "OtlpEndpoint", "RequestRefusedError", "Transport", "open_transport", "without_login"]

RETRYABLE_HTTP = frozenset({429, 502, 503, 504})
RETRYABLE_GRPC = frozenset({"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"})
"""And RESOURCE_EXHAUSTED where the server sends RetryInfo with it."""

ABOUT_SENDER_HTTP = frozenset({401, 402, 403, 404, 405, 407, 410, 421, 426, 451})
ABOUT_SENDER_GRPC = frozenset(
    {"UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED", "NOT_FOUND", "FAILED_PRECONDITION", "INTERNAL", "UNKNOWN"}
)
"""Answers to who sends and where to, or of a server in trouble: of a redirect and 5xx by HTTP, too."""


class Answer(NamedTuple):
    """What a server that took the request said: how many records it rejected, and why."""

    rejected: int
    message: str


class RequestRefusedError(ExportError):
    """The server answered that it will not take this request, and not to try it again.

    Args:
        about_sender: What it says is about who sends, where to, or the server itself, rather than about what was sent.
    """

    def __init__(self, detail: str, *, about_sender: bool) -> None:
        super().__init__("rejected", detail, retryable=False)
        self.about_sender = about_sender


class Transport(Protocol):
    """A connection to an OTLP server; used by one thread."""

    def send(self, request: ExportLogsServiceRequest) -> Answer:
        """Send one request and wait for the answer.

        Raises:
            RequestRefusedError: It was answered, and is not to be tried again, as the specification says.
            ExportError: It was not taken; retryable.
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
        if grpc and "://" not in url:
            # as the SDK has it: without a scheme gRPC is secure unless told otherwise; over HTTP it sends nothing then
            url = f"http://{url}" if insecure else f"https://{url}"
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
    scheme, separator, rest = url.partition("://") if "://" in url else ("", "", url)
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
            # said here, since REQUESTS_CA_BUNDLE goes before what a session says
            verify = self._endpoint.certificate or True
            response = self._session.post(
                self._endpoint.url, data=body, timeout=self._endpoint.timeout_s, verify=verify
            )
        except self._requests.exceptions.InvalidHeader as exc:  # its message has the header
            raise ExportError("unavailable", "a header of OTEL_EXPORTER_OTLP_HEADERS is none", retryable=True) from exc
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
        if response.history and response.request.method != "POST":  # which a browser's redirect makes a GET
            moved = f"HTTP {response.history[0].status_code}: it has moved to {without_login(response.url)}"
            raise RequestRefusedError(moved, about_sender=True)
        if not 200 <= status < 300:
            raise RequestRefusedError(
                f"HTTP {status}", about_sender=status < 400 or status >= 500 or status in ABOUT_SENDER_HTTP
            )
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
            detail = f"gRPC {code}: {call.details()}"[:300]
            if code in RETRYABLE_GRPC or (code == "RESOURCE_EXHAUSTED" and asked_s is not None):
                raise ExportError("unavailable", detail, retryable=True, retry_after_s=asked_s) from exc
            raise RequestRefusedError(detail, about_sender=code in ABOUT_SENDER_GRPC) from exc
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
