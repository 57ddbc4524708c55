"""The OTLP sink's HTTP side: POST /v1/logs with protobuf, plain or gzipped."""

from __future__ import annotations

import contextlib
import gzip
import math
import socket
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from tests.stack.otlp_answer import Handler, ReceivedRequest
from tests.stack.processes import LOOPBACK

_Connection = socket.socket | tuple[bytes, socket.socket]  # the latter for UDP, in typeshed
_PROTOBUF = "application/x-protobuf"


class OtlpHttpServer:
    """Answers on a thread per connection until it is closed."""

    def __init__(self, port: int, handle: Handler) -> None:
        self._server = _Server((LOOPBACK, port), handle)
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.05},
            name="otlp-sink-http",
            daemon=True,
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening and cut the connections that are open."""
        self._server.shutdown()
        self._server.server_close()
        self._server.cut_connections()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a client that keeps its connection must not keep us

    def __init__(self, address: tuple[str, int], handle: Handler) -> None:
        self.handle_export = handle
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()  # guarded by self._lock
        super().__init__(address, _RequestHandler)

    def process_request_thread(self, request: _Connection, client_address: object) -> None:
        assert isinstance(request, socket.socket)
        with self._lock:
            self._connections.add(request)
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._connections.discard(request)

    def cut_connections(self) -> None:
        """End kept connections: their clients would go on being served by a stopped server."""
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: _Connection, client_address: object) -> None:
        """Say nothing of a client that went away; the default writes it to stderr."""


class _RequestHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept, as a real server does

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.path != "/v1/logs":
            self._send(404, Status(message=f"no such path: {self.path}").SerializeToString())
            return
        try:
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            message = ExportLogsServiceRequest.FromString(body)
        except (DecodeError, OSError, EOFError, zlib.error) as error:
            self._send(400, Status(message=str(error)).SerializeToString())
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        server = self.server
        assert isinstance(server, _Server)
        answer = server.handle_export(ReceivedRequest("http", headers, message))
        if answer.is_dropped:
            self.close_connection = True
        elif answer.is_success:
            self._send(200, answer.response().SerializeToString())
        else:
            status = Status(message=answer.message).SerializeToString()
            self._send(answer.status_code, status, retry_after_s=answer.retry_after_s)

    def _send(self, status_code: int, body: bytes, retry_after_s: float | None = None) -> None:
        # A client that has given up meanwhile is part of what the sink is for.
        with contextlib.suppress(ConnectionError):
            self.send_response(status_code)
            self.send_header("Content-Type", _PROTOBUF)
            self.send_header("Content-Length", str(len(body)))
            if retry_after_s is not None:
                # The header knows whole seconds only.
                self.send_header("Retry-After", str(math.ceil(retry_after_s)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Say nothing: the default writes every request to stderr."""
