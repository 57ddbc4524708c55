"""Where spans are written down that have ended and are converted later: in the journal, if they hold no secret."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from otel_feedback.events.started import StartedAction
from otel_feedback.sdk.forks import HERE

if TYPE_CHECKING:
    from otel_feedback.pipeline.pipeline import FeedbackPipeline

__all__ = ["SpanNotes"]


class SpanNotes:
    """The notes of one pipeline. Thread-safe; never raises."""

    def __init__(self, pipeline: FeedbackPipeline) -> None:
        self._pipeline = pipeline

    def write(self, left: StartedAction, texts: Collection[str | None], metadata: Mapping[str, Any]) -> bool:
        """Write down what a span left; False where it is to be converted at once."""
        pipeline = self._pipeline
        try:
            # a child without Python's fork hooks is seen to by what is recorded at once
            if not HERE[0] or pipeline.closed:
                return False
            redaction = pipeline.redaction
            if not metadata and redaction.known.issuperset(texts):  # nothing that is not known
                return pipeline.note_ended(left)
            return redaction.is_clean(texts, metadata) and pipeline.note_ended(left)
        except Exception:  # somebody else's span may carry anything
            return False

    def queue(self) -> None:
        """See that what was written down is converted soon."""
        self._pipeline.convert_soon()

    def forget(self, ids: Sequence[str]) -> None:
        """Forget notes whose spans have been converted."""
        self._pipeline.forget_start(*ids)
