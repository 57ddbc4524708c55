"""The actions that are measured record what they stand for; else something cheaper would be measured."""

from __future__ import annotations

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from benchmarks.subjects.bare import METADATA, TEN, attributes_at_start, failing_set_attributes, ten_set_attributes
from benchmarks.subjects.workload import one_action, one_failing, three_nested
from otel_feedback.pipeline.pipeline import FeedbackPipeline


def test_both_bare_spans_say_the_same(provider: TracerProvider, spans: InMemorySpanExporter) -> None:
    tracer = provider.get_tracer("test")
    ten_set_attributes(tracer)
    attributes_at_start(tracer)
    one, other = (dict(span.attributes or {}) for span in spans.get_finished_spans())
    assert one == other == {**TEN, "outcome.tags": ("customer",)}
    assert len(TEN) == 10


def test_an_action_says_what_the_bare_span_says(pipeline: FeedbackPipeline, spans: InMemorySpanExporter) -> None:
    one_action()
    (span,) = spans.get_finished_spans()
    assert dict(span.attributes or {}).items() >= {**TEN, "outcome.tags": ("customer",)}.items()


def test_the_failing_action_has_all_there_is_to_record(pipeline: FeedbackPipeline) -> None:
    one_failing()
    (event,) = pipeline.get_recent_events()
    assert event.error_type == "ConnectionError"
    assert "in _request" in (event.stack_trace or "")
    assert event.tags == ("customer", "north")
    assert event.metadata.items() >= METADATA.items()


def test_the_failing_bare_span_has_the_same_exception(provider: TracerProvider, spans: InMemorySpanExporter) -> None:
    failing_set_attributes(provider.get_tracer("test"))
    (span,) = spans.get_finished_spans()
    assert len(span.attributes or {}) == 13
    (recorded,) = span.events
    assert "in _request" in str((recorded.attributes or {})["exception.stacktrace"])


def test_three_actions_are_in_each_other_and_inherit(pipeline: FeedbackPipeline) -> None:
    three_nested()
    events = pipeline.get_recent_events()
    assert {event.depth for event in events} == {0, 1, 2}
    assert {event.workflow_id for event in events} == {"wf-1"}
