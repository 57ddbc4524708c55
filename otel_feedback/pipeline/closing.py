"""What a dead process left without an event gets one: actions that never ended, and spans that were not converted."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from otel_feedback.convert.lost import lost_action
from otel_feedback.convert.noted import LostSpans
from otel_feedback.events.model import OutcomeEvent
from otel_feedback.events.started import StartedAction
from otel_feedback.pipeline.screen import Dropped, Screen

if TYPE_CHECKING:
    from otel_feedback.pipeline.pipeline import FeedbackPipeline

__all__ = ["Closing"]


class Closing:
    """Makes the events of what adopted journals hold open. By the thread that adopts."""

    def __init__(self, pipeline: FeedbackPipeline, screen: Screen) -> None:
        self._pipeline = pipeline
        self._screen = screen
        self._spans: LostSpans | None = None  # of the journal that is adopted now

    def close(self, left: StartedAction, died: datetime) -> OutcomeEvent | None:
        """Return the event of an action, or of a span, as it is to be recorded, if it is."""
        pipeline = self._pipeline
        event = lost_action(left, died) if left.ended is None else self._of_span(left)
        if event is None:
            return None
        screened = self._screen.pass_through(event)
        if not isinstance(screened, Dropped):
            if pipeline.measuring.is_on:
                pipeline.measuring.take(screened.event, False, False)
            return screened.event
        pipeline.unrecorded.count(screened.reason)
        return None

    def _of_span(self, left: StartedAction) -> OutcomeEvent | None:
        spans = self._spans
        if spans is None or spans.notes is not left.ended:
            spans = self._spans = LostSpans(left.ended, self._pipeline.outcomes.rules)
        return spans.event(left.event_id)
