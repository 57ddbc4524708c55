"""Our own convention: a span that carries `outcome.action_type` is an action.

A table from attribute to event field; a value of another type than the field's is left out and named in the
event's metadata. Pure and on the agent's thread, so it is written to be cheap: one pass over the attributes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, Final

from otel_feedback import semconv
from otel_feedback.convert.span import FinishedSpan
from otel_feedback.events.model import OutcomeEvent, OutcomeStatus, Severity

__all__ = ["OwnConvention"]

_TEXT: Final = str
_COUNT: Final = int
_NUMBER: Final = float  # and int

FIELDS: Final[dict[str, tuple[str, type]]] = {
    semconv.OUTCOME_ACTION_TYPE: ("action_type", _TEXT),
    semconv.GEN_AI_AGENT_NAME: ("agent_name", _TEXT),
    semconv.OUTCOME_AGENT_TYPE: ("agent_type", _TEXT),
    semconv.GEN_AI_TOOL_NAME: ("tool_name", _TEXT),
    semconv.OUTCOME_RUN_ID: ("run_id", _TEXT),
    semconv.OUTCOME_WORKFLOW_ID: ("workflow_id", _TEXT),
    semconv.OUTCOME_CORRELATION_ID: ("correlation_id", _TEXT),
    semconv.GEN_AI_CONVERSATION_ID: ("session_id", _TEXT),
    semconv.USER_ID: ("user_id", _TEXT),
    semconv.OUTCOME_TENANT_ID: ("tenant_id", _TEXT),
    semconv.OUTCOME_PARENT_EVENT_ID: ("parent_event_id", _TEXT),
    semconv.OUTCOME_ROOT_EVENT_ID: ("root_event_id", _TEXT),
    semconv.OUTCOME_DEPTH: ("depth", _COUNT),
    semconv.OUTCOME_ATTEMPT: ("attempt", _COUNT),
    semconv.OUTCOME_STATUS: ("status", _TEXT),
    semconv.OUTCOME_SEVERITY: ("severity", _TEXT),
    semconv.ERROR_TYPE: ("error_type", _TEXT),
    semconv.OUTCOME_LATENCY_MS: ("latency_ms", _NUMBER),
    semconv.OUTCOME_LLM_LATENCY_MS: ("llm_latency_ms", _NUMBER),
    semconv.OUTCOME_LLM_CALLS: ("llm_calls", _COUNT),
    semconv.OUTCOME_TOKENS_USED: ("tokens_used", _COUNT),
    semconv.OUTCOME_OWN_TOKENS: ("own_tokens", _COUNT),
    semconv.GEN_AI_USAGE_INPUT_TOKENS: ("input_tokens", _COUNT),
    semconv.GEN_AI_USAGE_OUTPUT_TOKENS: ("output_tokens", _COUNT),
    semconv.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: ("cached_input_tokens", _COUNT),
    semconv.GEN_AI_USAGE_REASONING_TOKENS: ("reasoning_tokens", _COUNT),
    semconv.GEN_AI_REQUEST_MODEL: ("model", _TEXT),
    semconv.GEN_AI_PROVIDER_NAME: ("provider", _TEXT),
    semconv.OUTCOME_COST_ESTIMATE: ("cost_estimate", _NUMBER),
    semconv.OUTCOME_OWN_COST: ("own_cost", _NUMBER),
    semconv.OUTCOME_MEMORY_USED_MB: ("memory_used_mb", _NUMBER),
    semconv.OUTCOME_CPU_TIME_MS: ("cpu_time_ms", _NUMBER),
    semconv.OUTCOME_QUALITY_SCORE: ("quality_score", _NUMBER),
    semconv.OUTCOME_CONFIDENCE_SCORE: ("confidence_score", _NUMBER),
    semconv.OUTCOME_TAGS: ("tags", tuple),
}
_STATUS: Final = {status.value: status for status in OutcomeStatus}
_SEVERITY: Final = {severity.value: severity for severity in Severity}
_PREFIX: Final = semconv.OUTCOME_METADATA_PREFIX
_PREFIX_LENGTH: Final = len(_PREFIX)


class OwnConvention:
    """Spans made by `action()`, and spans on which somebody set `outcome.*` by hand."""

    name = "otel_feedback"

    def matches(self, attributes: Mapping[str, Any]) -> bool:
        return semconv.OUTCOME_ACTION_TYPE in attributes

    def to_event(self, span: FinishedSpan) -> OutcomeEvent:
        fields: dict[str, Any] = {}
        metadata: dict[str, Any] = {}
        invalid: list[str] = []
        find = FIELDS.get
        for attribute, value in span.attributes.items():
            known = find(attribute)
            if known is not None:
                name, kind = known
                if value.__class__ is kind or (kind is _NUMBER and value.__class__ is int):
                    fields[name] = value
                else:
                    invalid.append(name)
            elif attribute.startswith(_PREFIX):
                # the SDK makes tuples of lists
                metadata[attribute[_PREFIX_LENGTH:]] = list(value) if value.__class__ is tuple else value
        fields["status"] = status = self._status(fields, span, invalid)
        severity = _SEVERITY.get(fields.pop("severity", None))  # type: ignore[arg-type]
        if severity is not None:
            fields["severity"] = severity
        if span.error is not None:
            self._put_error(fields, span.error, status)
        if "error_type" in fields:
            fields["error_type"] = fields["error_type"].rpartition(".")[2]
        if invalid:
            metadata[semconv.METADATA_INVALID] = [*metadata.get(semconv.METADATA_INVALID, ()), *invalid]
        if metadata:
            fields["metadata"] = metadata
        # what the loop could not know, in the order in which it may be overridden
        duration_ms = (span.end_ns - span.start_ns) / 1e6
        ended = datetime.fromtimestamp(span.end_ns / 1e9, timezone.utc)
        fields.setdefault("action_type", "unknown")
        fields.setdefault("latency_ms", duration_ms)
        self._complete_usage(fields)
        fields.setdefault("depth", 0)
        fields.setdefault("root_event_id", span.event_id)
        if "run_id" not in fields:
            fields["run_id"] = span.trace_id
        return OutcomeEvent(
            event_id=span.event_id,
            trace_id=span.trace_id,
            span_id=span.span_id,
            service_name=span.service_name,
            timestamp=ended,
            start_time=datetime.fromtimestamp(span.start_ns / 1e9, timezone.utc),
            end_time=ended,
            duration_ms=duration_ms,
            **fields,
        )

    @staticmethod
    def _status(fields: dict[str, Any], span: FinishedSpan, invalid: list[str]) -> OutcomeStatus:
        status = _STATUS.get(fields.get("status", ""))
        if status is None:
            if "status" in fields:
                invalid.append("status")
            # set by hand without a status: an exception that was recorded is a failure
            status = OutcomeStatus.SUCCESS if span.error is None else OutcomeStatus.FAILURE
        return status

    @staticmethod
    def _complete_usage(fields: dict[str, Any]) -> None:
        """Fill in what follows from the other numbers; what nobody said stays unknown."""
        tokens_in, tokens_out = fields.get("input_tokens"), fields.get("output_tokens")
        if (tokens_in is not None or tokens_out is not None) and "own_tokens" not in fields:
            fields["own_tokens"] = (tokens_in or 0) + (tokens_out or 0)
        if "own_tokens" in fields:
            fields.setdefault("tokens_used", fields["own_tokens"])
        if "own_cost" in fields:
            fields.setdefault("cost_estimate", fields["own_cost"])

    @staticmethod
    def _put_error(
        fields: dict[str, Any], error: tuple[str | None, str | None, str | None], status: OutcomeStatus
    ) -> None:
        if status is OutcomeStatus.SUCCESS:
            return  # an exception that was handled
        kind, message, stack = error
        if kind is not None:
            fields.setdefault("error_type", kind)
        if message:
            fields["error_message"] = message
        if stack is not None:
            fields["stack_trace"] = stack
