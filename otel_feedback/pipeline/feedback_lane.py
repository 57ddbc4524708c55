"""The way of feedback: a journal and workers of their own beside those of events, made when the first is given.

    give() ──► FeedbackLane ──► Delivery ──► agent-feedback, OTLP, log        the same machinery, another producer id

Its records have numbers of their own, so those of events stay without a gap for whoever reads `agent-outcomes` alone; and a
program that gives none pays for none. Guarantee: as of events, see `Delivery`. Safe from any thread.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from otel_feedback.events.feedback import Feedback
from otel_feedback.exporters.interface import Exporter
from otel_feedback.journal.interface import Journal
from otel_feedback.pipeline.accounts import account_of
from otel_feedback.pipeline.delivery import Delivery
from otel_feedback.pipeline.listening import Listeners
from otel_feedback.sdk.forks import HERE, begin_anew

if TYPE_CHECKING:
    from otel_feedback.pipeline.pipeline import FeedbackPipeline

__all__ = ["FeedbackLane"]

KEPT = 1_000
"""The newest, for tests of programs that give some."""

_STEP = timedelta(microseconds=1)


class FeedbackLane:
    """Takes feedback for one pipeline, and delivers it.

    Args:
        pipeline: Whose screen it goes through, and whose end is its own.
        new_journal: Makes the journal; cheap, and nothing is written before the first append.
        new_exporters: Makes the destinations, once in a process and those that are forked from it.
        deliver: Makes what delivers from that journal to them.
        takes_comments: Whether comments may leave.
    """

    def __init__(
        self,
        pipeline: FeedbackPipeline,
        new_journal: Callable[[], Journal],
        new_exporters: Callable[[], Sequence[Exporter]],
        deliver: Callable[[Journal, Sequence[Exporter]], Delivery],
        *,
        takes_comments: bool = False,
    ) -> None:
        self._pipeline = pipeline
        self._new_journal, self._new_exporters, self._deliver = new_journal, new_exporters, deliver
        self.takes_comments = takes_comments
        self.recent: deque[Feedback] = deque(maxlen=KEPT)
        """The newest that were recorded here."""
        self.exporters: tuple[
            Exporter, ...
        ] = ()  # once there is something to deliver; guarded by self._lock for writing
        self.delivery: Delivery | None = None  # guarded by self._lock for writing
        self._latest = datetime.fromtimestamp(0, timezone.utc)  # guarded by self._lock
        self._lock = threading.RLock()  # re-entrant: a signal handler may give feedback, too

    def accept(self, feedback: Feedback, key: str, *, sampled: bool = False) -> Feedback | None:
        """Take feedback whose texts went through redaction; return it as it was recorded, None where it was not.

        When this returns, it is in the journal. Never raises.

        Args:
            key: Decides the Kafka partition.
            sampled: The W3C flag of the trace of its event, where that is known.
        """
        if not HERE[0]:
            begin_anew()
        pipeline = self._pipeline
        try:
            if pipeline.closed:
                return self._reject("after_shutdown", "feedback came after shutdown() and is not recorded")
            run_id = feedback.run_id
            screened = pipeline.screen.pass_feedback(feedback)
            if screened is None:
                return self._reject("redacted", "nothing is left of feedback after redaction, and it is not recorded")
            recorded, payload = screened
            # a key that is a run id may have been redacted by the user
            key = recorded.key if key == run_id else pipeline.redaction.text(key)
            if not self._begun().append(key, payload, recorded, sampled):
                return self._reject("after_shutdown", "feedback came after shutdown() and is not recorded")
        except Exception as exc:  # a defect of ours must not reach who gives it
            return self._reject("defect", "feedback could not be recorded: %r", exc)
        self.recent.append(recorded)
        if Listeners.all:
            Listeners.tell(recorded)
        return recorded

    def now(self) -> datetime:
        """Return when feedback is given: later than any before, whatever the clock says, since the newest of one id counts."""
        with self._lock:
            self._latest = max(datetime.now(timezone.utc), self._latest + _STEP)
            return self._latest

    def _reject(self, reason: str, message: str, *args: object) -> None:
        self._pipeline.reject(reason, message, *args)

    def look(self) -> None:
        """Begin where dead processes have left feedback, and nobody has given any here."""
        if self.delivery is None and self._new_journal().has_orphans():
            self._begun()

    def _begun(self) -> Delivery:
        delivery = self.delivery
        if delivery is None:
            with self._lock:
                self.exporters = self.exporters or tuple(self._new_exporters())
                if self.delivery is None:
                    self.delivery = self._deliver(self._new_journal(), self.exporters)
                delivery = self.delivery
        return delivery

    def metrics(self) -> dict[str, Any]:
        """Return the account, as `FeedbackPipeline.metrics()` has that of events; nothing where none was given."""
        delivery = self.delivery
        return {} if delivery is None else account_of(delivery)

    def leave_to_parent(self) -> None:
        """In a forked child: let go of what is the parent's; the next one that is given begins anew."""
        self._lock = threading.RLock()
        delivery, self.delivery = self.delivery, None
        if delivery is not None:
            delivery.leave_to_parent()
