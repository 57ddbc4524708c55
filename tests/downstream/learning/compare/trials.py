"""Made-up actions with variants, as log files have them: how good each variant is can be chosen, and is so on average."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

from otel_feedback import OutcomeEvent, OutcomeStatus

__all__ = ["BEGIN", "Variant", "trial", "write"]

BEGIN = datetime(2026, 3, 2, 9, 0, tzinfo=timezone.utc)
EXPOSURE: Mapping[str, Any] = {"experiment.exposure": True}


class Variant(NamedTuple):
    """How a variant does: a share that succeeds, means of the rest; `spread` is how different its users are."""

    success: float
    quality: float = 0.8
    cost_usd: float = 0.01
    latency_ms: float = 800.0
    weight: float = 0.5


def trial(
    variants: Mapping[str, Variant], users: int, each: Sequence[int] = (1,), seed: int = 1, name: str = "prompt-7"
) -> Iterator[OutcomeEvent]:
    """Yield the exposures of an experiment, in order.

    Args:
        variants: By name.
        users: How many.
        each: How many actions a user has: one of these.
        seed: Of chance.
        name: The experiment's.
    """
    rng = random.Random(seed)
    number = 0
    for user in range(users):
        chosen = rng.choices([*variants], [one.weight for one in variants.values()])[0]
        of = variants[chosen]
        for _ in range(rng.choice(each)):
            at = BEGIN + timedelta(seconds=number)
            yield OutcomeEvent(
                event_id=f"{name}-{number}", action_type="answer", agent_name="writer", user_id=f"u-{user}",
                status=OutcomeStatus.SUCCESS if rng.random() < of.success else OutcomeStatus.FAILURE,
                quality_score=min(1.0, max(0.0, rng.gauss(of.quality, 0.1))), own_cost=rng.expovariate(1 / of.cost_usd),
                latency_ms=rng.expovariate(1 / of.latency_ms), run_id=f"r-{number}", timestamp=at, end_time=at,
                experiment=name, variant=chosen, propensity=of.weight, metadata=dict(EXPOSURE),
            )  # fmt: skip
            number += 1


def write(path: Path, events: Iterator[OutcomeEvent] | Sequence[OutcomeEvent]) -> Path:
    """Write events as a log file, and return its path."""
    path.write_text("".join(f"{event.to_json()}\n" for event in events))
    return path
