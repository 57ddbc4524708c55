"""What selectors believe, of the files that they share: read for each answer, since they are small and change each second."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from otel_feedback.downstream.ui.rows import milliseconds
from otel_feedback.learning.selector.state import State, StateError, StateFile

__all__ = ["Beliefs", "States", "belief_of"]

States = Sequence[tuple[str, State | None, str | None]]
"""Of each file its name and what is in it, or why that is not to be had."""


class Beliefs:
    """The files. Safe from any thread."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths

    def states(self) -> States:
        """Return what is in them."""
        return [(path.name, *_read(path)) for path in self._paths]


def _read(path: Path) -> tuple[State | None, str | None]:
    try:
        state = StateFile(path).read()
    except StateError as exc:
        return None, str(exc)
    return state, None if state is not None else f"there is no {path} yet"


def belief_of(states: States, candidates: Collection[str]) -> dict[str, Any] | None:
    """Return what is believed of these candidates, by the file that knows least besides; None: none knows them all."""
    knowing = [
        (name, state) for name, state, _ in states if state is not None and state.agents.keys() >= set(candidates)
    ]
    if not knowing or not candidates:
        return None
    name, state = min(knowing, key=lambda each: len(each[1].agents))
    agents = {
        agent: {
            "probability": known.probability, "mean": known.mean, "low": known.interval[0], "high": known.interval[1],
            "outcomes": known.outcomes, "feedback": known.feedback,
        }
        for agent, known in state.agents.items()
        if agent in candidates
    }  # fmt: skip
    return {
        "file": name, "version": state.version, "at": milliseconds(state.at), "half_life_s": state.half_life_s,
        "floor": state.floor, "learned_from": state.learned_from, "agents": agents,
    }  # fmt: skip
