"""How good somebody found an action, said on its span or in a log record that names it."""

from __future__ import annotations

from typing import Any, cast

import pytest
from opentelemetry import trace
from opentelemetry._logs import LogRecord
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider

import otel_feedback as feedback
from otel_feedback.pipeline.pipeline import FeedbackPipeline

TOOL = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "add"}


def result(name: str, score: Any, label: str | None = None) -> dict[str, Any]:
    told = {"gen_ai.evaluation.name": name, "gen_ai.evaluation.score.value": score}
    return told if label is None else {**told, "gen_ai.evaluation.score.label": label}


@pytest.fixture
def tracer(pipeline: FeedbackPipeline, provider: TracerProvider) -> trace.Tracer:
    return provider.get_tracer("somebody")


def events(pipeline: FeedbackPipeline) -> list[feedback.OutcomeEvent]:
    return pipeline.get_recent_events(100)


def test_a_span_event_gives_the_score(pipeline: FeedbackPipeline, tracer: trace.Tracer) -> None:
    span = tracer.start_span("execute_tool add", attributes=TOOL)
    span.add_event("gen_ai.evaluation.result", result("tone", 4.0, "fine"))
    span.add_event("gen_ai.evaluation.result", result("truth", 0.75))
    span.end()
    [event] = events(pipeline)
    assert event.quality_score == 0.75  # 4.0 is on a scale that is not ours to guess
    assert event.metadata.items() >= {
        "evaluation.tone.score": 4.0, "evaluation.tone.label": "fine", "evaluation.truth.score": 0.75
    }.items()  # fmt: skip


@pytest.mark.parametrize("score", [-0.1, 1.01, float("nan"), True, "good", None])
def test_what_is_no_score_from_0_to_1_is_none(pipeline: FeedbackPipeline, tracer: trace.Tracer, score: Any) -> None:
    span = tracer.start_span("execute_tool add", attributes=TOOL)
    span.add_event("gen_ai.evaluation.result", {k: v for k, v in result("x", score).items() if v is not None})
    span.end()
    [event] = events(pipeline)
    assert event.quality_score is None


@pytest.mark.parametrize("prefix", ["evaluations.0.evaluation", "annotations.0.annotation"])
def test_openinferences_lists(pipeline: FeedbackPipeline, tracer: trace.Tracer, prefix: str) -> None:
    attributes = {f"{prefix}.name": "relevance", f"{prefix}.score": 0.5, f"{prefix}.label": "relevant"}
    tracer.start_span("x", attributes={"openinference.span.kind": "TOOL", **attributes}).end()
    [event] = events(pipeline)
    assert event.quality_score == 0.5
    assert event.metadata["evaluation.relevance.label"] == "relevant"


class Logs:
    """A LoggerProvider with our processor."""

    def __init__(self, pipeline: FeedbackPipeline) -> None:
        logs = LoggerProvider(shutdown_on_exit=False)
        logs.add_log_record_processor(
            cast("LogRecordProcessor", feedback.OutcomeLogRecordProcessor(feedback.OutcomeSpanProcessor(pipeline)))
        )
        self._logger = logs.get_logger("somebody")

    def emit(self, name: str, span: trace.Span, attributes: dict[str, Any]) -> None:
        ids = span.get_span_context()
        self._logger.emit(
            cast(Any, LogRecord)(event_name=name, trace_id=ids.trace_id, span_id=ids.span_id, attributes=attributes)
        )


@pytest.fixture
def logs(pipeline: FeedbackPipeline) -> Logs:
    return Logs(pipeline)


def test_a_log_record_after_the_end_is_a_revision(pipeline: FeedbackPipeline, tracer: trace.Tracer, logs: Logs) -> None:
    span = tracer.start_span("execute_tool add", attributes=TOOL)
    span.end()
    logs.emit("gen_ai.evaluation.result", span, result("truth", 0.25))
    [event] = events(pipeline)
    assert (event.revision, event.quality_score) == (2, 0.25)
    assert event.tool_name == "add"  # a revision is a whole event


def test_a_log_record_before_the_end_comes_with_the_event(
    pipeline: FeedbackPipeline, tracer: trace.Tracer, logs: Logs
) -> None:
    span = tracer.start_span("execute_tool add", attributes=TOOL)
    logs.emit("gen_ai.evaluation.result", span, result("truth", 0.25))
    span.end()
    [event] = events(pipeline)
    assert (event.revision, event.quality_score) == (1, 0.25)


def test_the_score_of_an_own_action_stays(pipeline: FeedbackPipeline, logs: Logs) -> None:
    with feedback.action("step") as act:
        act.score(quality=0.9)
        logs.emit("gen_ai.evaluation.result", trace.get_current_span(), result("truth", 0.25))
    assert act.event is not None
    assert act.event.quality_score == 0.9
    assert act.event.metadata["evaluation.truth.score"] == 0.25


def test_an_exception_in_a_log_record_fills_what_the_span_does_not_say(
    pipeline: FeedbackPipeline, tracer: trace.Tracer, logs: Logs
) -> None:
    span = tracer.start_span("execute_tool add", attributes=TOOL)
    span.set_status(trace.StatusCode.ERROR)
    told = {"exception.type": "builtins.ValueError", "exception.message": "no", "exception.stacktrace": "Traceback …"}
    logs.emit("gen_ai.client.operation.exception", span, told)
    span.end()
    [event] = events(pipeline)
    assert (event.status, event.error_type, event.error_message, event.stack_trace) == (
        "failure", "ValueError", "no", "Traceback …",
    )  # fmt: skip


def test_records_of_other_kinds_and_of_unknown_spans_change_nothing(
    pipeline: FeedbackPipeline, tracer: trace.Tracer, logs: Logs
) -> None:
    span = tracer.start_span("execute_tool add", attributes=TOOL)
    span.end()
    logs.emit("something.else", span, result("truth", 0.25))
    logs.emit("gen_ai.evaluation.result", trace.NonRecordingSpan(trace.INVALID_SPAN_CONTEXT), result("truth", 0.25))
    other = trace.SpanContext(1, 2, is_remote=False)
    logs.emit("gen_ai.evaluation.result", trace.NonRecordingSpan(other), result("truth", 0.25))
    [event] = events(pipeline)
    assert event.revision == 1
    assert event.quality_score is None
