"""One call of `dispatch()` as a value: its arguments, checked, with their defaults filled in."""

# pyright: reportPrivateUsage=false
# what an action is declared with is between this package's parts

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

import msgspec

from otel_feedback.capture.action import Identity, action
from otel_feedback.capture.declaration import Declaration
from otel_feedback.capture.names import name_of, text_of
from otel_feedback.capture.runtime import in_force
from otel_feedback.dispatch.hooks import Hook, check_hook
from otel_feedback.errors import FeedbackError

if TYPE_CHECKING:
    from otel_feedback.learning.selector.choice import Choice

__all__ = ["Request", "check_count", "check_hooks", "check_loop", "check_seconds", "declare"]


NO_IDENTITY: Identity = {}


class Request(msgspec.Struct, eq=False):
    """One call of `dispatch()`, with its defaults filled in."""

    agent: Any
    declared: Declaration
    input_data: Any
    context: Mapping[str, Any]
    timeout_s: float | None
    attempts: int
    pre_hooks: tuple[Hook, ...] = ()
    post_hooks: tuple[Hook, ...] = ()
    choice: Choice | None = None  # where a selector chose the agent
    in_parallel: bool = False  # with others, whose failure may cancel it before its agent takes a step


def declare(
    agent: Any,
    action_type: str,
    choice: Choice | None = None,
    agent_type: str | None = None,
    tags: Iterable[str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    identity: Identity = NO_IDENTITY,
) -> Declaration:
    """Return the action of an agent, with what the agent says of itself, and what chose it."""
    if not agent_type:
        agent_type = text_of(agent, "agent_type")
    if choice is not None:
        chosen = choice.action(action_type, agent_type=agent_type, tags=tags, metadata=metadata, **identity)
        return chosen._declared
    name = text_of(agent, "name") or name_of(agent)  # most have one
    if tags is None and metadata is None and not identity:  # what action() would look at besides is none of this
        return Declaration.of(in_force.now.redaction, action_type, name, agent_type)
    return action(action_type, agent=name, agent_type=agent_type, tags=tags, metadata=metadata, **identity)._declared


def check_loop() -> None:
    """Check that asyncio's event loop runs here.

    Raises:
        FeedbackError: None does, or another library's.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        message = "no event loop of asyncio runs here: use dispatch_sync(…), on trio in a thread"
        raise FeedbackError(message) from None


def check_hooks(name: str, hooks: Any) -> tuple[Hook, ...]:
    """Return the hooks of one call, checked.

    Raises:
        FeedbackError: It is no list of what can be called.
    """
    if not isinstance(hooks, Iterable):
        raise FeedbackError(f"{name} is {hooks!r}: expected a list of hooks")
    checked = tuple(cast("Iterable[Hook]", hooks))
    for hook in checked:
        check_hook(hook)
    return checked


def check_seconds(name: str, value: Any) -> None:
    """Check a time that is given in seconds.

    Raises:
        FeedbackError: It is no number from 0.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise FeedbackError(f"{name} is {value!r}: expected seconds, a number from 0")


def check_count(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise FeedbackError(f"{name} is {value!r}: expected a whole number from {least}")
