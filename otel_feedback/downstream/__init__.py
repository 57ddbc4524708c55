"""The reading side: for programs that use the events, and never imported by one with agents."""

from __future__ import annotations

from otel_feedback.downstream.consumer.asynchronous import AsyncOutcomeConsumer
from otel_feedback.downstream.consumer.consumer import OutcomeConsumer
from otel_feedback.downstream.topic.received import Position, ReceivedEvent

__all__ = ["AsyncOutcomeConsumer", "OutcomeConsumer", "Position", "ReceivedEvent"]
