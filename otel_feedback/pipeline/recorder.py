"""What records actions: their events, which they make themselves, and the notes that they began."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.resources import Resource

from otel_feedback import semconv
from otel_feedback.convert.rules import Pricing
from otel_feedback.events.model import OutcomeEvent
from otel_feedback.events.started import StartedAction
from otel_feedback.logger import get_logger
from otel_feedback.sdk.forks import HERE, begin_anew

if TYPE_CHECKING:
    from otel_feedback.pipeline.pipeline import FeedbackPipeline

__all__ = ["ActionRecorder"]

logger = get_logger(__name__)


class ActionRecorder:
    """Records actions in one pipeline. Thread-safe; never raises."""

    def __init__(self, pipeline: FeedbackPipeline) -> None:
        self.pipeline = pipeline
        self.price: Pricing | None = pipeline.outcomes.rules.price
        self.rates = pipeline.outcomes.rules.rates
        self.notes_starts = pipeline.emit_start
        self.emits_pending = pipeline.emit_pending
        self.service: tuple[Resource | None, str | None] = (None, pipeline.redaction.optional(pipeline.service_name))

    def service_name(self, resource: Resource | None) -> str | None:
        """Return the resource's name of its service, else the setting's."""
        known, name = self.service
        if resource is not known and resource is not None:
            told = resource.attributes.get(semconv.SERVICE_NAME)
            # the SDK's own placeholder says less than our setting
            is_named = isinstance(told, str) and not told.startswith("unknown_service")
            name = self.pipeline.redaction.optional(str(told) if is_named else self.pipeline.service_name)
            self.service = (resource, name)
        elif resource is None and known is not None:
            name = self.pipeline.redaction.optional(self.pipeline.service_name)
        return name

    def note_start(self, action: StartedAction) -> None:
        """Note in the journal that the action began."""
        try:
            if not HERE[0]:
                begin_anew()
            if not self.pipeline.closed:
                self.pipeline.journal.note_start(action)
        except Exception:  # a defect of ours must not keep the action from being recorded
            logger.exception("the start of an action could not be noted")

    def record(self, event: OutcomeEvent, key: str, *, sampled: bool, sampled_out: bool) -> OutcomeEvent | None:
        """Record the event of an action whose span reached no processor of ours."""
        if sampled_out and not self.pipeline.closed:
            self.pipeline.unrecorded.note_sampled_out()
        self.pipeline.outcomes.catch_up()
        return self.pipeline.accept(event, key, sampled, True)

    def leave_unmeasured(self, event_id: str) -> None:
        """Make no metrics of an action that is about to end."""
        self.pipeline.measuring.leave_out(event_id)

    def lose(self, event_id: str, exc: Exception) -> None:
        """Count an action that could not be recorded."""
        self.pipeline.forget_start(event_id)
        self.pipeline.reject("defect", "an action could not be ended: %r", exc)
