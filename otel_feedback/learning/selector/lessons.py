"""What was taught by each outcome, so that what is known better later takes its place.

    event, revision 1 ──► taught
    revision 2, feedback, another mind of the same rater ──► what it is worth now, in place of what it was worth before

What is pending teaches nothing. The newest 10,000 outcomes are remembered; what comes for an older one changes nothing.
For one thread at a time.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from otel_feedback.events.feedback import Feedback
from otel_feedback.events.model import OutcomeEvent
from otel_feedback.learning.reward import Reward

__all__ = ["MOST_REMEMBERED", "Lesson", "Lessons"]

MOST_REMEMBERED = 10_000
"""Outcomes that may still be corrected; about 600 bytes each."""

Teach = Callable[[str, float, float, "float | None"], None]
"""An agent's name, when its outcome was, the reward, and the one that this takes the place of."""


class Lesson(msgspec.Struct):
    """One outcome, as far as it is known.

    `agent` is None where there is only feedback yet. `at` is when it ended, in seconds since 1970, whatever is known of it
    later; `status` to `latency_ms` are what the objective looks at, `reward` is what was taught, `scores` are by `feedback_id`,
    with the time of each.
    """

    agent: str | None = None
    at: float = 0.0
    run_id: str | None = None
    revision: int = -1
    status: str | None = None
    quality_score: float | None = None
    cost_estimate: float | None = None
    latency_ms: float | None = None
    reward: float | None = None
    scores: dict[str, tuple[float, float]] | None = None

    @property
    def feedback_score(self) -> float | None:
        """The mean of what each rater said last."""
        return sum(score for _, score in self.scores.values()) / len(self.scores) if self.scores else None


class Lessons:
    """The outcomes that were taught.

    Args:
        objective: What an outcome is worth.
        teach: Takes what an outcome teaches.
        heard: Told an agent of whose outcome somebody spoke for the first time.
        most: Outcomes that are remembered.
    """

    def __init__(
        self, objective: Reward, teach: Teach, heard: Callable[[str], None], most: int = MOST_REMEMBERED
    ) -> None:
        self._objective = objective
        self._teach = teach
        self._heard = heard
        self._most = most
        self._known: dict[str, Lesson] = {}  # the oldest first
        self._runs: dict[str, list[str]] = {}

    def __contains__(self, event_id: str) -> bool:
        return event_id in self._known

    def reward_of(self, event_id: str) -> float | None:
        """Return what an outcome is worth by now; None where nobody knows."""
        lesson = self._known.get(event_id)
        return None if lesson is None else lesson.reward

    def clear(self) -> None:
        """Remember nothing: what was taught is believed no more."""
        self._known.clear()
        self._runs.clear()

    def take(self, agent: str | None, event: OutcomeEvent) -> bool:
        """Take an outcome; tell whether something is believed differently now.

        Args:
            agent: The name of the candidate that was chosen; None: that of an earlier revision, if there was one.
        """
        lesson = self._known.get(event.event_id)
        if lesson is None:
            if agent is None:
                return False
            lesson = self._remember(event.event_id)
        if event.revision <= lesson.revision:
            return False
        if lesson.agent is None:
            if agent is None:
                return False
            lesson.agent = agent
            if event.run_id is not None:
                lesson.run_id = event.run_id
                self._runs.setdefault(event.run_id, []).append(event.event_id)
        if lesson.reward is None:
            lesson.at = event.timestamp.timestamp()
        latency_ms = event.duration_ms if event.latency_ms is None else event.latency_ms
        lesson.revision, lesson.status, lesson.quality_score = event.revision, event.status.value, event.quality_score
        lesson.cost_estimate, lesson.latency_ms = event.cost_estimate, latency_ms
        return self._settle(lesson)

    def hear(self, feedback: Feedback) -> bool:
        """Take feedback on an outcome, or on all outcomes of a run; tell whether something is believed differently now.

        Of an outcome that is not known yet it waits for that; of a run that is not, it is passed over.
        """
        if feedback.score is None:
            return False
        if feedback.target == "run":
            told = [
                self._score(self._known[event_id], feedback, feedback.score)
                for event_id in self._runs.get(feedback.run_id or "", ())
            ]
            return any(told)
        if feedback.event_id is None:
            return False
        lesson = self._known.get(feedback.event_id) or self._remember(feedback.event_id)
        return self._score(lesson, feedback, feedback.score)

    def _score(self, lesson: Lesson, feedback: Feedback, score: float) -> bool:
        given = feedback.timestamp.timestamp()
        is_first = lesson.scores is None
        if lesson.scores is None:
            lesson.scores = {}
        if lesson.scores.get(feedback.feedback_id, (given, 0.0))[0] > given:
            return False
        lesson.scores[feedback.feedback_id] = given, score
        if is_first and lesson.agent is not None and lesson.reward is not None:
            self._heard(lesson.agent)
        return self._settle(lesson)

    def _settle(self, lesson: Lesson) -> bool:
        if lesson.agent is None:
            return False
        before, reward = lesson.reward, self._objective.of(lesson)
        if reward is None or reward == before:
            return False
        lesson.reward = reward
        self._teach(lesson.agent, lesson.at, reward, before)
        if before is None and lesson.scores:  # somebody spoke of it before it was known here
            self._heard(lesson.agent)
        return True

    def _remember(self, event_id: str) -> Lesson:
        lesson = self._known[event_id] = Lesson()
        if len(self._known) > self._most:
            oldest_id = next(iter(self._known))
            oldest = self._known.pop(oldest_id)
            if oldest.run_id is not None:
                of_run = self._runs[oldest.run_id]
                of_run.remove(oldest_id)
                if not of_run:
                    del self._runs[oldest.run_id]
        return lesson
