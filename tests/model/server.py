"""A model on this machine: OpenAI's chat completions, responses and embeddings, always with the same answer.

What it does is said in the prompt, so that a program decides it and not the order of requests. The first line of the
system prompt, else of the user's, that begins with DO:

    DO call TOOL [and TOOL …]     asks for these tools, until their results are there; then answers
    DO fail STATUS                answers with this HTTP status
    DO wait SECONDS               answers later, unless nobody waits for it any more
    DO drip SECONDS               waits between the pieces of a stream

Without any it answers. A key other than `KEY` is refused with 401. Every answer says the same usage.

It stands for the endpoints of vendors, too: whatever else is posted is accepted, and remembered.
"""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, cast

from typing_extensions import Self

from tests.model.answers import APIS, Api, Json

__all__ = ["KEY", "ModelServer"]

KEY = "none"

_CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}


class ModelServer:
    """Listens on a free port of this machine; a context manager that stops it."""

    def __init__(self) -> None:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Where vendors find it; the model's own address ends with /v1."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def vendor_paths(self) -> set[str]:
        """Where vendors' SDKs have sent something."""
        return {path for path, _ in self.vendor_requests}

    @property
    def vendor_requests(self) -> list[tuple[str, bytes]]:
        """What they have sent, in the order of arrival: path and body, uncompressed."""
        return list(self._server.vendor_requests)

    def forget(self) -> None:
        """Be as one that has not heard from any vendor yet."""
        self._server.vendor_requests.clear()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.vendor_requests: list[tuple[str, bytes]] = []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(200, {"project_name": "agents", "project_url": "http://127.0.0.1"})  # Logfire asks about its token

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path not in APIS:
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            cast("_Server", self.server).vendor_requests.append((self.path, body))
            self._send(200, b"", "application/x-protobuf")
        elif self.headers.get("authorization") != f"Bearer {KEY}":
            self._fail(401)
        else:
            self._do(APIS[self.path](json.loads(body)))

    def _do(self, api: Api) -> None:
        verb, words = api.asked()
        if verb == "fail":
            return self._fail(int(words))
        if verb == "wait":
            time.sleep(float(words))
        calls = [tool for tool in words.split(" and ") if tool not in api.done()] if verb == "call" else []
        try:
            if api.request.get("stream"):
                self._stream(api.pieces(calls), float(words) if verb == "drip" else 0)
            else:
                self._answer(200, api.whole(calls))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        return None

    def _fail(self, status: int) -> None:
        code = _CODES.get(status, "server_error")
        self._answer(status, {"error": {"message": f"it is {code}", "type": code, "code": code, "param": None}})

    def _answer(self, status: int, body: Json) -> None:
        self._send(status, json.dumps(body).encode(), "application/json")

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, pieces: Iterator[str], pause_s: float) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for piece in pieces:
            self.wfile.write(piece.encode())
            time.sleep(pause_s)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that the base class has
        """Nothing: a test says what went wrong."""
