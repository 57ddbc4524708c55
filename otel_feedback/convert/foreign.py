"""What a convention read, and how it is judged to have ended, becomes the fields of an outcome event. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, Final

from otel_feedback import semconv
from otel_feedback.convert.reading import Reading
from otel_feedback.convert.span import FinishedSpan
from otel_feedback.convert.status import Judgement
from otel_feedback.events.model import OutcomeEvent
from otel_feedback.redaction.limits import MAX_STACK, MAX_TEXT, Problems, clean_metadata, clean_text, cut

__all__ = ["framework_of", "provider_of", "to_event"]

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


def to_event(
    span: FinishedSpan, reading: Reading, judged: Judgement, identity: Mapping[str, Any] | None
) -> OutcomeEvent:
    """Return the event without what depends on other spans.

    Args:
        identity: The identifiers, by attribute, of the action of our own around the span.
    """
    problems = Problems()
    start_ns = min(max(span.start_ns, 0), MAX_NS)
    end_ns = min(max(span.end_ns, start_ns), MAX_NS)  # a clock may go back
    duration_ms = (end_ns - start_ns) / 1e6
    metadata: dict[str, Any] = {}
    if reading.metadata:
        metadata = clean_metadata(reading.metadata, problems)
    if reading.finish_reasons:
        metadata["finish_reasons"] = list(reading.finish_reasons[:16])
    if reading.first_token_ms is not None and 0 <= reading.first_token_ms < math.inf:
        metadata["first_token_ms"] = reading.first_token_ms
    if judged.note is not None:
        metadata[semconv.METADATA_STATUS_REASON] = judged.note
    if span.scope:
        metadata["instrumentation"] = span.scope[:256]
    usage = reading.usage
    message, stack = judged.message, judged.stack_trace
    fields: dict[str, Any] = {}
    for attribute, name in _INHERITED:
        value = getattr(reading, name)
        if value is None and identity is not None:
            value = identity.get(attribute)
        fields[name] = value if isinstance(value, str) else None
    fields["run_id"] = fields["run_id"] or span.trace_id
    if problems.truncated:
        metadata[semconv.METADATA_TRUNCATED] = list(dict.fromkeys(problems.truncated))[:64]
    if problems.invalid:
        metadata[semconv.METADATA_INVALID] = list(dict.fromkeys(problems.invalid))[:64]
    end = datetime.fromtimestamp(end_ns / 1e9, timezone.utc)
    return OutcomeEvent(
        event_id=span.event_id,
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
        duration_ms=None if span.never_ended else duration_ms,
        latency_ms=None if span.never_ended else duration_ms,
        error_type=None if judged.error_type is None else clean_text(judged.error_type, "error_type", problems),
        error_message=None if not message else clean_text(message, "error_message", problems, MAX_TEXT),
        stack_trace=None if not stack else cut(stack, MAX_STACK, keep_end=True),
        model=reading.model,
        provider=provider_of(reading.provider),
        input_tokens=None if usage is None else usage.input,
        output_tokens=None if usage is None else usage.output,
        cached_input_tokens=None if usage is None else usage.cached,
        reasoning_tokens=None if usage is None else usage.reasoning,
        quality_score=reading.quality_score,
        tags=reading.tags,
        metadata=metadata,
        **fields,
    )
