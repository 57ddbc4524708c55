"""MLflow tracing: `mlflow.*`, every value in JSON, also scalars."""

from __future__ import annotations

from typing import Final

from otel_feedback.convert.conventions import common
from otel_feedback.convert.reading import CallUsage, Reading, Table
from otel_feedback.convert.span import FinishedSpan, Reads
from otel_feedback.convert.usage import TokenUsage
from otel_feedback.convert.values import amount, count, json_map, text, unquoted

__all__ = ["MlflowConvention"]

_TYPE: Final = "mlflow.spanType"
_MODEL: Final = "mlflow.llm.model"
_PROVIDER: Final = "mlflow.llm.provider"
_USAGE: Final = "mlflow.chat.tokenUsage"
_COST: Final = "mlflow.llm.cost"

KINDS: Final = {
    "AGENT": "agent",
    "WORKFLOW": "workflow",
    "CHAIN": "chain",
    "TOOL": "tool",
    "LLM": "llm",
    "CHAT_MODEL": "llm",
    "EMBEDDING": "embedding",
    "RETRIEVER": "retrieval",
    "RERANKER": "retrieval",
    "MEMORY": "memory",
    "GUARDRAIL": "guardrail",
    "EVALUATOR": "evaluation",
}
TABLE: Final = Table(
    texts={**common.IDENTITY, "error_type": ("error.type",)}, tokens=(), output=("mlflow.spanOutputs",)
)


class MlflowConvention:
    """Spans of MLflow's tracing."""

    name = "mlflow"
    markers = frozenset({_TYPE})
    telling = frozenset({_TYPE})
    reads = Reads(
        values=TABLE.values,
        lists=TABLE.lists,
        json=frozenset({_TYPE, _MODEL, _PROVIDER, _USAGE, _COST}),
        shown=frozenset(TABLE.output),
    )

    def matches(self, span: FinishedSpan) -> bool:
        return _TYPE in span.attributes

    def read(self, span: FinishedSpan) -> Reading:
        attributes = span.attributes
        kind = KINDS.get(str(unquoted(attributes[_TYPE])).upper(), "step")
        reading = TABLE.read(attributes, kind)
        if kind in ("agent", "workflow", "chain"):
            reading.agent_name = common.agent_name_of(common.stripped(span.name))
        elif kind == "tool":
            reading.tool_name = common.stripped(span.name)
        if kind not in ("llm", "embedding"):
            reading.usage_of = CallUsage.TOTAL
        reading.model = text(unquoted(attributes.get(_MODEL)))
        reading.provider = text(unquoted(attributes.get(_PROVIDER)))
        used = json_map(attributes.get(_USAGE))
        given, gotten = count(used.get("input_tokens")), count(used.get("output_tokens"))
        if given is not None or gotten is not None:
            cached, written = count(used.get("cache_read_input_tokens")), count(used.get("cache_creation_input_tokens"))
            reading.usage = TokenUsage(given, gotten, cached, written)
        reading.total_tokens = count(used.get("total_tokens"))
        reading.cost = amount(json_map(attributes.get(_COST)).get("total_cost"))
        return reading
