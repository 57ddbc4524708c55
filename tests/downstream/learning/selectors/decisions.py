"""Made decisions of selectors: revisions, some under way, and as many amounts known as not."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from otel_feedback import OutcomeEvent, OutcomeStatus

__all__ = ["BEGIN", "LENGTH", "Chosen", "decided", "latest"]

BEGIN = datetime(2026, 3, 2, 9, 0, tzinfo=timezone.utc)
LENGTH = timedelta(hours=3)


class Chosen(NamedTuple):
    """Who acts, and how that was decided."""

    agent: str
    candidates: tuple[str, ...] = ()
    policy: str | None = None
    propensity: float | None = None


def decided(number: int, seed: int, chosen: Callable[[random.Random, int], Chosen]) -> list[OutcomeEvent]:
    """Return that many events along the time, in any order; of each the one who acts is asked for, by its place."""
    lot = random.Random(seed)
    events: list[OutcomeEvent] = []
    for place in range(number):
        at = BEGIN + LENGTH * place / number
        one = chosen(lot, place)
        event = OutcomeEvent(
            event_id=f"{place:032x}-{place:016x}", action_type="answer", agent_name=one.agent, timestamp=at, end_time=at,
            status=lot.choice([*[OutcomeStatus.SUCCESS] * 5, *OutcomeStatus]),
            quality_score=lot.choice([None, lot.random()]), cost_estimate=lot.choice([None, lot.uniform(0, 0.1)]),
            latency_ms=lot.choice([None, lot.uniform(0, 9_000)]), duration_ms=lot.uniform(0, 5_000),
            choice_candidates=one.candidates, choice_policy=one.policy, choice_propensity=one.propensity,
        )  # fmt: skip
        events.append(event)
        if lot.random() < 0.1:
            changed = {**event.to_dict(), "revision": 2, "cost_estimate": 0.2}
            events.append(OutcomeEvent.from_json(json.dumps(changed)))
    lot.shuffle(events)
    return events


def latest(events: Sequence[OutcomeEvent]) -> list[OutcomeEvent]:
    """Return of each event its highest revision."""
    found: dict[str, OutcomeEvent] = {}
    for event in events:
        if event.event_id not in found or event.revision > found[event.event_id].revision:
            found[event.event_id] = event
    return list(found.values())
