"""The handle where nothing is recorded: everything is switched off, or the action could not be started.

It takes what is said, so that documented code runs as it stands, and `dispatch()` still knows how the agent says that it
ended; no event comes of it, and no span. It has a place of its own in the context, so that no action that is recorded
finds it above itself.
"""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from typing import cast

from opentelemetry import context as context_api
from opentelemetry.context import Context

from otel_feedback.capture.handle import Action
from otel_feedback.events.model import new_event_id
from otel_feedback.redaction.redaction import Redaction
from otel_feedback.sdk.current_context import make_current

__all__ = ["OFF_KEY", "SwitchedOff"]

OFF_KEY = context_api.create_key("otel_feedback.switched_off")


class SwitchedOff(Action):
    """An action that is open, is found by `current_action()`, and leaves nothing behind."""

    @classmethod
    def enter(cls, redaction: Redaction) -> SwitchedOff:
        """Return one that is the current action."""
        self = cls(redaction)
        self.event_id = self.root_event_id = new_event_id()
        self._metadata, self._identity = {}, {}
        around = self._around = context_api.get_current()
        self._parent = cast("Action | None", around.get(OFF_KEY))
        self._context = Context({**around, OFF_KEY: self})
        make_current(self._context)
        return self

    def _note_retry(self, attempt: int, error: BaseException, wait_s: float) -> None:
        """Note nothing: there is no span."""

    def _end(self, exc: BaseException | None) -> None:
        if self._ended:
            return
        self._ended = True
        if self._forced is not None:
            self.ending, self.error, _ = self._forced
        if self._around is not None and context_api.get_value(OFF_KEY) is self:
            make_current(self._around)
        self._context = self._around = None
