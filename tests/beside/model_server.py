"""A server that stands for all that the programs talk to: a model by OpenAI's protocol, and vendors' trace endpoints.

`/v1/chat/completions` (plain and streamed), `/v1/responses` and `/v1/embeddings` answer the same to everybody, and
404 for the model `missing`. Whatever else is posted is a vendor's: it is accepted, and remembered.
"""

from __future__ import annotations

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, cast

from typing_extensions import Self

INPUT_TOKENS, OUTPUT_TOKENS = 11, 7
ANSWER = "forty two"


class ModelServer:
    """Listens on a free port of this machine; a context manager that stops it."""

    def __init__(self) -> None:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
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
        self._answer(
            200, b'{"project_name": "agents", "project_url": "http://127.0.0.1"}'
        )  # Logfire asks about its token

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        answer = _ANSWERS.get(self.path)
        if answer is None:
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            cast("_Server", self.server).vendor_requests.append((self.path, body))
            self._answer(200, b"", "application/x-protobuf")
            return
        request = json.loads(body)
        model = request["model"]
        if model == "missing":
            error = {"message": "there is no such model", "type": "invalid_request_error", "code": "model_not_found"}
            self._answer(404, json.dumps({"error": error}).encode())
        elif request.get("stream"):
            events = [f"data: {json.dumps(chunk)}\n\n" for chunk in _chunks(model)]
            self._answer(200, "".join([*events, "data: [DONE]\n\n"]).encode(), "text/event-stream")
        else:
            self._answer(200, json.dumps(answer(model)).encode())

    def _answer(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that the base class has
        """Nothing: a test says what went wrong."""


_USAGE = {
    "prompt_tokens": INPUT_TOKENS,
    "completion_tokens": OUTPUT_TOKENS,
    "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
}


def _chat(model: str) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": model, "choices": [choice],
        "usage": _USAGE,
    }  # fmt: skip


def _chunks(model: str) -> list[dict[str, Any]]:
    head = {"id": "chatcmpl-2", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": model}
    words = [
        {
            **head,
            "choices": [{"index": 0, "delta": {"role": "assistant", "content": f"{word} "}, "finish_reason": None}],
        }
        for word in ANSWER.split()
    ]
    end = {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    return [*words, end, {**head, "choices": [], "usage": _USAGE}]


def _response(model: str) -> dict[str, Any]:
    content = {"type": "output_text", "text": ANSWER, "annotations": []}
    message = {"id": "msg-1", "type": "message", "role": "assistant", "status": "completed", "content": [content]}
    return {
        "id": "resp-1", "object": "response", "created_at": 1_700_000_000, "model": model, "status": "completed",
        "output": [message], "parallel_tool_calls": False, "tool_choice": "auto", "tools": [],
        "usage": {
            "input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS, "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
            "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0},
        },
    }  # fmt: skip


def _embeddings(model: str) -> dict[str, Any]:
    vector = {"object": "embedding", "index": 0, "embedding": [0.0, 1.0]}
    usage = {"prompt_tokens": INPUT_TOKENS, "total_tokens": INPUT_TOKENS}
    return {"object": "list", "data": [vector], "model": model, "usage": usage}


_ANSWERS = {"/v1/chat/completions": _chat, "/v1/responses": _response, "/v1/embeddings": _embeddings}
