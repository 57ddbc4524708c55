"""Where a selector stands in an agent's place: whom it chooses, of those that can be run."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from otel_feedback.dispatch.calling import can_be_called
from otel_feedback.logger import get_logger

if TYPE_CHECKING:
    from otel_feedback.learning.selector.choice import Choice
    from otel_feedback.learning.selector.selector import AgentSelector

__all__ = ["chosen", "is_selector"]

logger = get_logger(__name__)

HOME = "otel_feedback.learning.selector.selector"
"""Where selectors are from. A program that has none has not imported it, and need not for this."""


def is_selector(agent: Any) -> bool:
    """Tell whether this chooses the agent."""
    home = sys.modules.get(HOME)
    return home is not None and isinstance(agent, home.AgentSelector)


def chosen(selector: AgentSelector, context: Mapping[str, Any] | None) -> Choice:
    """Return a choice whose agent can be run; candidates that cannot are excluded from then on.

    Raises:
        FeedbackError: There is none, and no fallback.
    """
    while True:
        choice = selector.choose(context)
        if choice.name not in selector.candidates or can_be_called(choice.agent):
            return choice  # a fallback of its own is asked for whatever it is
        selector.exclude(choice.name)
        logger.warning(
            "%s of a selector is %s, which is no agent: it is excluded", choice.name, type(choice.agent).__name__
        )
