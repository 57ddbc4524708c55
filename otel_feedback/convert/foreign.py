"""What a convention read, and how it is judged to have ended, becomes an outcome event."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from typing import Any, Final

from otel_feedback import semconv
from otel_feedback.convert.costs import told_price
from otel_feedback.convert.pricing import Price
from otel_feedback.convert.reading import Reading
from otel_feedback.convert.rollup import told_amounts
from otel_feedback.convert.span import FinishedSpan
from otel_feedback.convert.status import Judgement
from otel_feedback.convert.tree import Node
from otel_feedback.events.model import SCHEMA_VERSION, OutcomeEvent, OutcomeStatus
from otel_feedback.redaction.limits import MAX_STACK, MAX_TEXT, Problems, clean_metadata, clean_text, cut

__all__ = ["framework_of", "of_others", "provider_of", "to_event"]

_RENAMED: Final = {
    "vertex_ai": "gcp.vertex_ai",
    "vertexai": "gcp.vertex_ai",
    "gemini": "gcp.gemini",
    "google": "gcp.gen_ai",
    "az.ai.openai": "azure.ai.openai",
    "az.ai.inference": "azure.ai.inference",
    "azure": "azure.ai.openai",
    "xai": "x_ai",
    "mistralai": "mistral_ai",
    "mistral": "mistral_ai",
    "aws": "aws.bedrock",
    "bedrock": "aws.bedrock",
}
"""Old names of providers and those of other conventions, as `gen_ai.provider.name` has them."""

_NO_PROVIDERS: Final = frozenset({
    "langchain", "langgraph", "crewai", "genericfakechatmodel", "test", "function", "llama_index", "llamaindex", "autogen",
    "haystack", "agno", "smolagents", "dspy", "pydantic-ai", "pydantic_ai", "strands-agents", "strands", "openai-agents", "openai_agents",
    "semantic_kernel", "agent_framework", "google_adk", "ag2", "litellm",
})  # fmt: skip
"""Frameworks, and test doubles, that stand where a provider should."""

_SCOPES: Final = (
    "openinference.instrumentation.",
    "opentelemetry.instrumentation.genai.",
    "opentelemetry.instrumentation.",
)
_INHERITED: Final = (
    (semconv.OUTCOME_WORKFLOW_ID, "workflow_id"),
    (semconv.OUTCOME_RUN_ID, "run_id"),
    (semconv.OUTCOME_CORRELATION_ID, "correlation_id"),
    (semconv.GEN_AI_CONVERSATION_ID, "session_id"),
    (semconv.USER_ID, "user_id"),
    (semconv.OUTCOME_TENANT_ID, "tenant_id"),
)
MAX_NS: Final = 253_402_300_799 * 10**9  # the year 9999


def provider_of(given: str | None) -> str | None:
    """Return the provider by its name in the conventions; None for what is none."""
    if given is None:
        return None
    name = given.lower()
    return None if name in _NO_PROVIDERS else _RENAMED.get(name, name)


def framework_of(scope: str) -> str | None:
    """Return the framework that made a span, by the name of its instrumentation scope."""
    for prefix in _SCOPES:
        if scope.startswith(prefix):
            scope = scope[len(prefix) :].removesuffix(".v1").removesuffix("_v2")
            break
    return scope[:256] or None


def to_event(node: Node, span: FinishedSpan, reading: Reading, judged: Judgement, price: Price | None) -> OutcomeEvent:
    """Return the event, with what is known by now of the spans around it."""
    start_ns, end_ns = span.start_ns, span.end_ns
    if not 0 <= start_ns <= end_ns <= MAX_NS:  # a clock may go back
        start_ns = min(max(start_ns, 0), MAX_NS)
        end_ns = min(max(end_ns, start_ns), MAX_NS)
    end = datetime.fromtimestamp(end_ns / 1e9, timezone.utc)
    duration_ms = None if span.never_ended else (end_ns - start_ns) / 1e6
    metadata: dict[str, Any] = {}
    fields: dict[str, Any] = {}
    if reading.metadata or judged.error_type is not None or judged.message or judged.stack_trace:
        _put_texts(fields, metadata, reading, judged)
    if reading.finish_reasons:
        metadata["finish_reasons"] = list(reading.finish_reasons[:16])
    if reading.first_token_ms is not None and 0 <= reading.first_token_ms < math.inf:
        metadata["first_token_ms"] = reading.first_token_ms
    if judged.note is not None:
        metadata[semconv.METADATA_STATUS_REASON] = judged.note
    if span.scope:
        metadata["instrumentation"] = span.scope[:256]
    if price is not None:
        metadata |= told_price(price)
    if node.child_errors and judged.status is OutcomeStatus.SUCCESS:
        metadata["child_errors"] = node.child_errors
    usage, identity = reading.usage, node.identity
    if usage is not None:
        fields["input_tokens"], fields["output_tokens"] = usage.input, usage.output
        fields["cached_input_tokens"], fields["reasoning_tokens"] = usage.cached, usage.reasoning
    for attribute, name in _INHERITED:
        value = getattr(reading, name)
        if value is None and identity is not None:
            value = identity.get(attribute)
        if isinstance(value, str):
            fields[name] = value
    fields["run_id"] = fields.get("run_id") or span.trace_id
    fields.update(of_others(node))
    return OutcomeEvent(
        schema_version=SCHEMA_VERSION,
        event_id=span.event_id,
        revision=1,
        timestamp=end,
        action_type=reading.kind,
        status=judged.status,
        severity=judged.severity,
        agent_name=reading.agent_name,
        agent_type=framework_of(span.scope) if reading.kind in ("agent", "workflow") else None,
        tool_name=reading.tool_name,
        service_name=span.service_name,
        trace_id=span.trace_id,
        span_id=span.span_id,
        start_time=datetime.fromtimestamp(start_ns / 1e9, timezone.utc),
        end_time=None if span.never_ended else end,
        duration_ms=duration_ms,
        latency_ms=duration_ms,
        model=reading.model,
        provider=provider_of(reading.provider),
        quality_score=reading.quality_score,
        tags=reading.tags,
        metadata=metadata,
        **fields,
    )


def _put_texts(fields: dict[str, Any], metadata: dict[str, Any], reading: Reading, judged: Judgement) -> None:
    """Put in what people, or programs, have written: cleaned, cut, and what had to be is flagged."""
    problems = Problems()
    if reading.metadata:
        metadata.update(clean_metadata(reading.metadata, problems))
    if judged.error_type is not None:
        fields["error_type"] = clean_text(judged.error_type, "error_type", problems)
    if judged.message:
        fields["error_message"] = clean_text(judged.message, "error_message", problems, MAX_TEXT)
    if judged.stack_trace:
        fields["stack_trace"] = cut(judged.stack_trace, MAX_STACK, keep_end=True)
    if problems.truncated:
        metadata[semconv.METADATA_TRUNCATED] = list(dict.fromkeys(problems.truncated))[:64]
    if problems.invalid:
        metadata[semconv.METADATA_INVALID] = list(dict.fromkeys(problems.invalid))[:64]


def of_others(node: Node) -> dict[str, Any]:
    """Return the fields of a span's event that the spans above and below it say."""
    told = told_amounts(node)
    above = node.above
    if above is None:
        told["parent_event_id"], told["root_event_id"] = None, node.of_event
    else:
        told["parent_event_id"], told["root_event_id"] = above.of_event, (node.root or above).of_event
    told["depth"] = node.depth
    told["usage_complete"] = node.open_below == 0
    return told
