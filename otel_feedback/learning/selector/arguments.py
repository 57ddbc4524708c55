"""What an `AgentSelector` is given, checked. Every error names the argument, what it is, and what would be right."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from otel_feedback.capture.names import name_of
from otel_feedback.errors import FeedbackError
from otel_feedback.learning.selector.state import State, read_state

__all__ = ["check", "check_left", "fallback_of", "named", "names_in", "state_of", "texts"]

MOST_CANDIDATES = 64


def named(candidates: Any) -> dict[str, Any]:
    """Return the agents by their names."""
    if isinstance(candidates, Mapping):
        agents = dict(cast("Mapping[str, Any]", candidates))
    elif isinstance(candidates, Iterable) and not isinstance(candidates, (str, bytes)):
        given = list(cast("Iterable[Any]", candidates))
        agents = {each if isinstance(each, str) else name_of(each): each for each in given}
        if len(agents) != len(given):
            names = [each if isinstance(each, str) else name_of(each) for each in given]
            raise FeedbackError(f"candidates have the names {', '.join(names)}: expected different ones, or a mapping")
    else:
        raise FeedbackError(f"candidates is {type(candidates).__name__}: expected a list of agents, or a mapping")
    for name in agents:
        if not isinstance(name, str) or not name:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise FeedbackError(f"candidates has {name!r} for a name: expected text")
    if not 1 <= len(agents) <= MOST_CANDIDATES:
        raise FeedbackError(f"candidates are {len(agents)}: expected 1 to {MOST_CANDIDATES}")
    return agents


def names_in(agents: Mapping[str, Any], where: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return names of candidates."""
    names = (names,) if isinstance(names, str) else tuple(names)
    for name in names:
        if name not in agents:
            raise FeedbackError(f"{where} has {name!r}: expected names of candidates: {', '.join(agents)}")
    return names


def check_left(agents: Mapping[str, Any], excluded: frozenset[str], fallback: object) -> None:
    """Check that there is somebody to choose."""
    if len(excluded) == len(agents) and fallback is None:
        raise FeedbackError("exclude leaves no candidate: expected at least one, or a fallback")


def fallback_of(agents: Mapping[str, Any], fallback: Any) -> tuple[str, Any] | None:
    """Return name and agent of a fallback, which may be the name of a candidate."""
    if fallback is None:
        return None
    if isinstance(fallback, str):
        if fallback not in agents:
            raise FeedbackError(f"fallback is {fallback!r}: expected an agent, or one of {', '.join(agents)}")
        return fallback, agents[fallback]
    return name_of(fallback), fallback


def texts(name: str, given: Any) -> tuple[str, ...]:
    """Return texts that are none of them empty."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise FeedbackError(f"{name} is {given!r}: expected a list of names")
    names = tuple(cast("Iterable[Any]", given))
    for each in names:
        if not isinstance(each, str) or not each:
            raise FeedbackError(f"{name} has {each!r}: expected names")
    return names


def check(name: str, value: Any, least: float, most: float) -> None:
    """Check a number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise FeedbackError(f"{name} is {value!r}: expected a number from {least:g} to {most:g}")


def state_of(path: str | os.PathLike[str]) -> State:
    """Return what is in a file to begin with."""
    try:
        data = Path(path).read_bytes()
    except OSError as exc:
        raise FeedbackError(f"warm_start: {path} cannot be read: {exc.strerror}") from exc
    return read_state(data, str(path))
