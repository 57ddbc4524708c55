"""The two ways out of a process: of events, and of feedback, which begins when the first is given. They end together.

Guarantee: what `Delivery` promises, of each. A forked child begins both anew. Safe from any thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from otel_feedback.exporters.interface import Exporter, Notices
from otel_feedback.journal.interface import Journal
from otel_feedback.pipeline.closing import Closing
from otel_feedback.pipeline.delivery import Delivery, Refused
from otel_feedback.pipeline.feedback_lane import FeedbackLane
from otel_feedback.sdk.forks import call_at_end_of_child, is_patched

if TYPE_CHECKING:
    from otel_feedback.pipeline.pipeline import FeedbackPipeline

__all__ = ["WaysOut"]


class WaysOut:
    """Delivers what a pipeline records.

    Args:
        new_journal: Makes the journal of events; called again in a forked child.
        exporters: The destinations of events.
        new_feedback_journal: Makes that of feedback.
        new_feedback_exporters: Makes the destinations of feedback, when the first is given.
        rescan_s, audit_s: As `Delivery` has them; so are `refused` and `notices`, for both.
        takes_comments: Whether comments in feedback may leave.
    """

    def __init__(
        self,
        pipeline: FeedbackPipeline,
        new_journal: Callable[[], Journal],
        exporters: Sequence[Exporter],
        new_feedback_journal: Callable[[], Journal],
        new_feedback_exporters: Callable[[], Sequence[Exporter]],
        *,
        refused: Refused,
        notices: Notices | None,
        rescan_s: float,
        audit_s: float,
        takes_comments: bool,
    ) -> None:
        self._pipeline = pipeline
        self._new_journal, self._exporters = new_journal, tuple(exporters)
        self.notices, self._refused = notices, refused
        self._rescan_s, self._audit_s = rescan_s, audit_s
        self._is_child = False
        self._child_ends_s: float | None = None  # by when, by the monotonic clock, where a pool's child ends
        self._feedback_delivered = True
        self.feedback = FeedbackLane(
            pipeline, new_feedback_journal, new_feedback_exporters, self._deliver, takes_comments=takes_comments
        )

    def begin(self, *, is_child: bool) -> Delivery:
        """Begin, also where dead processes have left something; return what delivers events."""
        self._is_child = is_child
        pipeline = self._pipeline
        self.events = self._deliver(
            self._new_journal(), self._exporters, also_tend=(pipeline.outcomes.tend, pipeline.measuring.drain),
            also_adopt=self.feedback.look, end_notices=self._end_notices,
        )  # fmt: skip
        if not is_child:  # else, and later, those of feedback are looked for with those of events
            self.feedback.look()
        return self.events

    def _deliver(self, journal: Journal, exporters: Sequence[Exporter], **more: Any) -> Delivery:
        close_action = Closing(self._pipeline, self._pipeline.screen).close
        return Delivery(
            journal, exporters, refused=self._refused, notices=self.notices, rescan_s=self._rescan_s, audit_s=self._audit_s,
            close_action=close_action, begun=self._note_begun, is_child=self._is_child, **more,
        )  # fmt: skip

    def _note_begun(self) -> None:
        if self.notices is not None and is_patched() and not any(self.notices.account().values()):
            self.notices.after_fork()  # what it waits with is not gevent's or eventlet's
        call_at_end_of_child(self._pipeline.end_in_child)

    @property
    def all(self) -> list[Delivery]:
        """That of events, and that of feedback where some was given."""
        return [self.events] if self.feedback.delivery is None else [self.events, self.feedback.delivery]

    def force_flush(self, timeout_s: float) -> bool:
        """Deliver what was recorded so far; True only when all of it was acknowledged in time."""
        deadline_s = time.monotonic() + max(0.0, timeout_s)
        for delivery in self.all:
            delivery.hurry()
        are_flushed = [delivery.force_flush(deadline_s - time.monotonic()) for delivery in self.all]
        return all(are_flushed)

    def finish(self, deadline_s: float) -> bool:
        """Deliver what is pending until the monotonic deadline, then end; True when everything ever was delivered."""
        if time.monotonic() < deadline_s:
            self.feedback.look()  # children, above all, that ended without an end
        for delivery in self.all:
            delivery.hurry()  # each has all the time
        return self.events.finish(deadline_s) and self._feedback_delivered

    def finish_in_child(self, most_s: float) -> bool:
        """The same where a pool's child ends, within so many seconds: what would take a while is left to others."""
        self._child_ends_s = time.monotonic() + most_s
        return self.events.finish_in_child(most_s) and self._feedback_delivered

    def _end_notices(self, deadline_s: float) -> None:
        """End feedback, too, and then what both have told their accounts by."""
        delivery = self.feedback.delivery
        if delivery is not None and self._child_ends_s is not None:
            # where another one's turn it was to deliver events it may be this one's to deliver feedback
            self._feedback_delivered = delivery.finish_in_child(max(0.0, self._child_ends_s - time.monotonic()))
        elif delivery is not None:
            self._feedback_delivered = delivery.finish(deadline_s)
        if self.notices is not None:
            self.notices.close(max(0.0, deadline_s - time.monotonic()))

    def leave_to_parent(self) -> None:
        """In a forked child: let go of what is the parent's, without touching it."""
        self.events.leave_to_parent()
        self.feedback.leave_to_parent()

    def renew_after_fork(self) -> None:
        """In a forked child, after that: destinations without the parent's connections."""
        for exporter in (*self._exporters, *self.feedback.exporters):
            exporter.after_fork()
        if self.notices is not None:
            self.notices.after_fork()
