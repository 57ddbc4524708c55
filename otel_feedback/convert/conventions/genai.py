"""OpenTelemetry's GenAI conventions: the newest names, those of 1.41, those of 1.36, and what came before.

Source: open-telemetry/semantic-conventions and semantic-conventions-genai, registry and migration notes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, cast

from otel_feedback.convert.conventions import common
from otel_feedback.convert.conventions.openinference_kinds import KINDS as OPENINFERENCE_KINDS
from otel_feedback.convert.reading import CallUsage, Reading, Table, Tokens
from otel_feedback.convert.span import FinishedSpan, Reads
from otel_feedback.convert.values import amount, json_value, text

__all__ = ["KINDS", "READS", "TABLE", "TELLING", "GenAiConvention", "kind_of", "read_genai"]

KINDS: Final = {
    "invoke_agent": "agent",
    "handle_conversation_turn": "agent",
    "invoke_workflow": "workflow",
    "create_agent": "agent_create",
    "plan": "plan",
    "execute_tool": "tool",
    "handoff": "handoff",
    "chat": "llm",
    "text_completion": "llm",
    "completion": "llm",
    "generate_content": "llm",
    "message": "llm",
    "messages": "llm",
    "response": "llm",
    "responses": "llm",
    "realtime_inference": "llm",
    "embeddings": "embedding",
    "embedding": "embedding",
    "retrieval": "retrieval",
    "search_memory": "retrieval",
    "vector_db_retrieve": "retrieval",
    "rerank": "retrieval",
    "create_memory": "memory",
    "update_memory": "memory",
    "upsert_memory": "memory",
    "delete_memory": "memory",
    "create_memory_store": "memory",
    "delete_memory_store": "memory",
    "guardrail": "guardrail",
    "fetch_response": "fetch",
    "execute_task": "step",
}
"""Operation to kind. One that is not here is a step: it is kept, but it is not known to be an action."""

OPERATION: Final = "gen_ai.operation.name"
_MCP_METHOD: Final = "mcp.method.name"
_FIRST_CHUNK: Final = ("gen_ai.response.time_to_first_chunk", "gen_ai.client.operation.time_to_first_chunk")
_SHOWN: Final = frozenset({"gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "gen_ai.usage.total_tokens"})
_MODEL_SYSTEMS: Final = ("gen_ai.system", "gen_ai.provider.name")

TABLE: Final = Table(
    texts={
        **common.IDENTITY,
        "agent_name": (
            "gen_ai.agent.name", "agent.name", "agent_name", "traceloop.association.properties.lc_agent_name",
        ),
        "tool_name": ("gen_ai.tool.name", "tool.name", "mcp.tool.name"),
        "model": ("gen_ai.response.model", "gen_ai.request.model", "llm.model_name"),
        "provider": ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system"),
        "workflow_id": ("gen_ai.workflow.name", "traceloop.workflow.name"),
        "error_type": ("error.type",),
        "run_id": ("gen_ai.agent.call.id",),
    },
    tokens=(
        Tokens("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"),
        Tokens("gen_ai.usage.prompt_tokens", "gen_ai.usage.completion_tokens"),
        Tokens("llm.usage.prompt_tokens", "llm.usage.completion_tokens"),
        Tokens("llm.token_count.prompt", "llm.token_count.completion"),
    ),
    cached=(
        "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.details.cache_read_tokens", "llm.token_count.prompt_details.cache_read",
    ),
    cache_write=(
        "gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens", "gen_ai.usage.cache_write_input_tokens",
        "gen_ai.usage.details.cache_write_tokens", "llm.token_count.prompt_details.cache_write",
    ),
    reasoning=(
        "gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens", "llm.usage.reasoning_tokens",
        "gen_ai.usage.details.reasoning_tokens", "llm.token_count.completion_details.reasoning",
    ),
    total=("gen_ai.usage.total_tokens", "llm.usage.total_tokens", "llm.token_count.total"),
    cost=(
        "operation.cost", "gen_ai.usage.cost", "gen_ai.cost.total_cost", "gen_ai.usage.total_cost", "gen_ai.cost.total",
        "llm.cost.total",
    ),
    finish_reasons=(
        "gen_ai.response.finish_reasons", "gen_ai.response.finish_reason", "gen_ai.response.stop_reason",
        "llm.response.finish_reason", "llm.response.stop_reason", "gen_ai.completion.0.finish_reason",
        "llm.finish_reason", "anthropic.message.stop_reason",
    ),
    output=(
        "gen_ai.output.messages", "gen_ai.response.id", "gen_ai.completion.0.content", "gen_ai.completion.0.role",
        "gen_ai.completion", "output.value",
    ),
    tags=("tag.tags", "tags", "langfuse.trace.tags"),
)  # fmt: skip


TELLING: Final = frozenset({
    OPERATION, _MCP_METHOD, "openinference.span.kind", *TABLE.texts["agent_name"], *TABLE.texts["workflow_id"],
})  # fmt: skip
"""Attributes whose values decide of what kind a span is, or what the agent is called; of others it is that they are there."""


READS: Final = Reads(
    values=TABLE.values | TELLING | {"gen_ai.task.status", *_FIRST_CHUNK, *_MODEL_SYSTEMS},
    lists=TABLE.lists,
    json=frozenset({"metadata"}),
    shown=frozenset({*TABLE.output, "gen_ai.transfer.target.agent.name", "gen_ai.transfer.type"}),
    unless=(("gen_ai.output.messages", TABLE.finish_reasons),),
)


@lru_cache(maxsize=256)
def kind_of_operation(operation: str) -> str:
    """Return the kind of an operation, also of one that is named as a function of a client is: `aembedding`."""
    name = operation.strip().lower()
    name = name if name in KINDS or not name.startswith("a") else name[1:]
    return KINDS.get(name) or KINDS.get(name.removesuffix("_stream").rpartition("_")[2], "step")


def kind_of(span: FinishedSpan) -> str:
    """Return the kind by the operation; a model and who serves it, without an operation, is a model call."""
    attributes = span.attributes
    operation = attributes.get(OPERATION)
    if not isinstance(operation, str):
        return "tool" if _MCP_METHOD in attributes else "llm"
    kind = kind_of_operation(operation)
    if kind == "step" and "gen_ai.request.model" in attributes and not _SHOWN.isdisjoint(attributes):
        return "llm"  # what names a model and shows usage is a call of it, whatever it is called
    if kind == "tool" and (
        "gen_ai.transfer.target.agent.name" in span.attributes or "gen_ai.transfer.type" in span.attributes
    ):
        return "handoff"
    return kind


def read_genai(span: FinishedSpan, kind: str, table: Table = TABLE) -> Reading:
    """Return what the attributes of these names say of a span of this kind."""
    attributes = span.attributes
    reading = table.read(attributes, kind)
    if kind in ("agent", "workflow"):
        reading.usage_of = CallUsage.TOTAL
        name = reading.agent_name if kind == "agent" else reading.workflow_id
        if name is None:
            name = common.stripped(span.name)
            if name is not None and name == text(attributes.get(OPERATION)):
                name = None
        reading.agent_name = common.agent_name_of(name)
    elif kind == "tool" and reading.tool_name is None:
        reading.tool_name = common.stripped(span.name)
    elif kind == "step" and isinstance(operation := attributes.get(OPERATION), str) and operation not in KINDS:
        reading.metadata = {**reading.metadata, "operation": operation[:256]}
    if kind not in ("tool", "handoff"):
        reading.tool_name = None
    # Bedrock counts its cache beside, and what wraps its client passes that on; frameworks count it inside
    reading.is_cache_beside = "bedrock" in span.scope and reading.provider in ("aws.bedrock", "aws_bedrock")
    if "metadata" in attributes:
        common.add_metadata(reading, attributes["metadata"])
    for name in _FIRST_CHUNK:
        if name in attributes and (first := amount(attributes[name])) is not None:
            reading.first_token_ms, reading.is_stream = first * 1e3, True
            break
    reading.is_failed = attributes.get("gen_ai.task.status") == "failure"
    if not reading.finish_reasons and kind == "llm":
        reading.finish_reasons = _reasons_in_messages(attributes.get("gen_ai.output.messages"), span)
    return reading


def _reasons_in_messages(messages: object, span: FinishedSpan) -> tuple[str, ...]:
    """Return the finish reasons that stand inside of messages or choice events; the content is not looked at."""
    read = json_value(messages) if isinstance(messages, str) else messages
    items = cast("Sequence[object]", read) if isinstance(read, (list, tuple)) else ()
    given = [cast("Mapping[str, object]", item).get("finish_reason") for item in items if isinstance(item, Mapping)]
    given += [event.attributes.get("finish_reason") for event in span.events if event.name == "gen_ai.choice"]
    return tuple(reason for one in given if (reason := text(one)) is not None)


class GenAiConvention:
    """Spans with an operation name, or with a model and who serves it."""

    name = "otel_genai"
    markers = frozenset({OPERATION, _MCP_METHOD, *_MODEL_SYSTEMS})
    telling = TELLING
    reads = READS

    def matches(self, span: FinishedSpan) -> bool:
        attributes = span.attributes
        if OPERATION not in attributes:
            if attributes.get(_MCP_METHOD) == "tools/call":
                return True
            return "gen_ai.request.model" in attributes and any(name in attributes for name in _MODEL_SYSTEMS)
        other = attributes.get("openinference.span.kind")
        if other is None:
            return True
        # two conventions on one span: where they disagree about what it is, the other one is believed
        kind = OPENINFERENCE_KINDS.get(str(other).upper())
        return kind is None or kind == kind_of(span)

    def read(self, span: FinishedSpan) -> Reading:
        return read_genai(span, kind_of(span))
