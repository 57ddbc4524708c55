"""`OutcomeLogRecordProcessor`: what log records say of spans becomes a revision of their outcome events.

The newest GenAI conventions give evaluations and exceptions as log records that name the span, and not on it. An evaluation
that comes when its span's event is long gone is feedback.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

from otel_feedback import semconv
from otel_feedback.convert import evaluations
from otel_feedback.convert.additions import Addition
from otel_feedback.convert.values import text
from otel_feedback.events.feedback import Echo, feedback_id_of
from otel_feedback.pipeline.processor import OutcomeSpanProcessor
from otel_feedback.redaction.limits import MAX_STACK, MAX_TEXT, Problems

__all__ = ["OutcomeLogRecordProcessor"]

EXCEPTION = "gen_ai.client.operation.exception"
UNNAMED = "evaluation"
"""The name of an evaluation that has none, as feedback."""


class OutcomeLogRecordProcessor:
    """Adds evaluations and exceptions in log records to the events of the spans that they name.

    A `LogRecordProcessor` by its methods: the SDK has that class in a module that it calls private. Works on any
    LoggerProvider: `provider.add_log_record_processor(OutcomeLogRecordProcessor(spans))`.

    Args:
        spans: The processor that sees the spans. It knows those that are open, and the newest thousand events. An evaluation of
            any other becomes a feedback record.

    Thread-safe. Other log records are passed over, and those that this package sends of feedback.
    """

    def __init__(self, spans: OutcomeSpanProcessor) -> None:
        self._spans = spans
        spans.outcomes.keep_recent()

    def on_emit(self, log_record: Any) -> None:
        """Read one record. Never raises into the program."""
        try:
            record = log_record.log_record
            if (
                record.event_name not in (semconv.GEN_AI_EVALUATION_EVENT, EXCEPTION)
                or not record.trace_id
                or not record.span_id
            ):
                return
            attributes = cast("Mapping[str, Any]", record.attributes or {})
            if semconv.OUTCOME_FEEDBACK_ID in attributes:
                return
            missed: Callable[[], None] | None = None
            if record.event_name == EXCEPTION:
                addition = Addition(
                    error_type=text(attributes.get(semconv.EXCEPTION_TYPE)),
                    error_message=text(attributes.get(semconv.EXCEPTION_MESSAGE), MAX_TEXT),
                    stack_trace=text(attributes.get(semconv.EXCEPTION_STACKTRACE), MAX_STACK),
                )
            else:
                said = evaluations.of_attributes(attributes)
                addition = Addition(quality_score=said.quality_score, metadata=said.metadata)
                missed = partial(
                    self._give, f"{record.trace_id:032x}-{record.span_id:016x}", attributes, said.quality_score
                )
            self._spans.outcomes.add(record.trace_id, record.span_id, addition, missed)
        except Exception as exc:  # somebody else's record may carry anything
            self._spans.pipeline.reject("unconvertible", "a log record could not be read: %r", exc)

    def _give(self, event_id: str, attributes: Mapping[str, Any], score: float | None) -> None:
        """Record an evaluation as feedback: its event is not known here any more."""
        pipeline = self._spans.pipeline
        redaction, notes = pipeline.redaction, Problems()
        label = text(attributes.get(semconv.GEN_AI_EVALUATION_SCORE_LABEL))
        comment = text(attributes.get(semconv.GEN_AI_EVALUATION_EXPLANATION), MAX_TEXT)
        if comment is not None and pipeline.feedback.takes_comments:
            comment = redaction.said(comment, "comment", MAX_TEXT, notes)
        else:
            comment = None
        if score is None and label is None and comment is None:
            pipeline.reject(
                "invalid", "an evaluation says nothing that feedback can hold, and its event is not known any more"
            )
            return
        name = redaction.text(text(attributes.get(semconv.GEN_AI_EVALUATION_NAME)) or UNNAMED)
        feedback = Echo(
            feedback_id=feedback_id_of("event", event_id, name, "judge", None),
            target="event",
            event_id=event_id,
            service_name=redaction.optional(pipeline.service_name),
            timestamp=pipeline.feedback.now(),
            name=name,
            source="judge",
            score=score,
            label=redaction.optional(label),
            comment=comment,
        )
        pipeline.feedback.accept(feedback, feedback.key)

    def shutdown(self) -> None:
        """Nothing: the span processor shuts the pipeline down."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._spans.force_flush(timeout_millis)
