"""Made-up feedback as it comes: late, repeated, changed, by others, on runs, on nothing; and what it comes to, recomputed plainly."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from otel_feedback import Feedback, OutcomeEvent
from otel_feedback.events.feedback import feedback_id_of
from tests.downstream.tables import made

NAMES = ("user_rating", "user_rating", "user_rating", "helpfulness")


def feedback(records: Sequence[OutcomeEvent], share: float = 0.2, seed: int = 1) -> list[Feedback]:
    """Return records of feedback on these events in the order in which they arrive, which is not that of time.

    Of the events a share has some, of 1 to 3 raters. Of 100 some 15 change the mind, 5 come twice, 20 are on a run; 5 name what is
    not there, and 5 another tenant's.
    """
    lot = random.Random(seed)
    given: list[Feedback] = []
    for event in made.outcomes(records):
        if lot.random() >= share:
            continue
        for rater in range(lot.choice((1, 1, 1, 2, 3))):
            first = _first(lot, event, f"rater-{rater}")
            given.append(first)
            if lot.random() < 0.15:
                later = first.timestamp + timedelta(seconds=lot.uniform(1, 4_000))
                given.append(msgspec.structs.replace(first, timestamp=later, score=_score(lot), label=None))
            if lot.random() < 0.05:
                given.append(first)
    lot.shuffle(given)
    return given


def _first(lot: random.Random, event: OutcomeEvent, rater: str) -> Feedback:
    at = (event.end_time or event.timestamp) + timedelta(seconds=lot.lognormvariate(5, 2) - 20)
    name, chance = lot.choice(NAMES), lot.random()
    tenant_id = lot.choice((event.tenant_id, None))
    target: dict[str, Any] = {"target": "event", "event_id": event.event_id}
    if chance < 0.2:
        target = {"target": "run", "run_id": event.run_id}
    elif chance < 0.25:
        target["event_id"] = "f" * 32 + "-" + "e" * 16
    elif chance < 0.3:
        tenant_id = "somebody-else"
    of = target.get("event_id", target.get("run_id"))
    return Feedback(
        feedback_id=feedback_id_of(target["target"], of, name, "human", rater), **target, tenant_id=tenant_id,
        service_name="web", timestamp=at, name=name, source="human", by=rater, score=_score(lot),
        label=lot.choice((None, "good", "bad")),
    )  # fmt: skip


def _score(lot: random.Random) -> float | None:
    return round(lot.random(), 3) if lot.random() < 0.9 else None


def counted(records: Iterable[OutcomeEvent], given: Iterable[Feedback]) -> dict[str, list[Feedback]]:
    """Return by event the feedback that counts for it, of each id the newest."""
    outcomes = made.outcomes(records)
    by_id = {event.event_id: event for event in outcomes}
    by_run: dict[str | None, list[OutcomeEvent]] = defaultdict(list)
    for event in outcomes:
        by_run[event.run_id].append(event)
    newest: dict[tuple[str, str], Feedback] = {}
    for each in given:
        if each.target == "event":
            found = [by_id[each.event_id]] if each.event_id in by_id else []
        else:
            found = by_run[each.run_id]
        found = [event for event in found if each.tenant_id in (None, event.tenant_id)]
        if found:
            key = each.feedback_id, max(found, key=_rank).event_id
            if key not in newest or _order(each) > _order(newest[key]):
                newest[key] = each
    counts: dict[str, list[Feedback]] = defaultdict(list)
    for (_, event_id), each in newest.items():
        counts[event_id].append(each)
    return counts


def _rank(event: OutcomeEvent) -> tuple[bool, datetime, str]:
    return (event.root_event_id or event.event_id) == event.event_id, event.end_time or event.timestamp, event.event_id


def _order(each: Feedback) -> tuple[datetime, float, str]:
    return each.timestamp, -1 if each.score is None else each.score, each.label or ""


def measures(group: Sequence[OutcomeEvent], counts: dict[str, list[Feedback]]) -> dict[str, Any]:
    """Return what was said of a group of outcomes: each event with a score counts once."""
    means: list[float] = []
    for event in group:
        scores = [each.score for each in counts.get(event.event_id, ()) if each.score is not None]
        means += [sum(scores) / len(scores)] if scores else []
    ended = [event for event in group if event.status != "pending"]
    return {
        "feedback_score": sum(means) / len(means) if means else None,
        "feedback_count": sum(len(counts.get(event.event_id, ())) for event in group),
        "feedback_coverage": sum(event.event_id in counts for event in ended) / len(ended) if ended else None,
    }
