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


class Hour(NamedTuple):
    """Of an hour of decisions: the chances of success of those that were chosen, added up, those of always the best, and how
    often each was chosen."""

    reached: float
    possible: float
    chosen: Counter[str]


class Result(NamedTuple):
    """What came of it, by hour."""

    hours: list[Hour]

    def between(self, first: int, last: int) -> Result:
        return Result(self.hours[first:last])

    @property
    def share(self) -> float:
        """What was reached of what was possible."""
        return sum(hour.reached for hour in self.hours) / sum(hour.possible for hour in self.hours)

    @property
    def chosen(self) -> Counter[str]:
        return sum((hour.chosen for hour in self.hours), Counter[str]())

    def share_of(self, name: str) -> float:
        """How often one was chosen, of all decisions."""
        return self.chosen[name] / self.chosen.total()


def event_of(choice: Choice | str, moment: datetime, *, success: bool = True, **more: Any) -> OutcomeEvent:
    status = OutcomeStatus.SUCCESS if success else OutcomeStatus.FAILURE
    name = choice if isinstance(choice, str) else choice.name
    return OutcomeEvent(action_type="answer", status=status, timestamp=moment, agent_name=name, **more)


def simulate(
    chances: Callable[[float], Mapping[str, float]],
    *,
    seed: int,
    hours: int = 12,
    every_s: float = 2.0,
    lost: float = 0.3,
    delay_s: float = 60.0,
    outage: tuple[float, float] = (0.0, 0.0),
    **options: Any,
) -> Result:
    """Decide every few seconds.

    Args:
        chances: Each agent's chance of success, at an hour.
        outage: From and until which hour all feedback is lost.
    """
    clock, luck = Clock(), random.Random(seed)
    selector = AgentSelector(list(chances(0.0)), clock=clock, refresh_s=None, seed=seed, **options)
    waiting: deque[tuple[float, Choice, OutcomeEvent]] = deque()
    looked_s, found = 0.0, [Hour(0.0, 0.0, Counter()) for _ in range(hours)]
    while (hour := (clock.now - START_S) / HOUR_S) < hours:
        while waiting and waiting[0][0] <= clock.now:
            _, choice, event = waiting.popleft()
            choice.learn(event)
        if clock.now - looked_s >= 60.0:
            selector.refresh()
            looked_s = clock.now
        now, choice, until_now = chances(hour), selector.choose(), found[int(hour)]
        until_now.chosen[choice.name] += 1
        found[int(hour)] = until_now._replace(
            reached=until_now.reached + now[choice.name], possible=until_now.possible + max(now.values())
        )
        event = event_of(choice, clock.moment, success=luck.random() < now[choice.name])
        if luck.random() >= lost and not outage[0] <= hour < outage[1]:
            waiting.append((clock.now + delay_s, choice, event))
        clock.now += every_s
    return Result(found)
