"""What a list of outcomes comes to: pure functions from events to plain values.

Tokens and costs are sums of the actions' own ones, so that nothing is counted twice, however deep it is nested.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from otel_feedback import OutcomeEvent, OutcomeStatus
from otel_feedback.cli.outcomes import began

__all__ = ["AgentLine", "Summary", "origins", "quantile", "slowest", "summarize"]

NOT_WELL = frozenset({OutcomeStatus.FAILURE, OutcomeStatus.TIMEOUT, OutcomeStatus.CANCELLED})


class AgentLine(NamedTuple):
    """What one agent did. Costs are US dollars; `quality` is the mean score, None where nobody gave one."""

    agent: str
    actions: int
    success_rate: float
    p50_ms: float
    p95_ms: float
    quality: float | None
    tokens: int
    cost: float


class Summary(NamedTuple):
    """What happened, in numbers."""

    actions: int
    runs: int
    by_status: dict[str, int]
    by_agent: list[AgentLine]
    tokens: int
    cost: float


def quantile(values: Iterable[float], share: float) -> float:
    """Return the smallest value that at least `share` of all values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def summarize(events: Sequence[OutcomeEvent]) -> Summary:
    """Count outcomes by status and by agent; agents stand in the order in which they began."""
    counts = Counter(event.status for event in events)
    agents = dict.fromkeys(event.agent_name or "?" for event in sorted(events, key=began))
    return Summary(
        actions=len(events),
        runs=len({event.run_id for event in events}),
        by_status={status.value: counts[status] for status in OutcomeStatus},
        by_agent=[_agent_line(agent, [e for e in events if (e.agent_name or "?") == agent]) for agent in agents],
        tokens=sum(event.own_tokens or 0 for event in events),
        cost=sum(event.own_cost or 0.0 for event in events),
    )


def _agent_line(agent: str, events: Sequence[OutcomeEvent]) -> AgentLine:
    durations_ms = [event.duration_ms or 0.0 for event in events]
    scores = [event.quality_score for event in events if event.quality_score is not None]
    return AgentLine(
        agent=agent,
        actions=len(events),
        success_rate=sum(event.status is OutcomeStatus.SUCCESS for event in events) / len(events),
        p50_ms=quantile(durations_ms, 0.5),
        p95_ms=quantile(durations_ms, 0.95),
        quality=sum(scores) / len(scores) if scores else None,
        tokens=sum(event.own_tokens or 0 for event in events),
        cost=sum(event.own_cost or 0.0 for event in events),
    )


def origins(events: Sequence[OutcomeEvent]) -> tuple[list[OutcomeEvent], int]:
    """Return the outcomes with which trouble began, and how many others only followed from one of them.

    An action that ended badly because one inside it did is a consequence; `parent_event_id` tells. Nothing is cancelled
    because something inside it failed.
    """
    bad = [event for event in events if event.status in NOT_WELL]
    parents = {event.parent_event_id for event in bad}
    of_cancelled = {event.parent_event_id for event in bad if event.status is OutcomeStatus.CANCELLED}
    first = [
        event
        for event in bad
        if event.event_id not in (of_cancelled if event.status is OutcomeStatus.CANCELLED else parents)
    ]
    return first, len(bad) - len(first)


def slowest(events: Sequence[OutcomeEvent], count: int) -> list[OutcomeEvent]:
    """Return the slowest actions that are not made of other actions, slowest first."""
    parents = {event.parent_event_id for event in events}
    single = [event for event in events if event.event_id not in parents]
    return sorted(single, key=lambda event: event.duration_ms or 0.0, reverse=True)[:count]
