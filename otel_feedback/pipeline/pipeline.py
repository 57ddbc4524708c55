"""`FeedbackPipeline`: takes outcome events, keeps the newest in a ring, and sees them delivered.

    event ──► ring                on the agent's thread: encode, ring, journal; microseconds, no waiting
         └──► Delivery ──► destinations

Guarantee: `appended = delivered + pending + sum(lost)` for each exporter, at any moment and after the end. Safe from any
thread. A forked child starts with a journal and workers of its own; what was pending is the parent's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from otel_feedback.capture.handle import open_actions
from otel_feedback.convert.catching_up import LONG_S
from otel_feedback.convert.conventions.builtin import CONVENTIONS
from otel_feedback.convert.outcomes import Outcomes
from otel_feedback.convert.rules import Rules
from otel_feedback.errors import ConfigError, SchemaError
from otel_feedback.events import codec
from otel_feedback.events.ended import MOST_MORE, MOST_TIMES, EndedAction, pack
from otel_feedback.events.model import OutcomeEvent, OutcomeStatus
from otel_feedback.exporters.interface import Exporter, Notices
from otel_feedback.journal.interface import Journal
from otel_feedback.pipeline.accounts import account_of
from otel_feedback.pipeline.delivery import Refused
from otel_feedback.pipeline.end import PipelineEnd
from otel_feedback.pipeline.listening import Listeners
from otel_feedback.pipeline.measuring import Measuring
from otel_feedback.pipeline.observing import Observed, observe
from otel_feedback.pipeline.recorder import ActionRecorder
from otel_feedback.pipeline.ring import Ring
from otel_feedback.pipeline.screen import Dropped, Screen
from otel_feedback.pipeline.span_notes import SpanNotes
from otel_feedback.pipeline.unrecorded import Unrecorded
from otel_feedback.pipeline.ways_out import WaysOut
from otel_feedback.redaction.redaction import Redaction
from otel_feedback.sdk.forks import HERE, begin_anew, is_pool_child, renew_in_child
from otel_feedback.settings.values import require

__all__ = ["FeedbackPipeline"]

AnEnded = TypeVar("AnEnded", bound=EndedAction)

_STATUSES = tuple(status.value for status in OutcomeStatus)


class FeedbackPipeline:
    """Where outcome events go. Made by `configure()`.

    Args:
        new_journal: Makes the journal; called again in a forked child.
        exporters: The destinations; each gets a worker and a cursor.
        new_feedback_journal: Makes that of feedback. Default: as of events.
        new_feedback_exporters: Makes the destinations of feedback, when the first is given.
        takes_comments: Whether comments in feedback may leave.
        refused: Keeps the payload of a record that a destination refused for good, where the journal cannot.
        notices: Takes dead letters and the account.
        ring_size: Events that `get_recent_events()` sees.
        shutdown_timeout_s: What `shutdown()` waits when not told, in seconds.
        emit_start: Whether an action leaves a note in the journal when it starts.
        emit_pending: Whether an action sends an event when it starts, too.
        rescan_s: How often to look for journals of dead processes, in seconds.
        audit_s: How often the account goes to `notices`, in seconds.
        rules: What is wanted of the conversion of spans.
        measuring: What makes OpenTelemetry metrics of outcomes.
        new_screen: Makes what events go through before they are recorded; it is given what counts failures of a
            user's functions.
        on_shutdown: Called when shutdown begins, on a thread of its own, with the seconds that there are: to flush spans.
    """

    def __init__(
        self,
        *,
        new_journal: Callable[[], Journal],
        exporters: Sequence[Exporter] = (),
        new_feedback_journal: Callable[[], Journal] | None = None,
        new_feedback_exporters: Callable[[], Sequence[Exporter]] = tuple,
        takes_comments: bool = False,
        refused: Refused = lambda record, exporter, refusal: None,
        notices: Notices | None = None,
        ring_size: int = 1_000,
        emit_start: bool = False,
        emit_pending: bool = False,
        rescan_s: float = 30.0,
        audit_s: float = 60.0,
        shutdown_timeout_s: float = 5.0,
        on_shutdown: Callable[[float], None] | None = None,
        service_name: str | None = None,
        rules: Rules | None = None,
        enabled: bool = True,
        measuring: Measuring | None = None,
        new_screen: Callable[[Callable[[str, Exception], None]], Screen] = lambda failed: Screen(failed=failed),
    ) -> None:
        self.service_name, self.enabled = service_name, enabled
        self.emit_start, self.emit_pending = emit_start, emit_pending
        self._shutdown_timeout_s = shutdown_timeout_s
        self._ring = Ring(ring_size)
        self.measuring = measuring or Measuring()
        """The OpenTelemetry metrics of the outcomes, once they are offered and the program has a MeterProvider."""
        self.unrecorded = Unrecorded(is_off=not enabled)
        """What was not recorded, and what failed on the way."""
        self.screen = new_screen(self.unrecorded.note_hook_failure)
        """What everything goes through before it is recorded."""
        self.redaction: Redaction = self.screen.redaction
        """What takes secrets out of texts."""
        rules = rules or Rules()
        notes = SpanNotes(self) if rules.may_put_off and not self.screen.has_hooks else None
        self.outcomes = Outcomes(self.accept, CONVENTIONS, rules, open_actions.get, notes, self._reject_span)
        """What turns spans into events, for all providers whose spans come here."""
        self.recorder = ActionRecorder(self)
        """What takes the events of actions."""
        self.closed = not enabled
        """True after `shutdown()` began, and where everything is switched off."""
        self._ending = PipelineEnd(on_shutdown)
        self._ways_out = WaysOut(
            self, new_journal, exporters, new_feedback_journal or new_journal, new_feedback_exporters,
            refused=refused, notices=notices, rescan_s=rescan_s, audit_s=audit_s, takes_comments=takes_comments,
        )  # fmt: skip
        self.feedback = self._ways_out.feedback
        """What takes feedback."""
        self._begin(is_child=is_pool_child())
        renew_in_child(self)

    def _begin(self, *, is_child: bool) -> None:
        self._delivery = self._ways_out.begin(is_child=is_child)
        self.journal = self._delivery.journal
        """The journal of events of this process; a forked child has another one."""
        self.note_ended, self.convert_soon = self._delivery.note_ended, self._delivery.convert_soon
        """What writes down what a span left, and sees that it is converted."""

    @property
    def producer_id(self) -> str:
        """Who numbers the records: 32 hex digits, new for each pipeline and each forked child."""
        return self._delivery.journal.origin.producer_id

    # -- in ------------------------------------------------------------------------------------------------

    def accept_ended(self, ended: AnEnded, key: str, sampled: bool) -> AnEnded | OutcomeEvent | None:
        """Take what an action left, of which everything, and the key, went through this pipeline's redaction when said.

        Returns what was recorded: the same, of which the event is made where it is wanted, or the event.
        """
        if not HERE[0]:
            begin_anew()
        if self.outcomes.is_behind:  # an event of the same run goes before
            self.outcomes.catch_up()
        screen = self.screen
        try:
            packed = pack(ended)
        except Exception:  # what cannot be written is seen to there
            return self.accept(ended.event(), key, sampled, True, is_clean=True)
        if (
            ended.made is not None  # packed with it, it might end with a zero, which frames must not
            or screen.has_hooks
            or len(packed) * MOST_TIMES + MOST_MORE > screen.max_bytes
            or self.closed
        ):
            return self.accept(ended.event(), key, sampled, True, is_clean=True)
        self._ring.append(packed)
        if not self._delivery.append(key, packed, ended, sampled):
            self._reject_late(ended.event_id)
            return None
        if self.measuring.is_on:
            self.measuring.take(ended, sampled, True)
        return ended

    def accept(
        self, event: OutcomeEvent, key: str, sampled: bool, is_told: bool = False, *, is_clean: bool = False
    ) -> OutcomeEvent | None:
        """Take an event that is known to be valid; return it as it was recorded, None where it was not.

        Cheap; never raises. `is_told`: an action of our own has just ended so. `is_clean`: its texts went through redaction.
        """
        if not HERE[0]:
            begin_anew()
        if self.closed:
            self._reject_late(event.event_id)
            return None
        try:
            screened = self.screen.pass_through(event, is_clean=is_clean)
        except Exception as exc:  # lone surrogates, integers beyond 64 bits
            self.forget_start(event.event_id)
            self.reject("unencodable", "an outcome cannot be written as JSON and is not recorded: %s", exc)
            return None
        if isinstance(screened, Dropped):
            if event.revision:
                self.forget_start(event.event_id)
            self.unrecorded.count(screened.reason)
            return None
        if key != event.trace_id:
            key = self._key_of(key, event, screened.event)
        self._ring.append(event := screened.event)
        if not self._delivery.append(key, screened.payload, event, sampled):
            self._reject_late(event.event_id)
            return None
        if self.measuring.is_on:
            self.measuring.take(event, sampled, is_told)
        if event.revision > 1 and Listeners.all:
            Listeners.tell(event)
        return event

    def _key_of(self, key: str, event: OutcomeEvent, recorded: OutcomeEvent) -> str:
        """Return the partition key: it may be a run id, which may have been a secret, or redacted by the user."""
        if key == event.run_id and recorded.run_id != event.run_id:
            return recorded.run_id or recorded.trace_id or recorded.event_id
        return self.screen.redaction.text(key)

    def _reject_late(self, event_id: str) -> None:
        self.forget_start(event_id)
        self.reject("after_shutdown", "an outcome came after shutdown() and is not recorded")

    def forget_start(self, *event_ids: str) -> None:
        """Forget actions that began and ended without an event, or notes of spans that have been converted."""
        if not HERE[0]:
            begin_anew()
        self._delivery.journal.forget_start(*event_ids)

    def record_outcome(self, event: OutcomeEvent) -> bool:
        """Record an outcome that was made by hand.

        Returns:
            True when it was taken. False, with a line in the log and a count in `metrics()`, when it is not a
            valid `OutcomeEvent` or the pipeline is shut down. Never raises. Safe from any thread.
        """
        try:
            event = codec.validate(event)
        except SchemaError as exc:
            self.reject("invalid", "record_outcome(): %s", exc)
            return False
        self.outcomes.catch_up()
        return self.accept(event, event.run_id or event.trace_id or event.event_id, sampled=False) is not None

    def reject(self, reason: str, message: str, *args: object) -> None:
        """Count an outcome that could not be recorded, and say so at most once a minute."""
        self.unrecorded.reject(reason, message, *args)

    def _reject_span(self, exc: Exception) -> None:
        self.reject("unconvertible", "a span could not be turned into an outcome: %r", exc)

    # -- out -----------------------------------------------------------------------------------------------

    def get_recent_events(
        self,
        count: int = 10,
        status: OutcomeStatus | str | None = None,
        agent_name: str | None = None,
        action_type: str | None = None,
        workflow_id: str | None = None,
    ) -> list[OutcomeEvent]:
        """Return the newest events that match all filters: at most `count`, newest last.

        Sees the newest 1,000 events (`ring_size`); of each event only the highest revision. An action that has
        returned is here. Safe from any thread.

        Raises:
            ConfigError: `status` is none of `OutcomeStatus`, or `count` no whole number.
        """
        if status is not None and status not in _STATUSES:
            raise ConfigError("status", status, "one of " + ", ".join(_STATUSES))
        require("count", count, int, "a whole number")
        self.outcomes.catch_up(LONG_S)
        wanted = {"status": status, "agent_name": agent_name, "action_type": action_type, "workflow_id": workflow_id}
        given = {name: value for name, value in wanted.items() if value is not None}
        return self._ring.newest(count, lambda event: all(getattr(event, name) == given[name] for name in given))

    def find_recent(self, *, event_id: str | None = None, run_id: str | None = None) -> OutcomeEvent | None:
        """Return the newest event of this id, or of this run, of those that `get_recent_events()` sees."""
        return self._ring.find(event_id, run_id)

    def metrics(self) -> dict[str, Any]:
        """Return the account: what was recorded, and for each exporter what became of it.

        Shape: `{"producer_id", "recorded", "exporters": {name: {"destination", "appended", "delivered", "pending",
        "lost": {reason: n}, "retries", "healthy", "last_error"}}, "journal": {"kind": "disk" or "memory", "path", "bytes",
        "segments", "problem", "open_actions", "damaged_bytes"}, "adopted": {producer_id: {"service_name", "exporters":
        {name: …}}}, "elsewhere": [{"exporter", "destination", "address", "journals", "events", "command"}], "not_recorded":
        {reason: n}, "hook_failures": {"redact" or "filter": n}, "sampled_out", "notices": {"sent", "pending", "lost"},
        "feedback": the same of feedback, from `producer_id` to `elsewhere`, once some was given}`.
        Where tenants have topics of their own Kafka's exporter has `"redirected": {"name": n, "limit": n}`, too: events of
        tenants that went to the shared topic. `elsewhere` is what dead processes left for destinations that are none of these,
        with what sends it here. For each exporter `appended = delivered + pending + sum(lost)`. Safe from any thread.
        """
        if not HERE[0]:
            begin_anew()
        self.outcomes.catch_up(LONG_S)
        return {
            **account_of(self._delivery),
            "not_recorded": self.unrecorded.by_reason(),
            "hook_failures": self.unrecorded.hook_failures(),
            "sampled_out": self.unrecorded.sampled_out,
            "notices": {} if self._ways_out.notices is None else dict(self._ways_out.notices.account()),
            "feedback": self.feedback.metrics(),
        }

    def observe(self) -> None:
        """Offer the account, and how delivery is, to OpenTelemetry metrics, under the names `otel_feedback.*`."""
        observe(Observed(lambda: self._ways_out.all, self.unrecorded.by_reason, self._ways_out.notices))

    def force_flush(self, timeout_s: float = 30.0) -> bool:
        """Deliver what was recorded so far; wait at most `timeout_s` seconds.

        Returns:
            True only when every exporter has acknowledged everything that was pending; False when time ran
            out or something was lost meanwhile.
        """
        if not HERE[0]:
            begin_anew()
        self.outcomes.catch_up(LONG_S)
        return self._ways_out.force_flush(timeout_s)

    def shutdown(self, timeout_s: float | None = None) -> bool:
        """Deliver what is pending, stop the workers, close the destinations; at most `timeout_s` seconds.

        What could not be delivered stays in the journal on disk and goes out with the next process of the service;
        from a journal in memory it is lost, as `lost["shutdown"]`. A log line says which. Later outcomes are counted, not
        recorded. Calling it again does nothing. Runs by itself at the end of the interpreter.

        Returns:
            True when everything that was ever recorded has been acknowledged by every exporter.
        """
        if not HERE[0]:
            begin_anew()
        limit_s = self._shutdown_timeout_s if timeout_s is None else max(0.0, timeout_s)
        return self._ending.run(limit_s, self._close, self._ways_out.finish)

    def end_in_child(self) -> bool:
        """Shut down in a pool's child that ends: leave to others what would take a while, and spans to the SDK."""
        most_s = self._shutdown_timeout_s
        return self._ending.run(0.0, self._close, lambda _deadline: self._ways_out.finish_in_child(most_s))

    def _close(self) -> None:
        self.outcomes.finish()
        self.closed = True
        # by now nobody else converts a span that was on its way, and is counted
        self.convert_soon = self.outcomes.catch_up
        self.outcomes.catch_up(LONG_S)

    def renew_after_fork(self) -> None:
        """In a forked child: a journal, workers and locks of its own. What is pending belongs to the parent."""
        self._ways_out.leave_to_parent()  # first of all: whatever fails below, nothing of the parent's is written to
        for part in (self.unrecorded, self._ending, self.screen, self.outcomes, self.measuring, self._ways_out):
            part.renew_after_fork()
        if not self.closed:
            self._begin(is_child=True)
