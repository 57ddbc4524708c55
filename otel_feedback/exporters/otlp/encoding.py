"""Records as one OTLP logs request: an event as `agent.outcome`, feedback as the GenAI conventions' evaluation.

Input: records, whole. Output: the request, by opentelemetry-proto v1. Pure but for the clock; imports the messages late.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from otel_feedback import semconv
from otel_feedback.events import codec
from otel_feedback.events.feedback import Feedback, decode_feedback
from otel_feedback.events.model import OutcomeEvent, Severity, epoch_us
from otel_feedback.events.record import Record
from otel_feedback.version import VERSION

if TYPE_CHECKING:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

__all__ = ["encode_request"]

_SEVERITY_NUMBER = {Severity.INFO: 9, Severity.WARNING: 13, Severity.ERROR: 17, Severity.CRITICAL: 21}
"""opentelemetry-proto SeverityNumber: INFO, WARN, ERROR, FATAL."""


# event fields that have a place of their own in the log record or a name in the conventions
_NOT_ATTRIBUTES = frozenset({"trace_id", "span_id", "timestamp", "metadata", "service_name"})
_CONVENTIONAL = {
    "agent_name": semconv.GEN_AI_AGENT_NAME,
    "tool_name": semconv.GEN_AI_TOOL_NAME,
    "session_id": semconv.GEN_AI_CONVERSATION_ID,
    "user_id": semconv.USER_ID,
    "error_type": semconv.ERROR_TYPE,
    "error_message": semconv.EXCEPTION_MESSAGE,
    "stack_trace": semconv.EXCEPTION_STACKTRACE,
    "model": semconv.GEN_AI_REQUEST_MODEL,
    "provider": semconv.GEN_AI_PROVIDER_NAME,
    "input_tokens": semconv.GEN_AI_USAGE_INPUT_TOKENS,
    "output_tokens": semconv.GEN_AI_USAGE_OUTPUT_TOKENS,
    "cached_input_tokens": semconv.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS,
    "reasoning_tokens": semconv.GEN_AI_USAGE_REASONING_TOKENS,
    "experiment": semconv.OUTCOME_EXPERIMENT_NAME,
    "variant": semconv.OUTCOME_EXPERIMENT_VARIANT,
    "propensity": semconv.OUTCOME_EXPERIMENT_PROPENSITY,
    "choice_candidates": semconv.OUTCOME_CHOICE_CANDIDATES,
    "choice_policy": semconv.OUTCOME_CHOICE_POLICY,
    "choice_propensity": semconv.OUTCOME_CHOICE_PROPENSITY,
}
_OF_EVALUATION = {
    "name": semconv.GEN_AI_EVALUATION_NAME,
    "score": semconv.GEN_AI_EVALUATION_SCORE_VALUE,
    "label": semconv.GEN_AI_EVALUATION_SCORE_LABEL,
    "comment": semconv.GEN_AI_EVALUATION_EXPLANATION,
    "feedback_id": semconv.OUTCOME_FEEDBACK_ID,
    "source": semconv.OUTCOME_FEEDBACK_SOURCE,
    "by": semconv.OUTCOME_FEEDBACK_BY,
    "target": semconv.OUTCOME_FEEDBACK_TARGET,
}


def encode_request(records: Sequence[Record], service_name: str) -> ExportLogsServiceRequest:
    """Return the OTLP request for these records; `service_name` stands for events that name none."""
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    request = ExportLogsServiceRequest()
    scopes: dict[str, Any] = {}
    now_ns = time.time_ns()
    for record in records:
        event = decode_feedback(record.payload) if record.is_feedback else codec.decode(record.payload)
        service = event.service_name or service_name
        scope = scopes.get(service)
        if scope is None:
            resource = request.resource_logs.add()
            resource.resource.attributes.append(_key_value(semconv.SERVICE_NAME, service))
            scope = scopes[service] = resource.scope_logs.add()
            scope.scope.name = "otel_feedback"
            scope.scope.version = VERSION
        log = scope.log_records.add()
        log.time_unix_nano = epoch_us(event.timestamp) * 1_000
        log.observed_time_unix_nano = now_ns
        _place(log, event, record.sampled)
        if isinstance(event, Feedback):
            _fill_evaluation(log, event)
        else:
            _fill(log, event)
    return request


def _place(log: LogRecord, event: OutcomeEvent | Feedback, sampled: bool) -> None:
    if event.trace_id is not None and event.span_id is not None:
        log.trace_id = bytes.fromhex(event.trace_id)
        log.span_id = bytes.fromhex(event.span_id)
        log.flags = int(sampled)


def _fill_evaluation(log: LogRecord, feedback: Feedback) -> None:
    log.severity_number = _SEVERITY_NUMBER[Severity.INFO]  # type: ignore[assignment]
    log.severity_text = Severity.INFO.value.upper()
    log.event_name = semconv.GEN_AI_EVALUATION_EVENT
    for name, value in feedback.to_dict().items():
        if name not in _NOT_ATTRIBUTES:
            log.attributes.append(_key_value(_OF_EVALUATION.get(name, f"outcome.{name}"), value))


def _fill(log: LogRecord, event: OutcomeEvent) -> None:
    log.severity_number = _SEVERITY_NUMBER[event.severity]  # type: ignore[assignment]
    log.severity_text = event.severity.value.upper()
    log.event_name = semconv.LOG_EVENT_NAME
    for name, value in codec.to_dict(event).items():
        if name not in _NOT_ATTRIBUTES:
            log.attributes.append(_key_value(_CONVENTIONAL.get(name, f"outcome.{name}"), value))
    for name, value in event.metadata.items():
        log.attributes.append(_key_value(semconv.OUTCOME_METADATA_PREFIX + name, value))


def _key_value(key: str, value: Any) -> KeyValue:
    from opentelemetry.proto.common.v1.common_pb2 import KeyValue

    return KeyValue(key=key, value=_any_value(value))


def _any_value(value: Any) -> AnyValue:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue

    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, str):
        return AnyValue(string_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value) if -(2**63) <= value < 2**63 else AnyValue(string_value=str(value))
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, (list, tuple)):
        return AnyValue(array_value=ArrayValue(values=[_any_value(item) for item in value]))
    if isinstance(value, Mapping):
        return AnyValue(string_value=json.dumps(value))
    return AnyValue(string_value=str(value))
