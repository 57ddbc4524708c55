"""A process that stands for a backend: an HTTP server on this machine that takes what SDKs post, and counts it when asked.

Whoever is measured shares no interpreter with it. It answers at once and decodes nothing until it is asked, so that what it
computes does not compete with what is measured. Spans by OTLP (protobuf, plain or gzipped) count as spans, transactions in
envelopes of Sentry's too; whatever else is posted or asked for is answered like a success.
"""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from benchmarks.children import serve

__all__ = ["Sink"]


class Sink:
    """Listens on a free port, on a thread for each connection."""

    def __init__(self) -> None:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def spans(self) -> dict[str, int]:
        """Return how many spans of each name came since it was asked last."""
        taken, self._server.bodies = self._server.bodies, []
        found: dict[str, int] = {}
        for path, body in taken:
            for name in _names(path, body):
                found[name] = found.get(name, 0) + 1
        return found

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


def _names(path: str, body: bytes) -> Iterator[str]:
    if path.endswith("/traces"):
        for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope_spans in resource_spans.scope_spans:
                yield from (span.name for span in scope_spans.spans if not _is_pending(span))
    elif path.endswith("/envelope/"):  # lines: a header, then for each item a header and, for these, a line of JSON
        lines = body.split(b"\n")[1:]
        for header, payload in zip(lines[::2], lines[1::2], strict=False):
            if json.loads(header)["type"] == "transaction":
                yield json.loads(payload)["transaction"]


def _is_pending(span: Span) -> bool:
    """Tell whether this says only that a span has started: Logfire's, where start and end are in two requests."""
    return any(one.key == "logfire.span_type" and one.value.string_value == "pending_span" for one in span.attributes)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *args: Any) -> None:
        self.bodies: list[tuple[str, bytes]] = []
        super().__init__(*args)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept, as a real server does
    disable_nagle_algorithm = (
        True  # headers and body are two writes: the second would wait 40 ms for the client's answer
    )

    def do_GET(self) -> None:
        self._answer(b'{"project_name": "agents", "project_url": "http://127.0.0.1"}')  # Logfire asks about its token

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        server = self.server
        assert isinstance(server, _Server)
        server.bodies.append((self.path.partition("?")[0], body))
        self._answer(b"" if self.path.endswith("/traces") else b"{}")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf" if not body else "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that the base class has
        """Say nothing: the default writes every request to stderr."""


def _main() -> None:
    sink = Sink()

    def answer(request: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"spans": sink.spans()} if request["duty"] == "count" else {"url": sink.url}

    serve(answer)
    sink.close()


if __name__ == "__main__":
    _main()
