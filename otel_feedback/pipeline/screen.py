"""What an event goes through before anybody sees it: redaction, admission, the user's `redact`, the cap of its size.

    event ──► redaction ──► filter, rate limit ──► redact(event) ──► redaction ──► JSON ──► at most so many bytes

Input: any event that is about to be recorded. Output: the event as it is recorded, and its JSON. On the agent's thread.
Guarantee: fails closed. Where a user's `redact` fails, what people wrote is left out, and the event stays.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from otel_feedback.errors import SchemaError
from otel_feedback.events import codec
from otel_feedback.events.feedback import Feedback
from otel_feedback.events.model import OutcomeEvent
from otel_feedback.events.trim import smaller_forms, trimmed
from otel_feedback.pipeline.admission import Admission, EventFilter
from otel_feedback.pipeline.feedback_screen import redacted, within
from otel_feedback.redaction.redaction import Redaction, as_recorded, without_texts

__all__ = ["DEFAULT_MAX_BYTES", "Dropped", "EventRedactor", "Screen", "Screened"]

DEFAULT_MAX_BYTES = 65_536

EventRedactor = Callable[[OutcomeEvent], Any]


class Screened(NamedTuple):
    """An event as it is recorded."""

    event: OutcomeEvent
    payload: bytes


class Dropped(NamedTuple):
    """An event that is dropped on purpose, and why."""

    reason: str


class Screen:
    """Everything that stands between an event and its recording.

    Args:
        redaction: What takes secrets out.
        redact: A user's function that returns the event as it may leave.
        event_filter: A user's function that returns whether an event is recorded.
        agent_rate_limit: Events a second for each agent; None: no limit.
        event_max_bytes: Most bytes of an event's JSON; of a larger one the longest texts are cut.
        failed: Told which of the user's functions failed, "redact" or "filter", and how.
    """

    def __init__(
        self,
        redaction: Redaction | None = None,
        *,
        redact: EventRedactor | None = None,
        event_filter: EventFilter | None = None,
        agent_rate_limit: float | None = None,
        event_max_bytes: int = DEFAULT_MAX_BYTES,
        failed: Callable[[str, Exception], None] = lambda hook, exc: None,
    ) -> None:
        self.redaction = redaction or Redaction()
        self._redact = redact
        self._failed = failed
        self.max_bytes = event_max_bytes
        self._admission = Admission(event_filter, agent_rate_limit, lambda exc: failed("filter", exc))
        self._inside = threading.local()
        self.has_hooks = redact is not None or event_filter is not None or agent_rate_limit is not None

    def pass_through(self, event: OutcomeEvent, *, is_clean: bool = False) -> Screened | Dropped:
        """Return the event as it is to be recorded, with its JSON.

        Args:
            is_clean: Everything in it went through this screen's redaction when it was said.

        Raises:
            TypeError, ValueError, OverflowError: It cannot be written as JSON.
        """
        if not is_clean:
            event = self.redaction.event(event)
        if self.has_hooks:
            reason = self._admission.drops(event)
            if reason is not None:
                return Dropped(reason)
            event = self._redacted(event)
        try:
            payload = codec.encode(event)
        except UnicodeEncodeError:  # half a character, as cut texts have it
            event = codec.mended(event)
            payload = codec.encode(event)
        return Screened(event, payload) if len(payload) <= self.max_bytes else self._capped(payload)

    def pass_feedback(self, feedback: Feedback) -> tuple[Feedback, bytes] | None:
        """Return feedback as it is to be recorded, with its JSON; None where nothing is left of it.

        Its texts went through this screen's redaction. Neither the filter nor the rate limit is asked: who gives feedback
        decides by that.
        """
        if self._redact is not None:
            left = redacted(feedback, self._redacted)
            if left is None:
                return None
            feedback = left
        return within(feedback, self.max_bytes)

    def _redacted(self, event: OutcomeEvent) -> OutcomeEvent:
        redact = self._redact
        if redact is None:
            return event
        if getattr(self._inside, "redact", False):  # an action inside the function: it would never end
            return without_texts(event)
        self._inside.redact = True
        try:
            given = redact(event)
            if given is event:
                return event
            return self.redaction.event(as_recorded(event, codec.validate(given)))
        except Exception as exc:  # a user's function may raise anything
            # what is not an event may be a text of the event, so only its type is told
            self._failed(
                "redact", TypeError("it did not return a valid event") if isinstance(exc, SchemaError) else exc
            )
            return without_texts(event)
        finally:
            self._inside.redact = False

    def _capped(self, payload: bytes) -> Screened:
        smaller = trimmed(payload, self.max_bytes)
        if smaller is None:  # names and numbers alone are larger: all text goes
            smaller = [payload, *smaller_forms(payload)][-1]
        return Screened(codec.decode(smaller), smaller)

    def renew_after_fork(self) -> None:
        """In a forked child: locks anew."""
        self._admission.renew_after_fork()
        self._inside = threading.local()
