"""`OutcomeLogRecordProcessor`: what log records say of spans becomes a revision of their outcome events.

The newest GenAI conventions give evaluations and exceptions as log records that name the span, and not on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from otel_feedback import semconv
from otel_feedback.convert import evaluations
from otel_feedback.convert.additions import Addition
from otel_feedback.convert.values import text
from otel_feedback.pipeline.processor import OutcomeSpanProcessor
from otel_feedback.redaction.limits import MAX_STACK, MAX_TEXT

__all__ = ["OutcomeLogRecordProcessor"]

EXCEPTION = "gen_ai.client.operation.exception"


class OutcomeLogRecordProcessor:
    """Adds evaluations and exceptions in log records to the events of the spans that they name.

    A `LogRecordProcessor` by its methods: the SDK has that class in a module that it calls private. Works on any
    LoggerProvider: `provider.add_log_record_processor(OutcomeLogRecordProcessor(spans))`.

    Args:
        spans: The processor that sees the spans. It knows those that are open, and the newest thousand events.

    Thread-safe. Other log records are passed over.
    """

    def __init__(self, spans: OutcomeSpanProcessor) -> None:
        self._spans = spans
        spans.outcomes.keep_recent()

    def on_emit(self, log_record: Any) -> None:
        """Read one record. Never raises into the program."""
        try:
            record = log_record.log_record
            if record.event_name not in (evaluations.EVENT, EXCEPTION) or not record.trace_id or not record.span_id:
                return
            attributes = cast("Mapping[str, Any]", record.attributes or {})
            if record.event_name == EXCEPTION:
                addition = Addition(
                    error_type=text(attributes.get(semconv.EXCEPTION_TYPE)),
                    error_message=text(attributes.get(semconv.EXCEPTION_MESSAGE), MAX_TEXT),
                    stack_trace=text(attributes.get(semconv.EXCEPTION_STACKTRACE), MAX_STACK),
                )
            else:
                said = evaluations.of_attributes(attributes)
                addition = Addition(quality_score=said.quality_score, metadata=said.metadata)
            self._spans.outcomes.add(record.trace_id, record.span_id, addition)
        except Exception as exc:  # somebody else's record may carry anything
            self._spans.pipeline.reject("unconvertible", "a log record could not be read: %r", exc)

    def shutdown(self) -> None:
        """Nothing: the span processor shuts the pipeline down."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._spans.force_flush(timeout_millis)
