"""The reading side: for programs that use the events, and never imported by one with agents."""

from __future__ import annotations

from otel_feedback.downstream.consumer.asynchronous import AsyncFeedbackConsumer, AsyncOutcomeConsumer
from otel_feedback.downstream.consumer.consumer import FeedbackConsumer, OutcomeConsumer
from otel_feedback.downstream.topic.given import ReceivedFeedback
from otel_feedback.downstream.topic.received import Position, ReceivedEvent

__all__ = [
    "AsyncFeedbackConsumer", "AsyncOutcomeConsumer", "FeedbackConsumer", "OutcomeConsumer", "Position", "ReceivedEvent",
    "ReceivedFeedback",
]  # fmt: skip
