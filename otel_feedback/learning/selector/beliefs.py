"""What is believed of each agent: how much of its outcomes was worth something, with more weight on what is newer.

    outcome ──► reward r ──► successes += r, failures += 1 - r         each halves with every half-life since

Sums of what halves are sums again, so beliefs of several processes add up in any order, and to the same. Times are seconds since
1970. Pure; for one thread.
"""

from __future__ import annotations

import msgspec

__all__ = ["Belief", "Beliefs"]


class Belief(msgspec.Struct):
    """What is believed of one agent.

    `successes` and `failures` are decayed sums of rewards and of what is missing to 1; `outcomes` and `feedback` count, and
    do not decay.
    """

    successes: float = 0.0
    failures: float = 0.0
    outcomes: int = 0
    feedback: int = 0

    @property
    def alpha(self) -> float:
        """Of the Beta posterior; a little below 0 may be left where something was taken back."""
        return 1.0 + max(0.0, self.successes)

    @property
    def beta(self) -> float:
        return 1.0 + max(0.0, self.failures)

    @property
    def mean(self) -> float:
        """The expected reward."""
        return self.alpha / (self.alpha + self.beta)


class Beliefs(msgspec.Struct):
    """What is believed of all agents at a moment, `at`; by name. `half_life_s` None: nothing is forgotten."""

    half_life_s: float | None
    at: float = 0.0
    of: dict[str, Belief] = msgspec.field(default_factory=dict)

    def copy(self) -> Beliefs:
        """Return the same, to be changed."""
        of = {name: Belief(b.successes, b.failures, b.outcomes, b.feedback) for name, b in self.of.items()}
        return Beliefs(self.half_life_s, self.at, of)

    def forget_until(self, at: float) -> None:
        """Let time pass; a clock that was set back changes nothing."""
        if at > self.at:
            if self.of:
                weight = self._weight(self.at, at)
                for belief in self.of.values():
                    belief.successes *= weight
                    belief.failures *= weight
            self.at = at

    def teach(self, name: str, at: float, reward: float, before: float | None = None) -> None:
        """Take an outcome of this time, in place of what it was worth `before`, where it was taught already."""
        self.forget_until(at)
        weight = self._weight(at, self.at)
        belief = self._of(name)
        if before is None:
            belief.successes += weight * reward
            belief.failures += weight * (1.0 - reward)
            belief.outcomes += 1
        else:
            belief.successes += weight * (reward - before)
            belief.failures -= weight * (reward - before)

    def note_feedback(self, name: str) -> None:
        """Count feedback on an outcome that was taught."""
        self._of(name).feedback += 1

    def add(self, other: Beliefs) -> None:
        """Take all that the other one was taught."""
        self.forget_until(other.at)
        weight = self._weight(other.at, self.at)
        for name, more in other.of.items():
            belief = self._of(name)
            belief.successes += weight * more.successes
            belief.failures += weight * more.failures
            belief.outcomes += more.outcomes
            belief.feedback += more.feedback

    def _of(self, name: str) -> Belief:
        belief = self.of.get(name)
        if belief is None:
            belief = self.of[name] = Belief()
        return belief

    def _weight(self, then: float, now: float) -> float:
        if self.half_life_s is None or then == now:
            return 1.0
        return 2.0 ** min(0.0, (then - now) / self.half_life_s)
