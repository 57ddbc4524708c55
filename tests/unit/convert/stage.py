"""A provider whose spans begin and end when they are said to, and the events that become of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext

from otel_feedback.convert.pricing import Prices
from otel_feedback.convert.rules import Rules
from otel_feedback.events.model import OutcomeEvent
from otel_feedback.journal.memory import MemoryJournal
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from otel_feedback.pipeline.processor import OutcomeSpanProcessor

__all__ = ["Stage", "end_all", "remote"]

MS = 1_000_000


class Stage:
    """A provider and its events; spans begin and end at the millisecond that is said."""

    def __init__(self) -> None:
        rules = Rules(price=Prices().price)
        self.pipeline = FeedbackPipeline(new_journal=lambda: MemoryJournal(1 << 24), ring_size=10_000, rules=rules)
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(OutcomeSpanProcessor(self.pipeline))

    def start(
        self,
        scope: str,
        at: float,
        attributes: dict[str, Any] | None = None,
        above: Span | None = None,
        name: str = "s",
    ) -> Span:
        context = Context() if above is None else trace.set_span_in_context(above, Context())
        tracer = self.provider.get_tracer(scope)
        return tracer.start_span(name, context, attributes=attributes, start_time=int(at * MS))

    def events(self, *kinds: str) -> list[OutcomeEvent]:
        assert self.pipeline.metrics()["not_recorded"] == {}
        return [one for one in self.pipeline.get_recent_events(10_000) if not kinds or one.action_type in kinds]

    def totals(self) -> tuple[int, int, int]:
        """Tokens of the roots, own tokens, and calls of the roots."""
        events = self.events()
        roots = [event for event in events if event.parent_event_id is None]
        return (
            sum(event.tokens_used or 0 for event in roots),
            sum(event.own_tokens or 0 for event in events),
            sum(event.llm_calls or 0 for event in roots),
        )


def end_all(spans: Iterable[tuple[Span, float]]) -> None:
    for span, at in spans:
        span.end(int(at * MS))


def remote(span: Span) -> Span:
    """Return the span as it comes by headers."""
    context = span.get_span_context()
    return NonRecordingSpan(SpanContext(context.trace_id, context.span_id, True, context.trace_flags))
