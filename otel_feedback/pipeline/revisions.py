"""Who wants to know of later revisions of events: what chooses agents, and has learned from an earlier one.

Input: revisions above 1 that were recorded in this process, on the thread that recorded them. Guarantee: nobody is kept alive
by listening, and one that fails is logged and harms nobody.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable

from otel_feedback.events.model import OutcomeEvent
from otel_feedback.logger import get_logger

__all__ = ["Revisions"]

logger = get_logger(__name__)


class Revisions:
    """The listeners of this process. Adding one replaces the tuple, so telling needs no lock."""

    listeners: tuple[weakref.WeakMethod[Callable[[OutcomeEvent], None]], ...] = ()

    @classmethod
    def tell_to(cls, listener: Callable[[OutcomeEvent], None]) -> None:
        """Tell a method of every later revision, as long as somebody has its object. It must be cheap, and not wait."""
        alive = (known for known in cls.listeners if known() is not None)
        cls.listeners = (*alive, weakref.WeakMethod(listener))

    @classmethod
    def tell(cls, event: OutcomeEvent) -> None:
        """Tell of a revision. Never raises."""
        for reference in cls.listeners:
            listener = reference()
            if listener is not None:
                try:
                    listener(event)
                except Exception:
                    logger.exception("a listener of revisions failed")
