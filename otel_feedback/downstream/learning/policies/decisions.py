"""What was decided, as a log tells it: of each choice who, from whom, how probably, and its reward.

    outcomes ──► rows of decisions.sql ──► Decisions; what cannot be used is counted, and refused where it is much

A choice of which the probability is not known could have been made for any reason: left out, it takes the others' meaning with
it. So a log in which more than a few lack theirs is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from otel_feedback.downstream.learning.asking import Asks, with_feedback
from otel_feedback.downstream.tables.tables import columns_of
from otel_feedback.errors import FeedbackError

__all__ = ["COLUMNS", "MOST_UNKNOWN", "Decision", "Decisions", "UnusableError", "decisions_of", "read"]

_TEXT = (Path(__file__).parent / "decisions.sql").read_text(encoding="utf-8")
COLUMNS = columns_of(_TEXT) | {"root_event_id", "tenant_id", "action_type"}
"""The columns of events that are asked for; the last ones are what feedback is joined by."""
_SELECTED = (
    "run", "agent_name", "candidates", "propensity", "status", "quality_score", "cost_estimate", "latency_ms", "duration_ms",
    "context",
)  # fmt: skip
MOST_UNKNOWN = 0.01
"""The share of choices that may lack their probability."""


class UnusableError(FeedbackError):
    """The log does not say what is needed; the message has what would be right."""


class Decision(NamedTuple):
    """One choice. `context` is all that was known of the case, as one text; `run`: decisions of one are not independent."""

    agent: str
    candidates: tuple[str, ...]
    propensity: float
    reward: float
    context: str
    run: str


class Decisions(NamedTuple):
    """The choices of a log, in the order of time, and how many of it could not be used: they lack their probability."""

    made: Sequence[Decision]
    unknown: int

    @property
    def agents(self) -> list[str]:
        """All that could have been chosen, the most frequent candidates first."""
        times: dict[str, int] = {}
        for decision in self.made:
            for name in decision.candidates:
                times[name] = times.get(name, 0) + 1
        return sorted(times, key=lambda name: (-times[name], name))


def read(tables: Asks, reward_of: Callable[[Mapping[str, Any]], float | None]) -> Decisions:
    """Return the choices among the outcomes.

    Args:
        tables: Whose outcomes.
        reward_of: What an outcome is worth, as `Reward.of` says it.

    Raises:
        UnusableError: There are none, or too many lack their probability.
    """
    rows = tables.query(with_feedback(tables, _TEXT))
    return decisions_of((dict(zip(_SELECTED, row, strict=True)) for row in rows), reward_of)


def decisions_of(rows: Any, reward_of: Callable[[Mapping[str, Any]], float | None]) -> Decisions:
    """Return the choices in rows of decisions.sql. Raises as `read`."""
    made: list[Decision] = []
    kept: dict[Any, Any] = {}  # texts come by the million, and are few
    unknown = 0
    for row in rows:
        candidates = tuple(row["candidates"] or ())
        probability, reward = row["propensity"], reward_of(row)
        if probability is None or not 0 < probability <= 1 or row["agent_name"] not in candidates:
            unknown += 1
        elif reward is not None:
            texts = (row["agent_name"], candidates, row["context"] or "")
            agent, candidates, context = kept.setdefault(texts, texts)
            made.append(Decision(agent, candidates, probability, reward, context, row["run"]))
    if not made and not unknown:
        raise UnusableError(
            "no event says how its agent was chosen: choice_candidates and choice_propensity are in those of an AgentSelector"
        )
    if unknown > MOST_UNKNOWN * (unknown + len(made)):
        raise UnusableError(
            f"{unknown:,} of {unknown + len(made):,} choices do not say how probable they were (choice_propensity, above 0, "
            "of an agent among choice_candidates): what else they were made for cannot be told from what they brought"
        )
    return Decisions(made, unknown)
