"""Decisions in contexts, and what waits until the model learns it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from otel_feedback.learning.selector.choice import Choice, Learns, Outcome, Table
from otel_feedback.learning.selector.contextual import Model, features_of
from otel_feedback.logger import get_logger
from otel_feedback.throttle import ThrottledLog

__all__ = ["Contexts"]

MOST_WAITING = 100_000
SAVE_S = 10.0

logger = get_logger(__name__)


class Contexts:
    """What a selector has beside its table where it looks at contexts.

    Args:
        model: Says how probable each agent is in one.
        names: What of a context is looked at.
        floor: What is explored at least.
        settle_s: How long an outcome waits for feedback.
    """

    def __init__(self, model: Model, names: tuple[str, ...], floor: float, settle_s: float) -> None:
        self._model, self._names, self._floor, self._settle_s = model, names, floor, settle_s
        self._waiting: deque[tuple[float, Choice, str | float]] = deque(maxlen=MOST_WAITING)
        self._saved_at = 0.0
        self._log = ThrottledLog(logger)

    # -- on the agent's thread -------------------------------------------------------------------------------

    def choose(
        self, context: Mapping[str, Any], table: Table, random: Callable[[], float], selector: Learns
    ) -> Choice | None:
        """Draw one of a table's agents as the model says; None where nothing of the context is looked at, or cannot be now."""
        features = features_of(context, self._names)
        if not features:
            return None
        policy = f"squarecb:{self._model.learned}"
        probabilities = self._model.probabilities(features, table.names, self._floor)
        if probabilities is None:
            return None
        drawn = Table(
            {choice.name: choice.agent for choice in table.choices}, probabilities, policy, selector, features
        )
        return drawn.draw(random)

    def note(self, choice: Choice, outcome: Outcome, now: float) -> None:
        """Note that this is to be learned. Never waits."""
        what = outcome if isinstance(outcome, (int, float)) else outcome.event_id
        self._waiting.append((now + self._settle_s, choice, what))

    # -- on the selector's -----------------------------------------------------------------------------------

    def learn(self, reward_of: Callable[[str], float | None], now: float) -> None:
        """Learn what has waited long enough, each outcome once; what is pending by then, never."""
        for _ in range(len(self._waiting)):
            due, choice, what = self._waiting[0]
            if due > now:
                break
            self._waiting.popleft()
            reward = reward_of(what) if isinstance(what, str) else min(1.0, max(0.0, float(what)))
            if reward is not None:
                self._model.learn(choice.context, choice.candidates, choice.name, choice.propensity, reward)
        if now - self._saved_at >= SAVE_S:
            self._saved_at = now
            self.save()

    def save(self) -> None:
        """Write the model, where there is something new."""
        try:
            self._model.save()
        except Exception as exc:  # of a library in C++, and of the disk
            self._log.warning("save", "what a selector has learned of contexts cannot be written now: %s", exc)

    def renew_after_fork(self) -> None:
        """In a forked child: what waits is the parent's to learn."""
        self._waiting.clear()
        self._model.renew_after_fork()
