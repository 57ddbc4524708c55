"""Our own convention: a span that carries `outcome.action_type` is an action.

A table from attribute to event field. The event's own type checks the values, in C; one of another type is left out
and named in the event's metadata. Pure and on the agent's thread, so it is written to be cheap.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, Final, cast

import msgspec

from otel_feedback import semconv
from otel_feedback.convert.foreign import MAX_NS
from otel_feedback.convert.span import FinishedSpan
from otel_feedback.events.model import OutcomeEvent

__all__ = ["FIELDS", "OwnConvention"]

FIELDS: Final[dict[str, str]] = {
    semconv.OUTCOME_ACTION_TYPE: "action_type",
    semconv.GEN_AI_AGENT_NAME: "agent_name",
    semconv.OUTCOME_AGENT_TYPE: "agent_type",
    semconv.GEN_AI_TOOL_NAME: "tool_name",
    semconv.OUTCOME_RUN_ID: "run_id",
    semconv.OUTCOME_WORKFLOW_ID: "workflow_id",
    semconv.OUTCOME_CORRELATION_ID: "correlation_id",
    semconv.GEN_AI_CONVERSATION_ID: "session_id",
    semconv.USER_ID: "user_id",
    semconv.OUTCOME_TENANT_ID: "tenant_id",
    semconv.OUTCOME_PARENT_EVENT_ID: "parent_event_id",
    semconv.OUTCOME_ROOT_EVENT_ID: "root_event_id",
    semconv.OUTCOME_DEPTH: "depth",
    semconv.OUTCOME_ATTEMPT: "attempt",
    semconv.OUTCOME_STATUS: "status",
    semconv.OUTCOME_SEVERITY: "severity",
    semconv.ERROR_TYPE: "error_type",
    semconv.OUTCOME_DURATION_MS: "duration_ms",
    semconv.OUTCOME_LATENCY_MS: "latency_ms",
    semconv.OUTCOME_LLM_LATENCY_MS: "llm_latency_ms",
    semconv.OUTCOME_LLM_CALLS: "llm_calls",
    semconv.OUTCOME_TOKENS_USED: "tokens_used",
    semconv.OUTCOME_OWN_TOKENS: "own_tokens",
    semconv.GEN_AI_USAGE_INPUT_TOKENS: "input_tokens",
    semconv.GEN_AI_USAGE_OUTPUT_TOKENS: "output_tokens",
    semconv.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: "cached_input_tokens",
    semconv.GEN_AI_USAGE_REASONING_TOKENS: "reasoning_tokens",
    semconv.GEN_AI_REQUEST_MODEL: "model",
    semconv.GEN_AI_PROVIDER_NAME: "provider",
    semconv.OUTCOME_COST_ESTIMATE: "cost_estimate",
    semconv.OUTCOME_OWN_COST: "own_cost",
    semconv.OUTCOME_MEMORY_USED_MB: "memory_used_mb",
    semconv.OUTCOME_CPU_TIME_MS: "cpu_time_ms",
    semconv.OUTCOME_QUALITY_SCORE: "quality_score",
    semconv.OUTCOME_CONFIDENCE_SCORE: "confidence_score",
    semconv.OUTCOME_TAGS: "tags",
    semconv.OUTCOME_EXPERIMENT_NAME: "experiment",
    semconv.OUTCOME_EXPERIMENT_VARIANT: "variant",
    semconv.OUTCOME_EXPERIMENT_PROPENSITY: "propensity",
    semconv.OUTCOME_CHOICE_CANDIDATES: "choice_candidates",
    semconv.OUTCOME_CHOICE_POLICY: "choice_policy",
    semconv.OUTCOME_CHOICE_PROPENSITY: "choice_propensity",
}
_PREFIX: Final = semconv.OUTCOME_METADATA_PREFIX
_PREFIX_LENGTH: Final = len(_PREFIX)


class OwnConvention:
    """Spans made by `action()`, and spans on which somebody set `outcome.*` by hand."""

    name = "otel_feedback"

    def to_event(self, span: FinishedSpan) -> OutcomeEvent:
        attributes = span.attributes
        fields: dict[str, Any] = {FIELDS[name]: value for name, value in attributes.items() if name in FIELDS}
        if len(fields) < len(attributes):
            fields["metadata"] = {
                name[_PREFIX_LENGTH:]: value
                for name, value in attributes.items()
                if name.startswith(_PREFIX) and _is_finite(value)
            }
        if "error_type" in fields or span.error is not None:
            _put_error(fields, span)
        elif "status" not in fields:
            fields["status"] = "success"
        event_id = fields["event_id"] = span.event_id
        if "root_event_id" not in fields:
            fields["root_event_id"] = event_id
            fields["depth"] = 0
        trace_id = fields["trace_id"] = span.trace_id
        fields["span_id"] = span.span_id
        if "run_id" not in fields:
            fields["run_id"] = trace_id
        fields["service_name"] = span.service_name
        if "duration_ms" not in fields:
            fields["duration_ms"] = (span.end_ns - span.start_ns) / 1e6
        if "latency_ms" not in fields:
            fields["latency_ms"] = fields["duration_ms"]
        fields["start_time"] = _moment(span.start_ns)
        fields["timestamp"] = fields["end_time"] = _moment(span.end_ns)
        try:
            event = msgspec.convert(_with_totals(fields), OutcomeEvent)
        except (msgspec.ValidationError, TypeError):
            event = msgspec.convert(_with_totals(_without_misfits(fields)), OutcomeEvent)
        return event


def _is_finite(value: object) -> bool:
    """Tell whether JSON can hold it, which knows neither infinity nor what is no number."""
    if value.__class__ is float:
        return math.isfinite(cast(float, value))
    return not isinstance(value, (list, tuple)) or all(map(_is_finite, cast("Sequence[object]", value)))


def _moment(at_ns: int) -> datetime:
    """Return a time; one that a calendar cannot hold is the nearest that it can."""
    return datetime.fromtimestamp((at_ns if 0 <= at_ns <= MAX_NS else min(max(at_ns, 0), MAX_NS)) / 1e9, timezone.utc)


def _put_error(fields: dict[str, Any], span: FinishedSpan) -> None:
    kind, message, stack = span.error or (None, None, None)
    # set by hand without a status: an exception that was recorded is a failure
    status = fields.setdefault("status", "failure" if span.error is not None else "success")
    if status != "success" and span.error is not None:  # an exception in a success was handled
        fields.setdefault("error_type", kind)
        fields["error_message"] = message or None
        fields["stack_trace"] = stack
    error_type = fields.get("error_type")
    if isinstance(error_type, str):
        fields["error_type"] = error_type.rpartition(".")[2]


def _with_totals(fields: dict[str, Any]) -> dict[str, Any]:
    """Fill in what follows from the other numbers; what nobody said stays unknown."""
    tokens_in, tokens_out = fields.get("input_tokens"), fields.get("output_tokens")
    if (tokens_in is not None or tokens_out is not None) and "own_tokens" not in fields:
        fields["own_tokens"] = (tokens_in or 0) + (tokens_out or 0)
    if "own_tokens" in fields and "tokens_used" not in fields:
        fields["tokens_used"] = fields["own_tokens"]
    if "own_cost" in fields and "cost_estimate" not in fields:
        fields["cost_estimate"] = fields["own_cost"]
    return fields


def _without_misfits(fields: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is not of its field's type, and name it in the metadata."""
    status = "failure" if fields.get("error_type") is not None else "success"
    fit: dict[str, Any] = {"action_type": "unknown", "status": status}
    invalid: list[Any] = []
    for name, value in fields.items():
        try:
            msgspec.convert({**fit, name: value}, OutcomeEvent)
        except (msgspec.ValidationError, TypeError):
            invalid.append(name)
        else:
            fit[name] = value
    metadata = dict(fit.get("metadata", {}))
    metadata[semconv.METADATA_INVALID] = [*metadata.get(semconv.METADATA_INVALID, ()), *invalid]
    fit["metadata"] = metadata
    return fit
