"""What really happens in each scenario of the programs, whatever an instrumentation makes of it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EXPECTED", "INSTRUMENTORS", "Row"]


@dataclass(frozen=True)
class Row:
    """One action. `of` is the agent that a model call or a tool belongs to, or that an agent is called by.

    Texts may have alternatives, separated by |.
    """

    kind: str
    name: str = ""
    of: str = ""
    status: str = "success"
    error: str = ""
    has_tokens: bool = True

    def __str__(self) -> str:
        return " ".join(word for word in (self.kind, self.name, self.of and f"of {self.of}") if word)


def _agent(name: str = "assistant", status: str = "success", error: str = "", of: str = "") -> Row:
    return Row("agent", name, of, status, error)


def _tool(name: str = "weather", of: str = "assistant", status: str = "success", error: str = "") -> Row:
    return Row("tool", name, of, status, error)


def _call(of: str = "assistant") -> Row:
    return Row("llm", of=of)


def _bad_call(status: str, error: str = "", of: str = "assistant") -> Row:
    return Row("llm", of=of, status=status, error=error, has_tokens=False)


def _bad(status: str, error: str) -> list[Row]:
    return [_agent("assistant", status, error), _bad_call(status, error)]


def _with_tool(name: str = "assistant", of: str = "") -> list[Row]:
    return [_agent(name, of=of), _call(name), _tool(of=name), _call(name)]


_NESTED = [
    _agent("coordinator"), _call("coordinator"), _tool("research", "coordinator"), _call("coordinator"),
    *_with_tool("researcher", "coordinator"),
]  # fmt: skip
_PARALLEL = [row for number in range(3) for row in _with_tool(f"assistant_{number}")]
_READ = [_agent(), _call()]
# who stops reading has what was wanted; what the framework does about it is its own matter
_LEFT = "|CancelledError|GeneratorExit"
_ABANDONED = [_agent(status="partial|success|cancelled", error=_LEFT), _bad_call("partial|cancelled", _LEFT)]
_CANCELLED = _bad("cancelled", "CancelledError|")


def _tool_error(error: str, of_tool: str = "ConnectionError") -> list[Row]:
    return [_agent("assistant", "failure", error), _call(), _tool("broken", status="failure", error=of_tool)]


EXPECTED: dict[str, dict[str, list[Row]]] = {
    "openai_sdk": {
        "tool_call": [_call("")] * 2,
        "model_error": [_bad_call("failure", "InternalServerError", "")],
        "rate_limit": [_bad_call("failure", "RateLimitError", "")],
        "auth_error": [_bad_call("failure", "AuthenticationError", "")],
        "timeout": [_bad_call("timeout", "APITimeoutError", "")],
        "cancellation": [_bad_call("cancelled", "CancelledError|", "")],
        "stream_read": [_call("")],
        "stream_abandoned": [_bad_call("partial", "", "")],
        "stream_cancelled": [_bad_call("cancelled", "CancelledError|", "")],
        "parallel": [_call("")] * 3,
        "responses": [_call("")],
        "responses_stream": [_call("")],
        "responses_error": [_bad_call("failure", "InternalServerError", "")],
    },
    "pydantic_ai_agents": {
        "tool_call": _with_tool(),
        "tool_error": _tool_error("ConnectionError"),
        "model_error": _bad("failure", "ModelServerError"),
        "auth_error": _bad("failure", "ModelAuthenticationError"),
        "timeout": _bad("timeout", "ModelTimeoutError"),
        "cancellation": _CANCELLED,
        "stream_read": _READ,
        "stream_abandoned": _ABANDONED,
        "nested": _NESTED,
        "parallel": _PARALLEL,
    },
    "langgraph_agents": {
        "tool_call": _with_tool(),
        "tool_call_sync": _with_tool(),
        "tool_error": _tool_error("ConnectionError"),
        "model_error": _bad("failure", "OpenAIAPIError"),
        "auth_error": _bad("failure", "OpenAIAuthenticationError"),
        "timeout": _bad("timeout", "OpenAITimeoutError"),
        "cancellation": _CANCELLED,
        "stream_read": _READ,
        "stream_abandoned": _ABANDONED,
        "nested": _NESTED,
        "parallel": _PARALLEL,
    },
    "openai_agents_sdk": {
        "tool_call": _with_tool(),
        "tool_error": _tool_error("UserError", "ConnectionError|UserError"),
        "model_error": _bad("failure", "InternalServerError"),
        "auth_error": _bad("failure", "AuthenticationError"),
        "timeout": _bad("timeout", "APITimeoutError"),
        "cancellation": _CANCELLED,
        "stream_read": _READ,
        "stream_abandoned": _ABANDONED,
        # who hands over has ended before the other begins
        "handoff": [
            _agent("coordinator"), _call("coordinator"), Row("handoff", of="coordinator|"), *_with_tool("researcher"),
        ],
        "nested": _NESTED,
        "parallel": _PARALLEL,
    },
}  # fmt: skip
EXPECTED["langchain_agents"] = EXPECTED["langgraph_agents"]
"""By program and scenario. A call that has no end, or fails, says no tokens."""

INSTRUMENTORS: dict[str, tuple[str, ...]] = {
    "openai_sdk": ("openai_openinference", "openai_openllmetry", "openai_v2", "openai_genai"),
    "pydantic_ai_agents": ("pydantic_ai", "pydantic_ai+openai_openinference"),
    "langgraph_agents": (
        "langchain_openinference", "langchain_openinference+openai_openinference", "langchain_openllmetry",
        "langchain_genai",
    ),
    "langchain_agents": ("langchain_openinference", "langchain_openllmetry", "langchain_genai"),
    "openai_agents_sdk": ("agents_openinference", "agents_openllmetry", "agents_genai+openai_genai"),
}  # fmt: skip
"""By program, what it is run with; those with a + see the same model call twice."""
