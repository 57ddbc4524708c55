"""OpenInference (Arize): `openinference.span.kind`, everything else flattened. Source: its semantic conventions 0.1.42."""

from __future__ import annotations

from typing import Final, cast

from otel_feedback.convert.conventions import common
from otel_feedback.convert.conventions.genai import TABLE as GENAI
from otel_feedback.convert.conventions.openinference_kinds import KINDS
from otel_feedback.convert.reading import CallUsage, Reading, Table, Tokens
from otel_feedback.convert.span import FinishedSpan, Reads
from otel_feedback.convert.values import amount, json_map, text

__all__ = ["OpenInferenceConvention"]

_KIND: Final = "openinference.span.kind"
_DETAILS: Final = "llm.token_count.prompt_details."

TABLE: Final = Table(
    texts={
        **GENAI.texts,
        "agent_name": ("agent.name", "gen_ai.agent.name", "agent_name"),
        "tool_name": ("tool.name", "gen_ai.tool.name"),
        "model": (
            "llm.response.model_name", "llm.model_name", "llm.request.model_name", "embedding.model_name",
            "reranker.model_name", "gen_ai.response.model", "gen_ai.request.model",
        ),
        "provider": ("llm.provider", "llm.system", "gen_ai.provider.name", "gen_ai.system"),
    },
    tokens=(Tokens("llm.token_count.prompt", "llm.token_count.completion"), *GENAI.tokens),
    cached=(f"{_DETAILS}cache_read", f"{_DETAILS}cache_input", *GENAI.cached),
    cache_write=(f"{_DETAILS}cache_write", *GENAI.cache_write),
    reasoning=("llm.token_count.completion_details.reasoning", *GENAI.reasoning),
    total=("llm.token_count.total",),
    cost=("llm.cost.total", "operation.cost"),
    finish_reasons=("llm.finish_reason", "llm.response.finish_reason", *GENAI.finish_reasons),
    output=("output.value", "llm.output_messages.0.message.role", "llm.output_messages.0.message.content"),
    tags=("tag.tags", "tags"),
)  # fmt: skip


class OpenInferenceConvention:
    """Spans with a kind of OpenInference's."""

    name = "openinference"
    markers = frozenset({_KIND})
    telling = frozenset({_KIND, *TABLE.texts["agent_name"], "graph.node.id"})
    reads = Reads(
        values=TABLE.values | telling | {"llm.cost.prompt", "llm.cost.completion"},
        lists=TABLE.lists,
        json=frozenset({"metadata"}),
        shown=frozenset(TABLE.output),
        unless=(
            ("output.value", TABLE.finish_reasons),
            ("llm.invocation_parameters", TABLE.finish_reasons),
            ("llm.invocation_parameters", TABLE.texts["model"]),
        ),
    )

    def matches(self, span: FinishedSpan) -> bool:
        return _KIND in span.attributes

    def read(self, span: FinishedSpan) -> Reading:
        attributes = span.attributes
        kind = KINDS.get(str(attributes[_KIND]).upper(), "step")
        if kind == "tool" and span.name.lower().startswith(("handoff to ", "transfer_to_")):
            kind = "handoff"
        reading = TABLE.read(attributes, kind)
        if "metadata" in attributes:
            common.add_metadata(reading, attributes["metadata"])
        if kind == "chain" and reading.agent_name is not None and reading.agent_name == span.name:
            kind = reading.kind = "agent"  # LangChain's agents are chains that say whose they are
        if kind == "agent":
            reading.may_be_wrapper = reading.agent_name is None and "graph.node.id" not in attributes
            name = reading.agent_name or text(attributes.get("graph.node.id")) or common.stripped(span.name)
            reading.agent_name = common.agent_name_of(name)
        elif kind == "chain":
            reading.agent_name = common.agent_name_of(common.stripped(span.name))
        elif kind == "tool" and reading.tool_name is None:
            reading.tool_name = common.stripped(span.name)
        if kind not in ("tool", "handoff"):
            reading.tool_name = None
        if kind not in ("llm", "embedding"):
            reading.usage_of = CallUsage.TOTAL
        if reading.cost is None:
            parts = [amount(attributes.get(f"llm.cost.{part}")) for part in ("prompt", "completion")]
            known = [part for part in parts if part is not None]
            reading.cost = sum(known) if known else None
        if kind == "llm":
            self._look_for_end(span, reading)
            if reading.model is None or (span.status == "unset" and not reading.finish_reasons):
                # until the answer comes, only the request says it
                request = json_map(attributes.get("llm.invocation_parameters"))
                reading.model = reading.model or text(request.get("model"))
                reading.is_stream = reading.is_stream or request.get("stream") is True
        return reading

    def _look_for_end(self, span: FinishedSpan, reading: Reading) -> None:
        """Find the finish reason and the first token where no attribute says them."""
        for event in span.events:
            if event.name == "First Token Stream Event":
                reading.first_token_ms = (event.at_ns - span.start_ns) / 1e6
                reading.is_stream = True
                break
        if reading.finish_reasons or span.attributes.get("output.mime_type") != "application/json":
            return
        # of the answer's own JSON only the two words are taken that say how it ended
        answer = json_map(span.attributes.get("output.value"))
        choices = answer.get("choices")
        if isinstance(choices, list):
            found = [text(json_map(choice).get("finish_reason")) for choice in cast("list[object]", choices)]
            reading.finish_reasons = tuple(reason for reason in found if reason is not None)
        elif (reason := text(json_map(answer.get("incomplete_details")).get("reason"))) is not None:
            reading.finish_reasons = (reason,)
        elif answer.get("status") in ("incomplete", "failed", "cancelled"):
            reading.finish_reasons = (str(answer["status"]),)
        elif (reason := text(answer.get("stop_reason"))) is not None:
            reading.finish_reasons = (reason,)
