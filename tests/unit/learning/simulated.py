"""A day of decisions between simulated agents, on a clock of its own: feedback comes late, is lost, fails for hours."""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

from otel_feedback.events.model import OutcomeEvent, OutcomeStatus
from otel_feedback.learning.selector.choice import Choice
from otel_feedback.learning.selector.selector import AgentSelector

START_S = 1_780_000_000.0
HOUR_S = 3_600.0


class Clock:
    """Seconds since 1970 that pass when they are told to."""

    def __init__(self, now: float = START_S) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    @property
    def moment(self) -> datetime:
        return datetime.fromtimestamp(self.now, timezone.utc)


class Result(NamedTuple):
    """Mean chance of success of those that were chosen, that of always the best, and how often each was chosen."""

    reached: float
    possible: float
    chosen: Mapping[str, int]

    @property
    def share(self) -> float:
        return self.reached / self.possible


def event_of(choice: Choice | str, moment: datetime, *, success: bool = True, **more: Any) -> OutcomeEvent:
    status = OutcomeStatus.SUCCESS if success else OutcomeStatus.FAILURE
    name = choice if isinstance(choice, str) else choice.name
    return OutcomeEvent(action_type="answer", status=status, timestamp=moment, agent_name=name, **more)


def simulate(
    chances: Callable[[float], Mapping[str, float]],
    *,
    seed: int,
    hours: float = 12.0,
    every_s: float = 2.0,
    lost: float = 0.3,
    delay_s: float = 60.0,
    outage: tuple[float, float] = (0.0, 0.0),
    counted_from: float = 0.0,
    **options: Any,
) -> Result:
    """Decide every few seconds.

    Args:
        chances: Each agent's chance of success, at an hour.
        outage: From and until which hour all feedback is lost.
        counted_from: The hour from which on decisions count in the result.
    """
    clock, luck = Clock(), random.Random(seed)
    selector = AgentSelector(list(chances(0.0)), clock=clock, refresh_s=None, seed=seed, **options)
    waiting: deque[tuple[float, Choice, OutcomeEvent]] = deque()
    looked_s = reached = possible = 0.0
    chosen: Counter[str] = Counter()
    while (hour := (clock.now - START_S) / HOUR_S) < hours:
        while waiting and waiting[0][0] <= clock.now:
            _, choice, event = waiting.popleft()
            choice.learn(event)
        if clock.now - looked_s >= 60.0:
            selector.refresh()
            looked_s = clock.now
        now, choice = chances(hour), selector.choose()
        if hour >= counted_from:
            reached, possible = reached + now[choice.name], possible + max(now.values())
            chosen[choice.name] += 1
        event = event_of(choice, clock.moment, success=luck.random() < now[choice.name])
        if luck.random() >= lost and not outage[0] <= hour < outage[1]:
            waiting.append((clock.now + delay_s, choice, event))
        clock.now += every_s
    count = sum(chosen.values())
    return Result(reached / count, possible / count, chosen)
