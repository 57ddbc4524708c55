"""Who wants to know what becomes known of an outcome later: what chooses agents, and has learned from it.

Input: revisions above 1, and feedback, that were recorded in this process, on the thread that recorded them. Guarantee: nobody
is kept alive by listening, and one that fails is logged and harms nobody.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable

from otel_feedback.events.feedback import Feedback
from otel_feedback.events.model import OutcomeEvent
from otel_feedback.logger import get_logger

__all__ = ["Listeners"]

logger = get_logger(__name__)

Listener = Callable[[OutcomeEvent | Feedback], None]


class Listeners:
    """Those of this process. Adding one replaces the tuple, so telling needs no lock."""

    all: tuple[weakref.WeakMethod[Listener], ...] = ()
    """Where it is empty there is nobody to tell."""

    @classmethod
    def add(cls, listener: Listener) -> None:
        """Tell a method of all that comes, as long as somebody has its object. It must be cheap, and not wait."""
        alive = (known for known in cls.all if known() is not None)
        cls.all = (*alive, weakref.WeakMethod(listener))

    @classmethod
    def tell(cls, known: OutcomeEvent | Feedback) -> None:
        """Tell of a later revision, or of feedback. Never raises."""
        for reference in cls.all:
            listener = reference()
            if listener is not None:
                try:
                    listener(known)
                except Exception:
                    logger.exception("a listener failed")
