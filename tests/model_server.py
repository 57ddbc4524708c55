"""A model on this machine: OpenAI's chat completions and responses, plain and streamed, always with the same answer.

What it does is said in the prompt, so that a program decides it and not the order of requests. The first line of the
system prompt, else of the user's, that begins with DO:

    DO call TOOL [and TOOL …]     asks for these tools, until their results are there; then answers
    DO fail STATUS                answers with this HTTP status
    DO wait SECONDS               answers later, unless nobody waits for it any more
    DO drip SECONDS               waits between the pieces of a stream

Without any it answers. A key other than `KEY` is refused with 401. Every answer says the same usage.
"""

from __future__ import annotations

import itertools
import json
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from typing_extensions import Self

__all__ = ["ANSWER", "CACHED", "INPUT", "KEY", "OUTPUT", "REASONING", "ModelServer"]

KEY = "none"
ANSWER = "All is well."
INPUT, CACHED, OUTPUT, REASONING = 100, 40, 20, 10
"""Tokens of each call; those from the cache are inside of the input, reasoning inside of the output."""

_DO = re.compile(r"^DO (call|fail|wait|drip) (.+)$", re.MULTILINE)
_number = itertools.count(1)

Json = dict[str, Any]


class ModelServer:
    """Listens on a free port of this machine; a context manager that stops it."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))))
        apis = {"/v1/chat/completions": _Chat, "/v1/responses": _Responses}
        if self.headers.get("authorization") != f"Bearer {KEY}":
            return self._fail(401, "invalid_api_key")
        if self.path not in apis:
            return self._fail(404, "unknown_url")
        api = apis[self.path](request)
        verb, words = api.asked()
        if verb == "fail":
            return self._fail(int(words), "server_error" if int(words) >= 500 else "rate_limit_exceeded")
        if verb == "wait":
            time.sleep(float(words))
        calls = [tool for tool in words.split(" and ") if tool not in api.done()] if verb == "call" else []
        try:
            if request.get("stream"):
                self._stream(api.pieces(calls), float(words) if verb == "drip" else 0)
            else:
                self._answer(200, api.whole(calls))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        return None

    def _fail(self, status: int, code: str) -> None:
        self._answer(status, {"error": {"message": f"it is {code}", "type": code, "code": code, "param": None}})

    def _answer(self, status: int, body: Json) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

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


def _text(content: Any) -> str:
    """Return the text of a message, whose content may be in parts."""
    return content if isinstance(content, str) else "\n".join(part.get("text") or "" for part in content or ())


class _Api:
    """What the two ways of asking have in common."""

    def __init__(self, request: Json) -> None:
        self.request = request
        self.model: str = request["model"]

    def prompts(self) -> Iterator[str]:
        """Yield the system prompt, then what the user said."""
        raise NotImplementedError

    def done(self) -> set[str]:
        """Return the tools whose results are there."""
        raise NotImplementedError

    def asked(self) -> tuple[str, str]:
        for prompt in self.prompts():
            found = _DO.search(prompt)
            if found:
                return found[1], found[2].strip()
        return "answer", ""

    def arguments(self, name: str) -> str:
        """Return what the tool needs: the word `Paris` for everything."""
        tools = [tool.get("function", tool) for tool in self.request.get("tools") or ()]
        schema = next((tool.get("parameters") or {} for tool in tools if tool.get("name") == name), {})
        return json.dumps(dict.fromkeys(schema.get("required", ()), "Paris"))


def _in_order(messages: list[Json], roles: tuple[str, ...]) -> list[str]:
    return [_text(one.get("content")) for one in messages if one.get("role") in roles]


class _Chat(_Api):
    def prompts(self) -> Iterator[str]:
        messages = self.request["messages"]
        yield from _in_order(messages, ("system", "developer"))
        yield from _in_order(messages, ("user",))

    def done(self) -> set[str]:
        messages = self.request["messages"]
        answered = {one.get("tool_call_id") for one in messages if one["role"] == "tool"}
        calls = [call for one in messages for call in one.get("tool_calls") or ()]
        return {call["function"]["name"] for call in calls if call["id"] in answered}

    def _usage(self) -> Json:
        return {
            "prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT,
            "prompt_tokens_details": {"cached_tokens": CACHED, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": REASONING, "audio_tokens": 0},
        }  # fmt: skip

    def _calls(self, calls: list[str]) -> list[Json]:
        return [
            {
                "id": f"call_{next(_number)}", "type": "function", "index": index,
                "function": {"name": name, "arguments": self.arguments(name)},
            }
            for index, name in enumerate(calls)
        ]  # fmt: skip

    def whole(self, calls: list[str]) -> Json:
        message: Json = {"role": "assistant", "content": None if calls else ANSWER}
        if calls:
            message["tool_calls"] = self._calls(calls)
        reason = "tool_calls" if calls else "stop"
        return {
            "id": f"chatcmpl-{next(_number)}", "object": "chat.completion", "created": int(time.time()),
            "model": self.model, "usage": self._usage(),
            "choices": [{"index": 0, "message": message, "finish_reason": reason, "logprobs": None}],
        }  # fmt: skip

    def pieces(self, calls: list[str]) -> Iterator[str]:
        head = {
            "id": f"chatcmpl-{next(_number)}", "object": "chat.completion.chunk", "created": int(time.time()),
            "model": self.model,
        }  # fmt: skip
        deltas: list[Json] = [{"content": f"{word} "} for word in ANSWER.split()]
        if calls:
            deltas = [{"tool_calls": [call]} for call in self._calls(calls)]
        deltas[0]["role"] = "assistant"
        reason = "tool_calls" if calls else "stop"
        ends = [*((delta, None) for delta in deltas), ({}, reason)]
        chunks: list[Json] = [
            {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": end}]} for delta, end in ends
        ]
        if (self.request.get("stream_options") or {}).get("include_usage"):
            chunks.append({**head, "choices": [], "usage": self._usage()})
        for chunk in chunks:
            yield f"data: {json.dumps(chunk)}\n\n"
        yield "data: [DONE]\n\n"


class _Responses(_Api):
    def _items(self) -> list[Json]:
        given = self.request["input"]
        return [{"role": "user", "content": given}] if isinstance(given, str) else given

    def prompts(self) -> Iterator[str]:
        yield self.request.get("instructions") or ""
        yield from _in_order(self._items(), ("system", "developer"))
        yield from _in_order(self._items(), ("user",))

    def done(self) -> set[str]:
        answered = {item["call_id"] for item in self._items() if item.get("type") == "function_call_output"}
        calls = [item for item in self._items() if item.get("type") == "function_call"]
        return {item["name"] for item in calls if item["call_id"] in answered}

    def whole(self, calls: list[str]) -> Json:
        content = {"type": "output_text", "text": ANSWER, "annotations": [], "logprobs": []}
        output: list[Json] = [
            {
                "id": f"fc_{next(_number)}", "type": "function_call", "status": "completed",
                "call_id": f"call_{next(_number)}", "name": name, "arguments": self.arguments(name),
            }
            for name in calls
        ]  # fmt: skip
        if not calls:
            message = {"type": "message", "role": "assistant", "status": "completed", "content": [content]}
            output = [{"id": f"msg_{next(_number)}", **message}]
        return {
            "id": f"resp_{next(_number)}", "object": "response", "created_at": int(time.time()), "error": None,
            "model": self.model, "status": "completed", "output": output, "parallel_tool_calls": True,
            "tool_choice": "auto", "tools": [], "incomplete_details": None, "instructions": None, "metadata": {},
            "usage": {
                "input_tokens": INPUT, "output_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT,
                "input_tokens_details": {"cached_tokens": CACHED, "cache_write_tokens": 0},
                "output_tokens_details": {"reasoning_tokens": REASONING},
            },
        }  # fmt: skip

    def pieces(self, calls: list[str]) -> Iterator[str]:
        whole = self.whole(calls)
        begun = {**whole, "status": "in_progress", "output": [], "usage": None}
        events: list[Json] = [{"type": "response.created", "response": begun}]
        for index, item in enumerate(whole["output"]):
            where = {"output_index": index, "item_id": item["id"]}
            is_call = item["type"] == "function_call"
            empty: Json = {**item, "status": "in_progress", **({"arguments": ""} if is_call else {"content": []})}
            events.append({"type": "response.output_item.added", "output_index": index, "item": empty})
            if is_call:
                name, text = "response.function_call_arguments", item["arguments"]
                events.append({"type": f"{name}.delta", **where, "delta": text})
                events.append({"type": f"{name}.done", **where, "arguments": text, "name": item["name"]})
            else:
                [part] = item["content"]
                where["content_index"] = 0
                events.append({"type": "response.content_part.added", **where, "part": {**part, "text": ""}})
                events += [
                    {"type": "response.output_text.delta", **where, "delta": f"{word} ", "logprobs": []}
                    for word in ANSWER.split()
                ]
                events.append({"type": "response.output_text.done", **where, "text": ANSWER, "logprobs": []})
                events.append({"type": "response.content_part.done", **where, "part": part})
            events.append({"type": "response.output_item.done", "output_index": index, "item": item})
        events.append({"type": "response.completed", "response": whole})
        for number, event in enumerate(events):
            yield f"event: {event['type']}\ndata: {json.dumps({**event, 'sequence_number': number})}\n\n"
