"""One decision: whom, how probably, of whom; and the table that decisions are drawn from.

    beliefs ──► Table, made off the agents' threads ──► a Choice for each candidate ──► one is drawn by a random number

A table never changes; another one takes its place. Drawing costs a random number and a look into a list.
"""

# pyright: reportPrivateUsage=false
# what an action is declared with is between this package's parts

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from itertools import accumulate
from types import MappingProxyType
from typing import Any, Protocol

import msgspec

from otel_feedback.capture.action import ActionContext, action
from otel_feedback.events.ended import EndedAction
from otel_feedback.events.model import OutcomeEvent

__all__ = ["Choice", "Learns", "Table"]

NOTHING: Mapping[str, Any] = MappingProxyType({})
Outcome = OutcomeEvent | EndedAction | float


class Learns(Protocol):
    """Who takes what came of a choice."""

    def hear_of(self, choice: Choice, outcome: Outcome) -> None:
        """Take it. Cheap, and never waits."""
        ...


class Choice(msgspec.Struct, frozen=True, eq=False):
    """A decision of an `AgentSelector`.

    `agent` is the candidate as it was given, `name` its name, `propensity` the probability with which it was drawn, from 0 to
    1, `policy` the name and version of what it was drawn by, `candidates` the names of those that could have been; `context`
    is what a contextual choice looked at. Immutable; safe from any thread.
    """

    agent: Any
    name: str
    propensity: float
    policy: str
    candidates: tuple[str, ...]
    context: Mapping[str, Any]
    _selector: Learns

    def learn(self, outcome: OutcomeEvent | EndedAction | float | None) -> None:
        """Tell what came of it: the finished event, `act.event`, or a reward of your own, from 0 to 1.

        Later revisions of the event, and feedback on it, come by themselves in the process that recorded it. None, which is
        an action's event where everything is switched off, and what is pending teach nothing. Never raises, never waits.
        """
        if outcome is not None:
            self._selector.hear_of(self, outcome)

    def action(self, action_type: str, **said: Any) -> ActionContext:
        """Return what `action(action_type, agent=…)` returns, for this agent; its event says of this decision.

        Args:
            action_type: What is done.
            said: The other arguments of `action()`.
        """
        if self.context:
            said["metadata"] = {**(said.get("metadata") or {}), **self.metadata()}
        context = action(action_type, agent=self.name, **said)
        context._declared.choose(self.candidates, self.policy, self.propensity)
        return context

    def metadata(self) -> dict[str, Any]:
        """Return what the event says of the context."""
        return {f"choice.{name}": value for name, value in self.context.items()}


class Table:
    """The decisions that can be drawn, and how probable each is.

    Args:
        agents: The candidates that may be chosen, by name.
        probabilities: Those of all of them; they add up to 1.
        policy: Name and version of what they come from.
        selector: Takes what comes of a decision.
        context: What was looked at.
    """

    __slots__ = ("_bounds", "choices", "names", "policy", "probabilities")

    def __init__(
        self,
        agents: Mapping[str, Any],
        probabilities: Mapping[str, float],
        policy: str,
        selector: Learns,
        context: Mapping[str, Any] = NOTHING,
    ) -> None:
        self.policy = policy
        self.names = tuple(agents)
        self.probabilities = dict(probabilities)
        self._bounds = list(accumulate(probabilities[name] for name in self.names))
        self.choices = tuple(
            Choice(agent, name, probabilities[name], policy, self.names, context, selector)
            for name, agent in agents.items()
        )

    def draw(self, random: Callable[[], float]) -> Choice:
        """Return one of the decisions."""
        bounds = self._bounds
        # the last bound may be a little below 1
        place = bisect_right(bounds, random() * bounds[-1], 0, len(bounds) - 1)
        return self.choices[place]
