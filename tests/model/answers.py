"""What the model answers to a request, by each of OpenAI's ways to ask. Pure: from JSON to JSON."""

from __future__ import annotations

import itertools
import json
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

__all__ = [
    "ANSWER",
    "APIS",
    "CACHED_TOKENS",
    "INPUT_TOKENS",
    "OUTPUT_TOKENS",
    "REASONING_TOKENS",
    "Api",
    "Json",
]

ANSWER = "All is well."
INPUT_TOKENS, CACHED_TOKENS, OUTPUT_TOKENS, REASONING_TOKENS = 100, 40, 20, 10
"""Of each call; those from the cache are inside of the input, reasoning inside of the output."""

_DO = re.compile(r"^DO (call|fail|wait|drip) (.+)$", re.MULTILINE)
_number = itertools.count(1)

Json = dict[str, Any]


def _text(content: Any) -> str:
    """Return the text of a message, whose content may be in parts."""
    return content if isinstance(content, str) else "\n".join(part.get("text") or "" for part in content or ())


class Api(ABC):
    """What the ways of asking have in common."""

    def __init__(self, request: Json) -> None:
        self.request = request
        self.model: str = request["model"]

    @abstractmethod
    def prompts(self) -> Iterator[str]:
        """Yield the system prompt, then what the user said."""

    @abstractmethod
    def done(self) -> set[str]:
        """Return the tools whose results are there."""

    @abstractmethod
    def whole(self, calls: list[str]) -> Json:
        """Return the answer: calls of these tools, or the text."""

    @abstractmethod
    def pieces(self, calls: list[str]) -> Iterator[str]:
        """Yield the same answer as events of a stream."""

    def asked(self) -> tuple[str, str]:
        """Return the verb and the rest of the first line that says what to do."""
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


class Chat(Api):
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
            "prompt_tokens": INPUT_TOKENS, "completion_tokens": OUTPUT_TOKENS, "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
            "prompt_tokens_details": {"cached_tokens": CACHED_TOKENS, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": REASONING_TOKENS, "audio_tokens": 0},
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


class Responses(Api):
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
                "input_tokens": INPUT_TOKENS, "output_tokens": OUTPUT_TOKENS, "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
                "input_tokens_details": {"cached_tokens": CACHED_TOKENS, "cache_write_tokens": 0},
                "output_tokens_details": {"reasoning_tokens": REASONING_TOKENS},
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


class Embeddings(Api):
    """Takes no prompts; cannot be streamed."""

    def prompts(self) -> Iterator[str]:
        return iter(())

    def done(self) -> set[str]:
        return set()

    def whole(self, calls: list[str]) -> Json:
        vector = {"object": "embedding", "index": 0, "embedding": [0.0, 1.0]}
        usage = {"prompt_tokens": INPUT_TOKENS, "total_tokens": INPUT_TOKENS}
        return {"object": "list", "data": [vector], "model": self.model, "usage": usage}

    def pieces(self, calls: list[str]) -> Iterator[str]:
        return iter(())


APIS: dict[str, type[Api]] = {
    "/v1/chat/completions": Chat,
    "/v1/responses": Responses,
    "/v1/embeddings": Embeddings,
}
"""By path."""
