"""What a convention read, and how it is judged to have ended, becomes an outcome event."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from operator import attrgetter
from typing import Any, Final

from otel_feedback import semconv
from otel_feedback.convert.costs import told_price
from otel_feedback.convert.node import Node
from otel_feedback.convert.pricing import Price
from otel_feedback.convert.reading import Reading
from otel_feedback.convert.rollup import AMOUNTS, told_amounts
from otel_feedback.convert.span import FinishedSpan
from otel_feedback.convert.status import Judgement
from otel_feedback.convert.usage import TokenUsage
from otel_feedback.events.model import SCHEMA_VERSION, OutcomeEvent, OutcomeStatus
from otel_feedback.redaction.limits import (
    MAX_STACK,
    MAX_TEXT,
    Problems,
    clean_metadata,
    clean_text,
    cut,
    plain_metadata,
)

__all__ = ["framework_of", "news", "provider_of", "to_event"]

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
    semconv.OUTCOME_WORKFLOW_ID, semconv.OUTCOME_RUN_ID, semconv.OUTCOME_CORRELATION_ID, semconv.GEN_AI_CONVERSATION_ID,
    semconv.USER_ID, semconv.OUTCOME_TENANT_ID,
)  # fmt: skip
_FITTING: Final = frozenset({str, type(None)})
_OF_OTHERS: Final = (
    "parent_event_id", "root_event_id", "depth", "usage_complete", *AMOUNTS,
    "input_tokens", "output_tokens", "cached_input_tokens", "reasoning_tokens", "agent_name",
)  # fmt: skip
_told: Final = attrgetter(*_OF_OTHERS)
_NO_USAGE: Final = TokenUsage()
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
    error_type = message = stack = None
    if reading.metadata or judged.error_type is not None or judged.message or judged.stack_trace:
        error_type, message, stack = _put_texts(metadata, reading, judged)
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
    workflow_id, run_id, correlation_id, session_id, user_id, tenant_id = _identifiers(reading, node.identity)
    parent_id, root_id, depth, is_complete = place_of(node)
    tokens_used, cost_estimate, llm_calls, own_tokens, own_cost, llm_ms = told_amounts(node)
    usage = (None if own_tokens is None else reading.usage) or _NO_USAGE
    # by position: see there; in the order of its fields, and of the lines there
    return OutcomeEvent(
        SCHEMA_VERSION, span.event_id, 1, end, reading.kind, judged.status, judged.severity,
        reading.agent_name, framework_of(span.scope) if reading.kind in ("agent", "workflow") else None,
        reading.tool_name, span.service_name,
        run_id or span.trace_id, workflow_id, correlation_id, session_id, user_id, tenant_id,
        span.trace_id, span.span_id, parent_id, root_id, depth, None,
        datetime.fromtimestamp(start_ns / 1e9, timezone.utc), None if span.never_ended else end, duration_ms, duration_ms,
        error_type, message, stack,
        llm_ms, llm_calls, tokens_used, own_tokens, usage.input, usage.output, usage.cached, usage.reasoning,
        reading.model, reading.provider, cost_estimate, own_cost, is_complete, None, None, reading.quality_score, None,
        reading.tags, metadata, *(() if node.identity is None else _trial(node.identity)),
    )  # fmt: skip


def _identifiers(reading: Reading, identity: Mapping[str, Any] | None) -> Sequence[str | None]:
    """Return what the span says, and what it does not say as the action of our own around it says it."""
    said: Sequence[Any] = (
        reading.workflow_id, reading.run_id, reading.correlation_id, reading.session_id, reading.user_id,
        reading.tenant_id,
    )  # fmt: skip
    if identity is not None:
        said = [identity.get(name) if value is None else value for value, name in zip(said, _INHERITED, strict=True)]
    if _FITTING.issuperset(map(type, said)):
        return said
    return [value if isinstance(value, str) else None for value in said]


def _trial(identity: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return which variant of which experiment the action of our own around it has, and how probable that was."""
    if not isinstance(name := identity.get(semconv.OUTCOME_EXPERIMENT_NAME), str):
        return ()
    variant, propensity = (
        identity.get(semconv.OUTCOME_EXPERIMENT_VARIANT), identity.get(semconv.OUTCOME_EXPERIMENT_PROPENSITY),
    )  # fmt: skip
    return name, variant if isinstance(variant, str) else None, propensity if isinstance(propensity, float) else None


def _put_texts(metadata: dict[str, Any], reading: Reading, judged: Judgement) -> tuple[str | None, ...]:
    """Return error, message and stack trace, and put in metadata what people wrote: cleaned, cut, and flagged if so."""
    problems = Problems()
    if reading.metadata:
        metadata |= plain_metadata(reading.metadata) or clean_metadata(reading.metadata, problems)
    message, stack = judged.message, judged.stack_trace
    told = (
        None if judged.error_type is None else clean_text(judged.error_type, "error_type", problems),
        None if not message else clean_text(message, "error_message", problems, MAX_TEXT),
        None if not stack else cut(stack, MAX_STACK, keep_end=True),
    )
    if problems.truncated:
        metadata[semconv.METADATA_TRUNCATED] = list(dict.fromkeys(problems.truncated))[:64]
    if problems.invalid:
        metadata[semconv.METADATA_INVALID] = list(dict.fromkeys(problems.invalid))[:64]
    return told


def place_of(node: Node) -> tuple[str | None, str, int, bool]:
    """Return the ids of the events above it and at the top, how deep it is, and whether all below it has ended."""
    above = node.above
    if above is None:
        return None, node.of_event, 0, node.open_below == 0
    return above.of_event, node.root_id, node.depth, node.open_below == 0


def news(node: Node, event: OutcomeEvent) -> dict[str, Any]:
    """Return the fields that are others since the event was made, by what the spans above and below it say."""
    was: tuple[Any, ...] = _told(event)
    amounts, tokens, agent = told_amounts(node), was[-5:-1], was[-1]
    said = node.said
    if amounts[3] is None:  # its tokens are on the events below
        tokens = None, None, None, None
    elif event.input_tokens is event.output_tokens is None and said is not None and said.usage is not None:
        usage = said.usage  # another span was to tell them, and tells less
        tokens = usage.input, usage.output, usage.cached, usage.reasoning
    if agent is None and event.action_type not in ("agent", "workflow"):
        agent = node.agent
    told = *place_of(node), *amounts, *tokens, agent
    changes: dict[str, Any] = {field: new for field, new, old in zip(_OF_OTHERS, told, was, strict=True) if new != old}
    if node.child_errors and event.status is OutcomeStatus.SUCCESS:
        changes["metadata"] = {**event.metadata, "child_errors": node.child_errors}
    return changes
