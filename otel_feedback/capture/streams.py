"""Generators as actions: from the first item asked for to the last one given, or to the close.

    consumer ──next()──► [ resume · the user's generator runs · suspend ] ──item──► consumer

The action's context is current only while the user's code runs, never between two items, where the consumer is at work.
What the generator receives, yields, returns and raises passes through unchanged (PEP 342, PEP 525), a close included.
The wrapper is itself a generator, so frameworks that look for one find one.
"""

# pyright: reportPrivateUsage=false
# an action's handle belongs to its agent; what drives it stays out of the agent's sight

from __future__ import annotations

import functools
import sys
import weakref
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Generator, Iterable
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any

from otel_feedback.capture.declaration import Declaration
from otel_feedback.capture.handle import Action

__all__ = ["STILL_TO_RUN", "rest_of_action", "stream_action", "stream_async_action"]


STILL_TO_RUN = frozenset(
    {"coroutine", "generator", "async_generator", "StreamingResponse", "StreamingHttpResponse", "Response"}
)
"""Names of the types of which something may be left to run when a function has returned one; the cheap look."""

_TO_RUN = (CoroutineType, GeneratorType, AsyncGeneratorType)


def rest_of_action(declared: Declaration, act: Action, result: Any) -> Any:
    """Return what a function gave, with the action lasting until that has run: its end where nothing is left to.

    A coroutine or a generator is given back as another one: behind many a decorator's plain function there is an async
    one, or a generator. A streaming response of a web framework stays itself, and its body is changed.
    """
    kind = type(result)
    if kind in _TO_RUN:
        return _rest(declared, act, result)
    take_body = _RESPONSES.get((kind.__module__, kind.__name__))
    try:
        if take_body is None or not take_body(result, functools.partial(_rest, declared, act)):
            act._end(None)
    except Exception:  # another version than is known here: the response is its framework's business
        act._end(None)
    return result


def _rest(declared: Declaration, act: Action, result: Any) -> Any:
    def given() -> Any:
        return result

    act._suspend()
    # nobody may ever ask for it, and then none of its code runs; its frame holds `given` until it is closed
    weakref.finalize(given, act._end, GeneratorExit())
    if isinstance(result, CoroutineType):
        rest: Any = _await_action(declared, act, given)
    elif isinstance(result, GeneratorType):
        rest = stream_action(declared, given, act)()
    else:
        rest = stream_async_action(declared, given, act)()
    rest.__name__, rest.__qualname__ = result.__name__, result.__qualname__
    return rest


# -- bodies of responses -----------------------------------------------------------------------------------

_Rest = Callable[[Any], Any]


def _of_starlette(response: Any, rest: _Rest) -> bool:
    response.body_iterator = rest(_as_generator(response.body_iterator))
    return True


def _of_django(response: Any, rest: _Rest) -> bool:
    response.streaming_content = rest(_as_generator(response.streaming_content))
    return True


def _of_flask(response: Any, rest: _Rest) -> bool:
    # a file that the server is to send by itself must reach it as it is
    if not response.is_streamed or response.direct_passthrough:
        return False
    response.response = rest(_as_generator(response.response))
    return True


_RESPONSES: dict[tuple[str, str], Callable[[Any, _Rest], bool]] = {
    ("starlette.responses", "StreamingResponse"): _of_starlette,  # FastAPI's, too
    ("django.http.response", "StreamingHttpResponse"): _of_django,
    ("flask.wrappers", "Response"): _of_flask,
}
"""By module and name, so that none of them is imported. Each says whether there was a body to wait for."""


def _as_generator(body: Any) -> Any:
    if isinstance(body, _TO_RUN):
        return body
    return _each_later(body) if hasattr(body, "__aiter__") else _each(body)


def _each(body: Iterable[Any]) -> Generator[Any, Any, Any]:
    try:
        yield from body
    finally:
        del body  # what has no close(), such as a map, lets go of a generator now, and not after the action's end


async def _each_later(body: AsyncIterable[Any]) -> AsyncGenerator[Any, Any]:
    async for item in body:
        yield item


# -- the rest itself ---------------------------------------------------------------------------------------


async def _await_action(declared: Declaration, act: Action, given: Callable[[], Awaitable[Any]]) -> Any:
    act._resume()
    try:
        result = await given()
    except BaseException as exc:
        act._end(exc)
        raise
    if type(result).__name__ in STILL_TO_RUN:
        return rest_of_action(declared, act, result)
    act._end(None)
    return result


def stream_action(
    declared: Declaration, function: Callable[..., Any], begun: Action | None = None
) -> Callable[..., Any]:
    """Return the generator function with each of its runs recorded as one action.

    Args:
        begun: The action of its only run, suspended.
    """

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        inner = function(*args, **kwargs)
        act = _begin(declared, begun)
        sent: Any = None
        thrown: BaseException | None = None
        try:
            while True:
                # outside of the except block, or what the user raises would get a context that is not its own
                item = inner.send(sent) if thrown is None else inner.throw(thrown)
                if isinstance(thrown, GeneratorExit):
                    act._end(RuntimeError(_IGNORED))
                act._suspend()
                sent = thrown = None
                try:
                    sent = yield item
                except BaseException as exc:
                    thrown = exc
                act._resume()
        except StopIteration as stop:
            act._end(thrown if isinstance(thrown, GeneratorExit) else None)
            return stop.value
        except BaseException as exc:
            act._end(exc)
            raise
        finally:
            thrown = None  # this frame is in its traceback: a cycle, which only the garbage collector would free

    return run


def stream_async_action(
    declared: Declaration, function: Callable[..., Any], begun: Action | None = None
) -> Callable[..., Any]:
    """Return the async generator function with each of its runs recorded as one action.

    Args:
        begun: The action of its only run, suspended.
    """

    @functools.wraps(function)
    async def run(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        inner = function(*args, **kwargs)
        act = _begin(declared, begun)
        sent: Any = None
        thrown: BaseException | None = None
        try:
            item = await _first_of(inner)
            while True:
                if isinstance(thrown, GeneratorExit):
                    act._end(RuntimeError(_IGNORED))
                act._suspend()
                sent = thrown = None
                try:
                    sent = yield item
                except BaseException as exc:
                    thrown = exc
                act._resume()
                item = await (inner.asend(sent) if thrown is None else inner.athrow(thrown))
        except StopAsyncIteration:
            act._end(thrown if isinstance(thrown, GeneratorExit) else None)
        except BaseException as exc:
            act._end(exc)
            raise
        finally:
            thrown = None

    return run


def _begin(declared: Declaration, begun: Action | None) -> Action:
    if begun is None:
        return Action.begin(declared)
    begun._resume()
    return begun


_IGNORED = "generator ignored GeneratorExit"
"""What Python raises where a generator that is closed yields one more item."""


def _first_of(inner: AsyncGenerator[Any, Any]) -> Awaitable[Any]:
    """Ask for the first item without the event loop noticing the generator: at its end it would close it beside us."""
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return inner.__anext__()
    finally:
        sys.set_asyncgen_hooks(*hooks)
