"""What a selector knows: what it was taught itself, and what others were that share its file.

    outcomes, feedback ──► lessons ──► own beliefs ─┐
                            the file's, or memory's ┴──► what is believed; in the file once a second at most

For one thread at a time. What cannot be written now is kept, and written later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from otel_feedback.events.feedback import Feedback
from otel_feedback.events.model import OutcomeEvent
from otel_feedback.learning.reward import Reward
from otel_feedback.learning.selector.beliefs import Beliefs
from otel_feedback.learning.selector.lessons import Lessons
from otel_feedback.learning.selector.state import FOLLOWER, PROGRAMS, State, StateError, StateFile, new_epoch
from otel_feedback.logger import get_logger
from otel_feedback.throttle import ThrottledLog

__all__ = ["Knowledge"]

logger = get_logger(__name__)


class Knowledge:
    """What is known, and kept.

    Args:
        objective: What an outcome is worth.
        half_life_s: Seconds after which an outcome counts half; None: it always counts.
        floor: What is explored at least; to be written beside it.
        weigh: Says how probably each agent is chosen, of what is believed; to be written beside it.
        file: What is shared; None: nothing is.
        begin_with: What there is where the file has nothing yet.
    """

    def __init__(
        self,
        objective: Reward,
        half_life_s: float | None,
        floor: float,
        weigh: Callable[[Beliefs], Mapping[str, float]],
        file: StateFile | None = None,
        begin_with: State | None = None,
    ) -> None:
        self._objective, self._half_life_s, self._floor, self._weigh = objective, half_life_s, floor, weigh
        self._file = file
        self._log = ThrottledLog(logger)
        self._begin_with = msgspec.structs.replace(begin_with or State(), learned_from=PROGRAMS, epoch=new_epoch())
        self.state = self._begin_with
        """What is in the file, as far as it was read, or would be."""
        self._is_in_file = False
        self._own = Beliefs(half_life_s)  # what is not in the state yet
        self._lessons = Lessons(objective, self._teach, self._heard)
        self._unwritten = 0  # how often it was taught since
        self._now = 0.0

    @property
    def version(self) -> str:
        """Tells what is known from what was known before: that of the file, and how much was learned that is not in it yet."""
        return f"{self.state.version}+{self._unwritten}" if self._unwritten else str(self.state.version)

    def take(self, agent: str | None, event: OutcomeEvent, now: float) -> None:
        """Take an outcome of this agent; None: a later revision, of one that is known perhaps."""
        self._now = now
        self._lessons.take(agent, event)

    def hear(self, feedback: Feedback, now: float) -> None:
        """Take feedback on outcomes that are known, or will be."""
        self._now = now
        self._lessons.hear(feedback)

    def reward(self, agent: str, reward: float, now: float) -> None:
        """Take a reward that nothing will change."""
        self._now = now
        self._teach(agent, now, reward, None)

    def __contains__(self, event_id: str) -> bool:
        """Tell whether this outcome can still be corrected; on any thread."""
        return event_id in self._lessons

    def reward_of(self, event_id: str) -> float | None:
        """Return what an outcome is worth by now; None where nobody knows."""
        return self._lessons.reward_of(event_id)

    def believed(self, now: float) -> Beliefs:
        """Return what is believed now."""
        beliefs = self.state.beliefs(self._half_life_s)
        beliefs.add(self._own)
        beliefs.forget_until(now)
        return beliefs

    def settle(self, now: float) -> None:
        """Put what was taught to what others were taught, and take that in; what cannot be done now is done next time."""
        if self._file is None:
            state = self._with_own(self.state, now)
            if state is not None:
                self.state = state
                self._begin_own()
            return
        try:
            if self._own.of:
                state = self._file.update(lambda known: self._with_own(known, now))
            elif not self._is_in_file or self._file.has_changed():
                state = self._file.read()
            else:
                return
        except StateError as exc:
            self._log.warning("file", "what a selector has learned is not shared now: %s", exc)
            return
        self._adopt(state)

    def leave_to_parent(self) -> None:
        """In a forked child: what was taught and is not written yet is the parent's to write."""
        self._begin_own()
        self._lessons.clear()

    # -- within ----------------------------------------------------------------------------------------------

    def _with_own(self, known: State | None, now: float) -> State | None:
        """Return what is known with what was taught here, to be kept; None where nothing is to be."""
        state = self._begin_with if known is None else known
        if not self._own.of or self._is_another(state):
            return None
        beliefs = state.beliefs(self._half_life_s)
        beliefs.add(self._own)
        beliefs.forget_until(now)
        weighed = {} if self._file is None else self._weigh(beliefs)
        return state.with_beliefs(beliefs, weighed, objective=self._objective, floor=self._floor)

    def _is_another(self, state: State) -> bool:
        """Tell whether somebody began anew since, or somebody else learns for us: what was taught here has no place in it."""
        return state.learned_from == FOLLOWER or (self._is_in_file and state.epoch != self.state.epoch)

    def _adopt(self, found: State | None) -> None:
        """Take what is in the file for what is known; None: there is none."""
        state = self._begin_with if found is None else found
        if self._is_another(state):
            self._lessons.clear()
        if state.agents and state.objective != self._objective:
            self._log.warning(
                "objective",
                "a selector's file was learned by %r, and goes on by %r: `otel-feedback selector reset` begins anew",
                state.objective, self._objective,
            )  # fmt: skip
        self.state, self._is_in_file = state, found is not None
        self._begin_own()

    def _begin_own(self) -> None:
        self._own, self._unwritten = Beliefs(self._half_life_s), 0

    def _teach(self, agent: str, at: float, reward: float, before: float | None) -> None:
        self._own.teach(agent, min(at, self._now), reward, before)
        self._unwritten += 1

    def _heard(self, agent: str) -> None:
        self._own.note_feedback(agent)
