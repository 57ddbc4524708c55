"""What an agent says of itself: its name, where it has one, and other texts."""

from __future__ import annotations

import functools
from typing import Any

__all__ = ["name_of", "text_of"]


def name_of(agent: Any) -> str:
    """Return the agent's own `name`, else the name of the function or class."""
    name = text_of(agent, "name")
    if name is not None:
        return name
    named = agent.func if isinstance(agent, functools.partial) else agent
    return text_of(named, "__name__") or type(named).__name__


def text_of(agent: Any, attribute: str) -> str | None:
    """Return what the agent says of itself, where it is text."""
    try:
        value = getattr(agent, attribute, None)
    except Exception:  # a property may raise anything
        return None
    return value if isinstance(value, str) and value else None
