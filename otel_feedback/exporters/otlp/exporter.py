"""Outcome events as OTLP log records: event name `agent.outcome`, flattened attributes, trace and span ids.

Feedback goes as the GenAI conventions' `gen_ai.evaluation.result`, with the trace context of its event's span.

Input: leases on the worker's thread. Output: an account of each record: delivered, refused for good, or to be sent
again. The SDK's own log exporter throws the server's answer away, so the requests are made here; the encoding
follows opentelemetry-proto v1 and the OTLP specification, sections "Failures", "Partial success" and "Throttling".

A refusal is about a record only where the server takes something else at the same time. Where it takes nothing, the key
or the address is wrong, and events wait:

    lease ──refused──► one record ──taken──► the others in halves, down to the one that it refuses
                           └──refused──► nothing at all, unless the answer is about who sends ──taken──► the same
                                             └──refused──► wait, and say what to do
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from otel_feedback import semconv
from otel_feedback.errors import ExportError
from otel_feedback.events import codec
from otel_feedback.events.feedback import Feedback, decode_feedback
from otel_feedback.events.model import OutcomeEvent, Severity, epoch_us
from otel_feedback.events.record import Record
from otel_feedback.exporters.interface import Receipt, Refusal, Settled
from otel_feedback.exporters.otlp.advice import advice_on
from otel_feedback.exporters.otlp.transport import (
    Answer,
    OtlpEndpoint,
    RequestRefusedError,
    Transport,
    open_transport,
    without_login,
)
from otel_feedback.sdk.forks import import_guard, import_host_lookup
from otel_feedback.version import VERSION

if TYPE_CHECKING:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

__all__ = ["OtlpExporter", "encode_request"]

_Result = tuple[Record, Refusal | None]

_SEVERITY_NUMBER = {Severity.INFO: 9, Severity.WARNING: 13, Severity.ERROR: 17, Severity.CRITICAL: 21}
"""opentelemetry-proto SeverityNumber: INFO, WARN, ERROR, FATAL."""

ALONE_TIMES = 3
"""Times that a record may be refused alone, with others taken in between, before it is about the record."""
ALONE_KEPT = 100

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


class OtlpExporter:
    """Sends outcome events to an OTLP endpoint, one request a lease."""

    name = "otlp"
    durable = True
    lease_events = 512
    linger_s = 0.2
    max_leases = 1

    def __init__(self, endpoint: OtlpEndpoint, service_name: str) -> None:
        self._endpoint = endpoint
        self._service_name = service_name
        self._transport: Transport | None = None
        self._taken = 0  # requests
        self._alone: dict[tuple[str, int], tuple[int, int]] = {}  # records refused with no company: how often, and when
        self.destination = without_login(endpoint.url)

    @classmethod
    def from_environment(cls, service_name: str) -> OtlpExporter:
        """Make the exporter that the standard OTEL_EXPORTER_OTLP_* variables describe.

        Raises:
            ConfigError: One of them cannot be used.
        """
        return cls(OtlpEndpoint.from_environment(), service_name)

    def export(self, lease: Sequence[Record]) -> Receipt:
        # what came as a log record is on its way as that, and a second one would count twice
        results: list[_Result] = [(record, None) for record in lease if record.is_echo]
        if results:
            lease = [record for record in lease if not record.is_echo]
            if not lease:
                return Settled(results)
        try:
            try:
                results += self._send(lease)
            except RequestRefusedError as refused:
                self._sort_out(lease, refused, results)
        except ExportError as exc:
            if not results:
                raise
            return Settled(results, exc)
        return Settled(results)

    def _sort_out(self, lease: Sequence[Record], refused: RequestRefusedError, results: list[_Result]) -> None:
        """Find what is refused of a lease that was refused, or raise that everything has to wait."""
        left = list(lease)
        is_taking = False
        if len(left) > 1:
            one = left.pop(random.randrange(len(left)))  # noqa: S311 - another one each time, should this be refused, too
            try:
                results += self._send([one])
                is_taking = True
            except RequestRefusedError:
                left = list(lease)
        if not is_taking and len(lease) == 1:  # what is left of a dead process may never have company
            is_taking = self._took_others_since(lease[0])
        if not is_taking and (refused.about_sender or not self._takes_nothing()):
            todo = advice_on(refused.detail) or "look at the server's log"
            raise ExportError("refused", f"{refused.detail}; {todo}", retryable=True) from refused
        if len(lease) == 1:
            results.append((lease[0], Refusal(refused.reason, refused.detail)))
        else:
            self._send_apart(left, results)

    def _took_others_since(self, record: Record) -> bool:
        """Tell whether a record was refused alone again and again, and others were taken each time in between."""
        name = record.origin.producer_id, record.sequence
        times, taken = self._alone.pop(name, (0, -1))
        times += self._taken > taken
        if times > ALONE_TIMES:
            return True
        self._alone[name] = times, self._taken
        while len(self._alone) > ALONE_KEPT:
            del self._alone[next(iter(self._alone))]
        return False

    def _send_apart(self, records: Sequence[Record], results: list[_Result]) -> None:
        """Send records that were refused together in halves, and those that are refused again likewise, down to one."""
        middle = len(records) // 2
        for part in (records[:middle], records[middle:]):
            try:
                results += self._send(part) if part else ()
            except RequestRefusedError as refused:
                if len(part) > 1:
                    self._send_apart(part, results)
                else:
                    results.append((part[0], Refusal(refused.reason, refused.detail)))

    def _takes_nothing(self) -> bool:
        """Tell whether the server takes a request with nothing in it."""
        try:
            self._connected().send(encode_request((), self._service_name))
        except RequestRefusedError:
            return False
        return True

    def _send(self, records: Sequence[Record]) -> list[_Result]:
        transport = self._connected()
        request = encode_request(records, self._service_name)
        try:
            answer = transport.send(request)
        except ExportError:
            raise
        except Exception as exc:
            raise _unusable(exc) from exc
        self._taken += 1
        return _account(records, answer)

    def _connected(self) -> Transport:
        if self._transport is None:
            try:
                with import_guard:
                    import_messages()
                    import_host_lookup()
                    self._transport = open_transport(self._endpoint)
            except Exception as exc:
                raise _unusable(exc) from exc
        return self._transport

    def abandon(self) -> None:
        """A request is answered or has failed when `export` returns."""

    def close(self, timeout_s: float) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def after_fork(self) -> None:
        self._transport = None


def import_messages() -> None:
    """Import the generated messages, which takes 50 ms: not at configure()."""
    from google.rpc import error_details_pb2, status_pb2
    from opentelemetry.proto.collector.logs.v1 import logs_service_pb2

    del error_details_pb2, status_pb2, logs_service_pb2


def _unusable(exc: Exception) -> ExportError:
    """Return what keeps everything from being sent: a file that is not there, a header that is none, a library."""
    # others' messages may have the headers in them
    said = f": {exc}"[:300] if isinstance(exc, (OSError, ImportError)) else ""
    detail = f"{type(exc).__name__}{said}"
    todo = advice_on(detail) or "correct the OTEL_EXPORTER_OTLP_… settings"
    return ExportError("unusable", f"{detail}; {todo}", retryable=True)


def _account(lease: Sequence[Record], answer: Answer) -> list[_Result]:
    if answer.rejected > len(lease) or answer.rejected < 0:
        raise ExportError("protocol_error", f"{answer.rejected} of {len(lease)} records rejected", retryable=True)
    # the server says how many, not which
    refusal = Refusal("partially_rejected", answer.message or "the server gave no reason")
    kept = len(lease) - answer.rejected
    return [(record, None if index < kept else refusal) for index, record in enumerate(lease)]


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
