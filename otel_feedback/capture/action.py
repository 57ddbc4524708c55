"""`action()`: one agent action as a context manager or a decorator, recorded as one span.

Input: what the caller says of the action. Output: a span whose attributes carry the outcome schema; the span
processor (or, where no processor saw the span, the recorder) gives the finished event back to the handle.
"""

# pyright: reportPrivateUsage=false
# an action's handle belongs to its agent; what drives it stays out of the agent's sight

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, TypedDict, TypeVar, cast, overload

import msgspec
from opentelemetry import context as context_api

from otel_feedback import semconv
from otel_feedback.capture.declaration import Declaration
from otel_feedback.capture.handle import ACTION_KEY, Action
from otel_feedback.capture.runtime import in_force
from otel_feedback.capture.streams import STILL_TO_RUN, rest_of_action, stream_action, stream_async_action
from otel_feedback.capture.switched_off import OFF_KEY

__all__ = ["ActionContext", "Identity", "action", "current_action"]

F = TypeVar("F", bound=Callable[..., Any])


@overload
def action(action_type: F, /) -> F: ...
@overload
def action(
    action_type: str,
    *,
    agent: str | None = None,
    agent_type: str | None = None,
    tool_name: str | None = None,
    workflow_id: str | None = None,
    run_id: str | None = None,
    correlation_id: str | None = None,
    session_id: str | None = None,
    user_id: str | None = None,
    tenant_id: str | None = None,
    tags: Iterable[str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    timeout_s: float | None = None,
    emit_pending: bool | None = None,
) -> ActionContext: ...
def action(
    action_type: Any,
    *,
    agent: str | None = None,
    agent_type: str | None = None,
    tool_name: str | None = None,
    workflow_id: str | None = None,
    run_id: str | None = None,
    correlation_id: str | None = None,
    session_id: str | None = None,
    user_id: str | None = None,
    tenant_id: str | None = None,
    tags: Iterable[str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    timeout_s: float | None = None,
    emit_pending: bool | None = None,
) -> Any:
    """Record what happens inside as one action of an agent.

    Works as `with action(…) as act`, `async with`, and as a decorator of plain and async functions and generators; as a
    decorator every call is an action of its own, which for a generator lasts from the first item asked for until it is
    exhausted or closed. A nested action inherits the workflow, run, correlation, session, user, tenant and tags of the
    action around it, unless told otherwise.

    Args:
        action_type: What is done, for example `"reasoning"` or `"tool"`; up to 256 characters, as all names. As a decorator
            without parentheses, `@action`, it is the function's name.
        agent: The name of who acts.
        agent_type: The kind of agent, for example `"react"`.
        tool_name: The tool that is called.
        workflow_id: The workflow that this is part of.
        run_id: The run; decides the Kafka partition, so that a run stays in order. Default: the trace id.
        correlation_id: The request that this belongs to, across systems.
        session_id: The conversation.
        user_id: Who asked.
        tenant_id: For which client.
        tags: Up to 64 short strings.
        metadata: Up to 64 keys; scalars or lists of scalars, nested maps get dotted keys.
        timeout_s: The action's deadline in seconds. It tells, it does not enforce: an action that ends after
            it with success or by cancellation is a TIMEOUT. A cancellation may come 1 ms and 1 % earlier, since who
            enforces the deadline began to count before.
        emit_pending: Send an event when the action starts, too: status PENDING, revision 0 of the same event.
            Default: what the setting of this name says.

    Never raises for its values: what does not fit is cut or dropped, and named in the event's metadata.
    """
    if action_type.__class__ is not str and (callable(action_type) or isinstance(action_type, classmethod)):
        function = cast("Callable[..., Any]", action_type)
        return action(getattr(function, "__name__", type(function).__name__))(function)
    declared = Declaration.of(in_force.now.redaction, action_type, agent, agent_type)
    if tool_name is not None:
        declared.use_tool(tool_name)
    if workflow_id is not None:
        declared.identify(semconv.OUTCOME_WORKFLOW_ID, "workflow_id", workflow_id)
    if run_id is not None:
        declared.identify(semconv.OUTCOME_RUN_ID, "run_id", run_id)
    if correlation_id is not None:
        declared.identify(semconv.OUTCOME_CORRELATION_ID, "correlation_id", correlation_id)
    if session_id is not None:
        declared.identify(semconv.GEN_AI_CONVERSATION_ID, "session_id", session_id)
    if user_id is not None:
        declared.identify(semconv.USER_ID, "user_id", user_id)
    if tenant_id is not None:
        declared.identify(semconv.OUTCOME_TENANT_ID, "tenant_id", tenant_id)
    if tags is not None:
        declared.tag(tags)
    if metadata is not None:
        declared.describe(metadata)
    if timeout_s is not None:
        declared.limit(timeout_s)
    if emit_pending is not None:
        declared.emit_pending = bool(emit_pending)
    return ActionContext(declared)


def current_action() -> Action | None:
    """Return the innermost action that is open here, or None; where everything is switched off, one that keeps nothing."""
    for key in (ACTION_KEY, OFF_KEY):
        act = cast("Action | None", context_api.get_value(key))
        while act is not None and act._ended:  # a task may outlive the action that it was started in
            act = cast("Action | None", act._parent)
        if act is not None:
            return act
    return None


class Identity(TypedDict, total=False):
    """The identifiers that `action()` takes and that actions below inherit."""

    workflow_id: str | None
    run_id: str | None
    correlation_id: str | None
    session_id: str | None
    user_id: str | None
    tenant_id: str | None


class ActionContext(msgspec.Struct, eq=False):
    """What `action()` returns: enter it, or decorate a function with it. Entering again starts a new action.

    Several tasks may enter it at once, several threads may not: decorate a function, or call `action()` in each.
    """

    # a struct, since it is made in one step, in C
    _declared: Declaration
    _action: Action | None = None
    _outer: tuple[Action, ...] = ()  # those that were open when it was entered again

    def __enter__(self) -> Action:
        if self._action is not None:
            self._outer = (*self._outer, self._action)
        act = self._action = Action.begin(self._declared)
        return act

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        act, self._action = self._action, None
        if self._outer and act is not None:
            act = self._take_ours([*self._outer, act])
        if act is not None:
            act._end(exc)

    def _take_ours(self, opened: list[Action]) -> Action:
        """Of several that are open, take the one that was entered here: tasks end in any order."""
        ours = cast("Action | None", context_api.get_value(ACTION_KEY))
        while ours is not None and ours not in opened:
            ours = cast("Action | None", ours._parent)
        if ours is None:
            ours = opened[-1]
        opened.remove(ours)
        *outer, self._action = opened
        self._outer = tuple(outer)
        return ours

    async def __aenter__(self) -> Action:
        return self.__enter__()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.__exit__(exc_type, exc, tb)

    def __call__(self, function: F) -> F:
        """Decorate a plain or async function, or a generator of either kind: each call is an action."""
        declared = self._declared
        if isinstance(function, (staticmethod, classmethod)):
            method = cast("staticmethod[..., Any]", function)
            return cast(F, type(method)(self(method.__func__)))
        if _is(inspect.isgeneratorfunction, function):
            return cast(F, stream_action(declared, function))
        if _is(inspect.isasyncgenfunction, function):
            return cast(F, stream_async_action(declared, function))
        if _is(inspect.iscoroutinefunction, function):

            @functools.wraps(function)
            async def run_async(*args: Any, **kwargs: Any) -> Any:
                act = Action.begin(declared)
                try:
                    result = await function(*args, **kwargs)
                except BaseException as exc:
                    act._end(exc)
                    raise
                if type(result).__name__ in STILL_TO_RUN:
                    return rest_of_action(declared, act, result)
                act._end(None)
                return result

            return cast(F, run_async)

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            act = Action.begin(declared)
            try:
                result = function(*args, **kwargs)
            except BaseException as exc:
                act._end(exc)
                raise
            if type(result).__name__ in STILL_TO_RUN:
                return rest_of_action(declared, act, result)
            act._end(None)
            return result

        return cast(F, run)


def _is(kind: Callable[[Any], bool], function: Callable[..., Any]) -> bool:
    """Tell whether a function, or an object that can be called like one, is of this kind."""
    return kind(function) or kind(type(function).__call__)
