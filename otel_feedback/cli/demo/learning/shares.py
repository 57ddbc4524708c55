"""Who was chosen how often, and what that brought, of what is true of the agents. Input: decisions; output: numbers. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from otel_feedback.cli.demo.learning.help_desk import AGENTS, CHANGE_S, Decision

__all__ = ["NEWEST", "Share", "Told", "change_of", "newest", "told_of"]

NEWEST = 200
"""How many decisions a share is of while it goes on."""
FIRST_S = 5.0
LAST_S = 15.0


class Share(NamedTuple):
    """How often an agent was chosen, from 0 to 1, by when; None: nobody was chosen then."""

    agent: str
    quality: float
    later: float | None
    """What it is worth from the change on, where that is another value."""
    first: float | None
    before: float | None
    after: float | None


class Told(NamedTuple):
    """What came of all decisions: how many, by agent, and the mean worth of whom was chosen, of any, and of always the best."""

    decisions: int
    by_agent: list[Share]
    reached: float
    uniform: float
    possible: float


def newest(decisions: Sequence[Decision]) -> dict[str, float]:
    """Return how often each agent was chosen lately, from 0 to 1."""
    return _shares(decisions[-NEWEST:]) or {agent.name: 0.0 for agent in AGENTS}


def change_of(now_s: float) -> str:
    """Return in words whose quality changes half way, or has."""
    name = next(agent.name for agent in AGENTS if agent.later is not None)
    if now_s < CHANGE_S:
        return f"At {CHANGE_S:.0f} s {name} gets worse; nobody tells the selector."
    return f"Since {CHANGE_S:.0f} s {name} is worse; nobody told the selector."


def told_of(decisions: Sequence[Decision]) -> Told:
    """Return what came of them."""
    end_s = decisions[-1].at_s if decisions else 0.0
    changed_s = min(CHANGE_S, end_s)
    first = _between(decisions, 0.0, FIRST_S)
    before = _between(decisions, max(FIRST_S, changed_s - LAST_S), changed_s)
    after = _between(decisions, max(CHANGE_S, end_s - LAST_S), end_s + 1.0)
    shares = [
        Share(
            agent.name, agent.quality.worth, None if agent.later is None else agent.later.worth,
            *(None if part is None else part[agent.name] for part in (first, before, after)),
        )
        for agent in AGENTS
    ]  # fmt: skip
    number = max(1, len(decisions))
    return Told(
        decisions=len(decisions),
        by_agent=shares,
        reached=sum(each.worths[each.agent] for each in decisions) / number,
        uniform=sum(sum(each.worths.values()) / len(each.worths) for each in decisions) / number,
        possible=sum(max(each.worths.values()) for each in decisions) / number,
    )


def _between(decisions: Sequence[Decision], since_s: float, until_s: float) -> dict[str, float] | None:
    return _shares([each for each in decisions if since_s <= each.at_s < until_s])


def _shares(decisions: Sequence[Decision]) -> dict[str, float] | None:
    chosen = Counter(each.agent for each in decisions)
    return {agent.name: chosen[agent.name] / chosen.total() for agent in AGENTS} if chosen else None
