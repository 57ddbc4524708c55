"""What instrumentation of each convention writes on its spans: an agent's, a model call's, a tool's.

As recorded runs have it: which attributes, how many, how long, and when they are set. What a span is stands there at its
start, or is set right afterwards (Langfuse), or only before it ends (OpenInference's instrumentor of LangChain).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from opentelemetry.trace import SpanKind

__all__ = ["CONVENTIONS", "OTEL_GENAI", "VARIANTS", "Shape", "Written"]


class Shape(NamedTuple):
    """One span: what it starts with, what is set before it ends, and what is set as soon as it has started."""

    name: str
    at_start: Mapping[str, Any]
    at_end: Mapping[str, Any]
    kind: SpanKind = SpanKind.INTERNAL
    then: Mapping[str, Any] | None = None


VARIANTS: Final = 1_021
"""Model calls that differ, as calls do, in their tokens and in the id of the answer; more than are remembered."""


class Written(NamedTuple):
    """The spans of one convention. `session` names the attribute that says whose conversation it is, new in each trace."""

    name: str
    scope: str
    session: str
    agent: Shape
    llm: Shape
    tool: Shape

    def llm_calls(self) -> list[Shape]:
        """Return the model call in all its variants."""
        return [
            self.llm._replace(at_end={name: _varied(value, number) for name, value in self.llm.at_end.items()})
            for number in range(VARIANTS)
        ]


def _varied(value: Any, number: int) -> Any:
    if value == _TOKENS:
        return _TOKENS + number
    if isinstance(value, str):
        return value.replace(_RESPONSE, f"{_RESPONSE}{number}").replace(str(_TOKENS), str(_TOKENS + number))
    return value


_QUESTION: Final = (
    "Which of our customers in the north have cancelled since March, and what did they say about it? " * 4
)
_ANSWER: Final = (
    "Eleven customers have cancelled since March. Most of them say that the price went up; two moved away. " * 2
)
_ARGUMENTS: Final = json.dumps({"region": "north", "since": "2026-03-01", "limit": 50})
_RESULT: Final = json.dumps([{"customer": f"customer {n}", "reason": "price"} for n in range(11)])
_SYSTEM: Final = json.dumps([{"type": "text", "content": "You are a helpful assistant of the sales team."}])
_ASKED: Final = json.dumps([{"role": "user", "parts": [{"type": "text", "content": _QUESTION}]}])
_SAID: Final = json.dumps(
    [{"role": "assistant", "parts": [{"type": "text", "content": _ANSWER}], "finish_reason": "stop"}]
)
_SCHEMA: Final = {"type": "object", "properties": {name: {"type": "string"} for name in ("region", "since", "limit")}}
_TOOLS: Final = json.dumps([{"type": "function", "name": "find_customers", "parameters": _SCHEMA}])
_TOKENS, _RESPONSE = 912, "chatcmpl-CbT3nPq0Zk"
_MODEL, _ANSWERING_MODEL = "gpt-4o-mini", "gpt-4o-mini-2024-07-18"
_SERVER: Final = {"server.address": "api.openai.com", "server.port": 443}
_CHAT: Final = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": _MODEL}
_ANSWERED: Final = {
    "gen_ai.response.model": _ANSWERING_MODEL, "gen_ai.response.id": _RESPONSE, "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.usage.input_tokens": _TOKENS, "gen_ai.usage.output_tokens": 128, "gen_ai.usage.cache_read.input_tokens": 512,
}  # fmt: skip
_MESSAGES: Final = {
    "gen_ai.input.messages": _ASKED, "gen_ai.output.messages": _SAID, "gen_ai.system_instructions": _SYSTEM,
    "gen_ai.tool.definitions": _TOOLS,
}  # fmt: skip
_CALLED: Final = {"gen_ai.tool.call.arguments": _ARGUMENTS, "gen_ai.tool.call.result": _RESULT}

OTEL_GENAI: Final = Written(
    "OTel GenAI", "opentelemetry.instrumentation.genai.openai_agents", "gen_ai.conversation.id",
    Shape("invoke_agent sales_agent", {
        "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "sales_agent", "gen_ai.provider.name": "openai",
    }, {}),
    Shape(f"chat {_MODEL}", {**_CHAT, **_SERVER, "gen_ai.request.temperature": 0.2}, {
        **_ANSWERED, **_MESSAGES, "gen_ai.usage.reasoning.output_tokens": 8, "openai.api.type": "responses",
    }, SpanKind.CLIENT),
    Shape("execute_tool find_customers", {
        "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "find_customers", "gen_ai.tool.type": "function",
    }, _CALLED),
)  # fmt: skip

_PARTS: Final = {"input.mime_type": "application/json", "output.mime_type": "application/json"}
_OPENINFERENCE: Final = Written(
    "OpenInference", "openinference.instrumentation.langchain", "session.id",
    Shape("sales_agent", {}, {
        "openinference.span.kind": "AGENT", "input.value": _ASKED, "output.value": _SAID, **_PARTS, "agent.name": "sales_agent",
        "metadata": json.dumps({"ls_integration": "langchain_create_agent"}),
    }),
    Shape("ChatOpenAI", {}, {
        "openinference.span.kind": "LLM", "input.value": _ASKED, "output.value": _SAID, **_PARTS,
        "llm.input_messages.0.message.role": "system", "llm.input_messages.0.message.content": _SYSTEM,
        "llm.input_messages.1.message.role": "user", "llm.input_messages.1.message.content": _QUESTION,
        "llm.output_messages.0.message.role": "assistant", "llm.output_messages.0.message.content": _ANSWER,
        "llm.invocation_parameters": json.dumps({"model": _MODEL, "stream": False, "temperature": 0.2}),
        "llm.tools.0.tool.json_schema": _TOOLS, "llm.provider": "openai", "llm.system": "openai",
        "llm.model_name": _ANSWERING_MODEL, "llm.token_count.prompt": _TOKENS, "llm.token_count.completion": 128,
        "llm.token_count.total": 1040, "llm.token_count.completion_details.reasoning": 8,
        "llm.token_count.prompt_details.cache_read": 512, "llm.finish_reason": "stop",
        "metadata": json.dumps({"ls_integration": "langchain_chat_model", "langgraph_step": 1, "langgraph_node": "model"}),
    }),
    Shape("find_customers", {}, {
        "openinference.span.kind": "TOOL", "input.value": _ARGUMENTS, "output.value": _RESULT, **_PARTS, "tool.name": "find_customers",
        "tool.description": "finds customers",
        "metadata": json.dumps({"ls_integration": "langchain_create_agent", "langgraph_step": 2, "langgraph_node": "tools"}),
    }),
)  # fmt: skip

_TRACELOOP: Final = {"traceloop.workflow.name": "sales", "traceloop.entity.path": "sales_agent"}
_OPENLLMETRY: Final = Written(
    "OpenLLMetry 0.5", "opentelemetry.instrumentation.openai_agents", "traceloop.association.properties.session_id",
    Shape("sales_agent.agent", {
        "traceloop.span.kind": "agent", "gen_ai.agent.name": "sales_agent", "gen_ai.provider.name": "openai",
        "gen_ai.operation.name": "invoke_agent", **_TRACELOOP,
    }, {}),
    Shape("openai.response", {**_CHAT, **_TRACELOOP}, {
        **_ANSWERED, **_MESSAGES, "gen_ai.request.temperature": 1.0, "gen_ai.request.top_p": 1.0,
        "gen_ai.usage.total_tokens": 1040, "gen_ai.usage.reasoning_tokens": 8,
    }, SpanKind.CLIENT),
    Shape("find_customers.tool", {
        "traceloop.span.kind": "tool", "gen_ai.tool.name": "find_customers", "gen_ai.tool.type": "function",
        "gen_ai.provider.name": "openai", "gen_ai.operation.name": "execute_tool", **_TRACELOOP,
    }, _CALLED),
)  # fmt: skip

_OPENLLMETRY_040: Final = Written(
    "OpenLLMetry 0.40", "opentelemetry.instrumentation.langchain", "traceloop.association.properties.session_id",
    Shape("sales_agent.agent", {
        "traceloop.workflow.name": "sales", "traceloop.span.kind": "agent", "traceloop.entity.name": "sales_agent",
    }, {"traceloop.entity.input": _ASKED, "traceloop.entity.output": _SAID}),
    Shape("ChatOpenAI.chat", {
        **_TRACELOOP, "gen_ai.system": "Langchain", "llm.request.type": "chat", "gen_ai.request.model": _MODEL,
        "llm.request.functions.0.name": "find_customers", "llm.request.functions.0.description": "finds customers",
        "llm.request.functions.0.parameters": json.dumps(_SCHEMA),
        "gen_ai.prompt.0.role": "system", "gen_ai.prompt.0.content": _SYSTEM,
        "gen_ai.prompt.1.role": "user", "gen_ai.prompt.1.content": _QUESTION,
    }, {
        "gen_ai.response.model": _ANSWERING_MODEL, "gen_ai.response.id": _RESPONSE,
        "gen_ai.completion.0.content": _ANSWER, "gen_ai.completion.0.finish_reason": "stop",
        "gen_ai.completion.0.role": "assistant", "gen_ai.usage.prompt_tokens": _TOKENS,
        "gen_ai.usage.completion_tokens": 128, "llm.usage.total_tokens": 1040, "gen_ai.usage.cache_read_input_tokens": 512,
    }, SpanKind.CLIENT),
    Shape("find_customers.tool", {
        **_TRACELOOP, "traceloop.span.kind": "tool", "traceloop.entity.name": "find_customers",
    }, {"traceloop.entity.input": _ARGUMENTS, "traceloop.entity.output": _RESULT}),
)  # fmt: skip

_RUN: Final = {"gen_ai.agent.name": "sales_agent", "gen_ai.agent.call.id": "01a203bc-c034-71dd-8c29-c64fc88c9ca7"}
_LOGFIRE: Final = {"logfire.json_schema": json.dumps(_SCHEMA)}


def _pydantic_ai(version: str, *, is_first: bool) -> Written:
    usage = "gen_ai.usage" if is_first else "gen_ai.aggregated_usage"
    details = {"gen_ai.usage.details.reasoning_tokens": 8, "gen_ai.usage.details.cache_read_tokens": 512}
    arguments, result = ("tool_arguments", "tool_response") if is_first else tuple(_CALLED)
    return Written(
        f"pydantic-ai {version}", "pydantic-ai", "gen_ai.conversation.id",
        Shape("agent run" if is_first else "invoke_agent sales_agent", {
            "model_name": _MODEL, "agent_name": "sales_agent", **_RUN, "gen_ai.operation.name": "invoke_agent",
            "logfire.msg": "sales_agent run",
        }, {
            "final_result": _ANSWER, f"{usage}.input_tokens": 1824, f"{usage}.output_tokens": 256,
            f"{usage}.cache_read.input_tokens": 1024, "pydantic_ai.all_messages": _ASKED,
            "gen_ai.system_instructions": _SYSTEM, **_LOGFIRE,
        }),
        Shape(f"chat {_MODEL}", {
            **_CHAT, "gen_ai.system": "openai", **_SERVER, "model_request_parameters": _TOOLS, **_RUN,
        }, {**_ANSWERED, **_MESSAGES, **_LOGFIRE, **(details if is_first else {})}, SpanKind.CLIENT),
        Shape("running tool" if is_first else "execute_tool find_customers", {
            "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "find_customers", "gen_ai.tool.call.id": "call_0",
            arguments: _ARGUMENTS, **_RUN, "logfire.msg": "running tool: find_customers", **_LOGFIRE,
        }, {result: _RESULT}),
    )  # fmt: skip


_TRACE: Final = {
    "user.id": "user-4711", "langfuse.trace.metadata.tenant": '"acme"', "langfuse.trace.tags": ["sales"],
    "langfuse.environment": "production", "langfuse.release": "2026.3",
}  # fmt: skip
_LANGFUSE: Final = Written(
    "Langfuse", "langfuse-sdk", "session.id",
    Shape("sales_agent", _TRACE, {"langfuse.observation.output": _SAID}, then={
        "langfuse.observation.type": "agent", "langfuse.observation.input": _ASKED,
    }),
    Shape("answer", _TRACE, {
        "langfuse.observation.output": _SAID, "langfuse.observation.model.name": _ANSWERING_MODEL,
        "langfuse.observation.model.parameters": json.dumps({"temperature": 0.2}),
        "langfuse.observation.usage_details": json.dumps({
            "input": _TOKENS, "input_cached_tokens": 512, "output": 120, "output_reasoning_tokens": 8, "total": 1040,
        }),
        "langfuse.observation.cost_details": json.dumps({"total": 0.00123}),
        "langfuse.observation.metadata.step": "1", "langfuse.observation.level": "DEFAULT",
    }, then={"langfuse.observation.type": "generation", "langfuse.observation.input": _ASKED}),
    Shape("find_customers", _TRACE, {"langfuse.observation.output": _RESULT}, then={
        "langfuse.observation.type": "tool", "langfuse.observation.input": _ARGUMENTS,
    }),
)  # fmt: skip

_REQUEST: Final = {"mlflow.traceRequestId": '"tr-dd2fa2a6b9b6524146a646ae6664c7e0"', "mlflow.spanLogLevel": "20"}


def _mlflow(kind: str, function: str, given: str) -> dict[str, Any]:
    return {
        **_REQUEST, "mlflow.spanType": json.dumps(kind), "mlflow.spanFunctionName": json.dumps(function),
        "mlflow.spanInputs": given,
    }  # fmt: skip


_MLFLOW: Final = Written(
    "MLflow", "mlflow.tracing.provider", "mlflow.trace.session",
    Shape("sales_agent", _mlflow("AGENT", "run", _ASKED), {"mlflow.spanOutputs": _SAID}),
    Shape("chat", _mlflow("CHAT_MODEL", "chat", _ASKED), {
        "mlflow.chat.tokenUsage": json.dumps({
            "input_tokens": _TOKENS, "output_tokens": 128, "total_tokens": 1040, "cache_read_input_tokens": 512,
        }),
        "mlflow.llm.model": json.dumps(_ANSWERING_MODEL), "mlflow.llm.provider": '"openai"',
        "mlflow.llm.cost": json.dumps({"input_cost": 0.001, "output_cost": 0.00023, "total_cost": 0.00123}),
        "mlflow.message.format": '"openai"', "mlflow.chat.tools": _TOOLS, "mlflow.spanOutputs": _SAID,
    }),
    Shape("find_customers", _mlflow("TOOL", "find_customers", _ARGUMENTS), {"mlflow.spanOutputs": _RESULT}),
)  # fmt: skip

_OURS: Final = Written(
    "outcome.*", "benchmarks", "gen_ai.conversation.id",
    Shape("sales_agent", {
        "outcome.action_type": "agent", "gen_ai.agent.name": "sales_agent", "outcome.agent_type": "react",
        "outcome.workflow_id": "sales", "user.id": "user-4711", "outcome.tenant_id": "acme",
    }, {"outcome.status": "success", "outcome.quality_score": 0.9, "outcome.tags": ["sales"]}),
    Shape("answer", {
        "outcome.action_type": "llm", "gen_ai.agent.name": "sales_agent", "outcome.workflow_id": "sales",
        "user.id": "user-4711", "outcome.tenant_id": "acme", "gen_ai.request.model": _MODEL, "gen_ai.provider.name": "openai",
    }, {
        "outcome.status": "success", "gen_ai.usage.input_tokens": _TOKENS, "gen_ai.usage.output_tokens": 128,
        "gen_ai.usage.cache_read.input_tokens": 512, "gen_ai.usage.reasoning.output_tokens": 8, "outcome.llm_calls": 1,
        "outcome.metadata.step": 1, "outcome.metadata.prompt_version": "v7",
    }),
    Shape("find_customers", {
        "outcome.action_type": "tool", "gen_ai.agent.name": "sales_agent", "gen_ai.tool.name": "find_customers",
        "outcome.workflow_id": "sales", "user.id": "user-4711", "outcome.tenant_id": "acme",
    }, {"outcome.status": "success", "outcome.metadata.rows": 11}),
)  # fmt: skip

CONVENTIONS: Final = {
    written.name: written
    for written in (
        OTEL_GENAI, _OPENINFERENCE, _OPENLLMETRY, _OPENLLMETRY_040, _pydantic_ai("1.x", is_first=True),
        _pydantic_ai("2.x", is_first=False), _LANGFUSE, _MLFLOW, _OURS,
    )
}  # fmt: skip
