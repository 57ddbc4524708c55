"""How to call an agent, whatever it is: `execute`, `run`, `invoke` or the object itself, plain or async.

agent ──► method ──► (input_data, context) as far as it takes them ──► a Call
"""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable, Mapping
from types import AsyncGeneratorType, FunctionType, GeneratorType, MethodType
from typing import Any, cast

import msgspec

from otel_feedback.dispatch.running import Call
from otel_feedback.errors import FeedbackError

__all__ = ["call_agent", "can_be_called", "is_async_callable"]

METHODS = ("execute", "run", "invoke")
"""Looked for in this order; else the agent itself is called."""

_SECOND = frozenset({"context", "ctx", "config", "state"})
"""Names of a second parameter with a default that is meant for the context."""


def call_agent(agent: Any, input_data: Any, context: Mapping[str, Any]) -> Call:
    """Return the call of an agent.

    Raises:
        FeedbackError: It has nothing that could be called.
    """
    method: Any = getattr(agent, "execute", None)
    if method.__class__ is not MethodType:  # the most common: of METHODS it is the first
        method = _method_of(agent)
    if method.__class__ is MethodType:
        known, code = _methods, method.__func__
    else:
        known, code = _functions, method
    if code.__class__ is FunctionType:
        # the same reference each time while somebody keeps it, as the key is kept: so it is found without a comparison
        found = known.get(key := weakref.ref(code))
        takes = found[0] if found is not None else _keep(known, key, _look_at(method))
    else:
        takes = _look_at(method)
    if takes.positional == 2:
        function = functools.partial(method, input_data, context)
    elif takes.positional:
        function = functools.partial(method, input_data)
    else:
        function = functools.partial(method)
    if takes.named:
        both = {"input_data": input_data, "context": context}
        function = functools.partial(function, **{name: both[name] for name in takes.named})
    if takes.collect is not None:
        function = functools.partial(takes.collect, function)
    return Call(function, takes.is_async)


def _method_of(agent: Any) -> Callable[..., Any]:
    for name in METHODS:
        method = getattr(agent, name, None)
        if method is not None and callable(method):
            if isinstance(agent, type) and inspect.isfunction(inspect.getattr_static(agent, name)):
                raise FeedbackError(f"{agent.__name__} is a class: expected an agent, perhaps {agent.__name__}()")
            return method
    if callable(agent):
        return agent
    expected = "an object with execute(), run() or invoke(), or something that can be called"
    raise FeedbackError(f"{type(agent).__name__} is no agent: expected {expected}")


def can_be_called(agent: Any) -> bool:
    """Tell whether `call_agent()` finds something to call."""
    try:
        _method_of(agent)
    except FeedbackError:
        return False
    return True


def is_async_callable(function: Any) -> bool:
    """Tell whether calling it gives a coroutine: a coroutine function, or an object whose `__call__` is one."""
    return _is(inspect.iscoroutinefunction, function)


def _is(kind: Callable[[Any], bool], function: Any) -> bool:
    return kind(function) or kind(type(function).__call__)


class _Taking(msgspec.Struct, frozen=True):
    """How a function wants to be called."""

    positional: int  # of input and context
    named: tuple[str, ...]  # of "input_data" and "context"
    is_async: bool
    collect: Callable[[Callable[[], Any]], Any] | None  # makes a list of what it yields, where it gives a generator


_Known = dict["weakref.ref[FunctionType]", "tuple[_Taking, weakref.ref[FunctionType]]"]

# a look at a signature costs 15 µs, and a weak dictionary twice what is asked of it here
_functions: _Known = {}
_methods: _Known = {}


def _keep(known: _Known, key: weakref.ref[FunctionType], takes: _Taking) -> _Taking:
    function = key()
    if function is not None:
        known[key] = takes, weakref.ref(function, lambda _: known.pop(key, None))
    return takes


def _look_at(method: Callable[..., Any]) -> _Taking:
    if _is(inspect.isasyncgenfunction, method):
        return _Taking(*_parameters(method), True, _collect_async)
    is_async = is_async_callable(method)
    return _Taking(*_parameters(method), is_async, None if is_async else _collect)


def _parameters(method: Callable[..., Any]) -> tuple[int, tuple[str, ...]]:
    """Return how many of input and context the method takes by position, and which by name."""
    try:
        parameters = list(inspect.signature(method).parameters.values())
    except (TypeError, ValueError):  # some built-in callables have none
        return 1, ()
    kinds = {p.kind for p in parameters}
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    only_named = tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
    has_more = inspect.Parameter.VAR_POSITIONAL in kinds
    if not positional and not has_more:
        if inspect.Parameter.VAR_KEYWORD in kinds:
            return 0, ("input_data", "context")
        return 0, tuple(name for name in ("input_data", "context") if name in only_named)
    if "context" in only_named:
        return 1, ("context",)
    second = positional[1] if len(positional) > 1 else None
    takes_second = has_more if second is None else second.default is second.empty or second.name in _SECOND
    return 2 if takes_second else 1, ()


def _collect(function: Callable[[], Any]) -> Any:
    answer = function()
    if isinstance(answer, GeneratorType):
        return list(cast("GeneratorType[Any, Any, Any]", answer))
    if isinstance(answer, AsyncGeneratorType):  # behind a decorator's plain function, say; to be awaited on the loop
        return _collect_async(lambda: answer)
    return answer


async def _collect_async(function: Callable[[], Any]) -> list[Any]:
    return [item async for item in function()]
