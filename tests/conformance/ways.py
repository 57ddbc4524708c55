"""Ways of running the same code as an action, and the check that every one of them has to pass.

    way(seen, body)   Outside ──► action "work" [ a child action · a short sleep · body() ] ──► Outside

`Outside` looks from just around the action, `inside` from within; `check` holds what both saw, the event and the span
against a row of the specification.
"""

from __future__ import annotations

import asyncio
import builtins
import contextvars
import functools
import importlib
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from types import CodeType, NoneType, TracebackType
from typing import Any, NamedTuple

import anyio
import anyio.lowlevel
from opentelemetry import context as context_api
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

import otel_feedback as feedback

SLEEP_S = 0.002
"""What every action takes at least."""
LIMIT_S = 0.02
"""After what time in the user's code something cuts it short."""

S, V = feedback.OutcomeStatus, feedback.Severity
Body = Callable[[], object]
AsyncBody = Callable[[], Awaitable[object]]
Work = Callable[[], Coroutine[Any, Any, None]]

aio: Any = asyncio  # with what Python 3.11 brought
_groups = builtins if hasattr(builtins, "ExceptionGroup") else importlib.import_module("exceptiongroup")
ExceptionGroup: Any = getattr(_groups, "ExceptionGroup")  # noqa: B009 - pyright looks at it as Python 3.10
BaseExceptionGroup: Any = getattr(_groups, "BaseExceptionGroup")  # noqa: B009


class Ending(NamedTuple):
    """What the event of an action must say."""

    status: feedback.OutcomeStatus
    severity: feedback.Severity
    error_type: str | None = None
    metadata: Mapping[str, Any] = {}


class Seen:
    """What was seen of one action, from inside and from around it."""

    def __init__(self) -> None:
        self.act: feedback.Action | None = None
        self.outer: feedback.Action | None = None  # what was current around it
        self.raised: BaseException | None = None
        self.links: tuple[BaseException | None, BaseException | None] = (None, None)
        self.caught: BaseException | None = None
        self.took_ms = 0.0
        self.least_ms = SLEEP_S * 1e3
        self.is_restored = False
        self.between: list[bool] = []

    def note_start(self) -> None:
        self.act = feedback.current_action()
        with feedback.action("child"):
            assert feedback.current_action() is not self.act
        assert feedback.current_action() is self.act

    def note_raised(self, exc: BaseException) -> None:
        self.raised, self.links = exc, (exc.__cause__, exc.__context__)


class Outside:
    """Stands just around the action: what current was before is current again, and what was raised comes out."""

    def __init__(self, seen: Seen, *, passes_on: bool = False) -> None:
        self._seen = seen
        self._passes_on = passes_on

    def __enter__(self) -> Outside:  # noqa: PYI034 - Self came with Python 3.11
        self._context = context_api.get_current()
        self._seen.outer = feedback.current_action()
        self._began = time.perf_counter()
        return self

    def between(self) -> None:
        """Look around between two items of a stream."""
        self._seen.between.append(context_api.get_current() is self._context)

    def __exit__(self, cls: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> bool:
        self._seen.took_ms = (time.perf_counter() - self._began) * 1e3
        self._seen.is_restored = context_api.get_current() is self._context
        self._seen.caught = exc
        return not self._passes_on


def inside(seen: Seen, body: Body) -> object:
    """The user's code."""
    seen.note_start()
    time.sleep(SLEEP_S)
    try:
        return body()
    except BaseException as exc:
        seen.note_raised(exc)
        raise


async def inside_async(seen: Seen, body: AsyncBody) -> object:
    """The user's code, where it awaits."""
    seen.note_start()
    await anyio.sleep(SLEEP_S)
    try:
        return await body()
    except BaseException as exc:
        seen.note_raised(exc)
        raise


def work(**declared: Any) -> Any:
    return feedback.action("work", agent="worker", **declared)


# -- ways of running -------------------------------------------------------------------------------------------


def _with(seen: Seen, body: Body, **declared: Any) -> None:
    with Outside(seen), work(**declared):
        inside(seen, body)


def _function(seen: Seen, body: Body, **declared: Any) -> None:
    with Outside(seen):
        work(**declared)(inside)(seen, body)


def _generator(seen: Seen, body: Body, **declared: Any) -> None:
    @work(**declared)
    def stream() -> Any:
        yield 1
        inside(seen, body)
        yield 2

    with Outside(seen) as outside:
        for _ in stream():
            outside.between()


def _thread(seen: Seen, body: Body) -> None:
    thread = threading.Thread(target=_with, args=(seen, body))
    thread.start()
    thread.join()


def _pool(seen: Seen, body: Body) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(contextvars.copy_context().run, _function, seen, body).result()


def async_ways(seen: Seen, body: AsyncBody, **declared: Any) -> dict[str, Work]:
    """Return the ways of running code that awaits; what is raised goes on, as cancellation must."""

    async def block() -> None:
        with Outside(seen, passes_on=True):
            async with work(**declared):
                await inside_async(seen, body)

    async def coroutine() -> None:
        with Outside(seen, passes_on=True):
            await work(**declared)(inside_async)(seen, body)

    async def plain_function() -> None:
        with Outside(seen, passes_on=True):
            await work(**declared)(lambda: inside_async(seen, body))()

    async def generator() -> None:
        @work(**declared)
        async def stream() -> Any:
            yield 1
            yield await inside_async(seen, body)

        with Outside(seen, passes_on=True) as outside:
            async with aclosing(stream()) as items:
                async for _ in items:
                    outside.between()

    return {
        "async with": block,
        "decorated coroutine": coroutine,
        "decorated function that gives a coroutine": plain_function,
        "decorated async generator": generator,
    }


def _awaiting(body: Body) -> AsyncBody:
    async def awaiting() -> object:
        await anyio.lowlevel.checkpoint()
        return body()

    return awaiting


async def _async(way: str, seen: Seen, body: Body, **declared: Any) -> None:
    with suppress(BaseException):
        await async_ways(seen, _awaiting(body), **declared)[way]()


async def _awaited_late(seen: Seen, body: Body) -> None:
    coroutine = work()(inside_async)(seen, _awaiting(body))
    await asyncio.sleep(10 * SLEEP_S)
    with Outside(seen):  # the time it takes counts from here
        await coroutine


async def _task(seen: Seen, body: Body) -> None:
    await asyncio.ensure_future(_async("decorated coroutine", seen, body))


async def _task_group(seen: Seen, body: Body) -> None:
    async with aio.TaskGroup() as group:
        group.create_task(_async("decorated coroutine", seen, body))


def on(loop: str, way: Callable[..., Any], *args: Any, **declared: Any) -> None:
    """Run an async way on a loop: asyncio as it comes, or anyio's asyncio or trio."""
    if loop == "asyncio":
        asyncio.run(way(*args, **declared))
    else:
        anyio.run(functools.partial(way, *args, **declared), backend=loop.rpartition(" ")[2])


PLAIN_WAYS: dict[str, Callable[..., None]] = {
    "with": _with,
    "decorated function": _function,
    "plain thread": _thread,
    "ThreadPoolExecutor": _pool,
    "asyncio.to_thread": functools.partial(on, "asyncio", asyncio.to_thread, _with),
}
"""Those where an exception leaves the action in a frame that is neither a coroutine's nor a generator's."""

WAYS: dict[str, Callable[..., None]] = {
    **PLAIN_WAYS,
    "decorated generator": _generator,
    "async with": functools.partial(on, "asyncio", _async, "async with"),
    "decorated coroutine": functools.partial(on, "asyncio", _async, "decorated coroutine"),
    "decorated function that gives a coroutine": functools.partial(
        on, "asyncio", _async, "decorated function that gives a coroutine"
    ),
    "decorated async generator": functools.partial(on, "asyncio", _async, "decorated async generator"),
    "task": functools.partial(on, "asyncio", _task),
    **({"TaskGroup task": functools.partial(on, "asyncio", _task_group)} if hasattr(asyncio, "TaskGroup") else {}),
    "coroutine awaited late": functools.partial(on, "asyncio", _awaited_late),
    "anyio on asyncio": functools.partial(on, "anyio on asyncio", _async, "decorated coroutine"),
    "anyio on trio": functools.partial(on, "anyio on trio", _async, "decorated coroutine"),
    "async generator on trio": functools.partial(on, "anyio on trio", _async, "decorated async generator"),
}

WITHOUT_PARENT = {"plain thread"}  # ways that context variables do not go


# -- what has to be true --------------------------------------------------------------------------------------


def check(
    seen: Seen, expected: Ending, events: Sequence[feedback.OutcomeEvent], code: CodeType | None = None
) -> feedback.OutcomeEvent:
    """Hold what was seen of an action against what must be; return its event."""
    [event] = [event for event in events if event.action_type == "work"]  # exactly one
    said = {key: value for key, value in event.metadata.items() if not key.startswith("otel_feedback.")}
    assert Ending(event.status, event.severity, event.error_type, said) == expected
    assert (event.agent_name, event.revision) == ("worker", 1)
    assert seen.act is not None
    assert seen.act.event == event

    assert seen.caught is seen.raised, "the user's exception comes out as the same object"
    if seen.caught is not None:
        assert (seen.caught.__cause__, seen.caught.__context__) == seen.links
        frames = [frame.f_code for frame, _ in traceback.walk_tb(seen.caught.__traceback__)]
        assert code is None or code in frames, "its traceback reaches the user's line"
    if code is not None and expected.error_type is not None and not isinstance(seen.caught, (SystemExit, NoneType)):
        assert code.co_filename in (event.stack_trace or "")

    assert event.duration_ms is not None
    assert 0.9 * seen.least_ms <= event.duration_ms <= seen.took_ms

    outer = None if seen.outer is None else seen.outer.event_id
    assert event.parent_event_id == outer
    assert [child.parent_event_id for child in events if child.action_type == "child"] == [event.event_id]
    assert seen.is_restored, "what was current before is current again"
    assert all(seen.between), "and also between two items of a stream"
    return event


def check_span(event: feedback.OutcomeEvent, spans: InMemorySpanExporter) -> None:
    """Hold the span of an action against its event."""
    [span] = [span for span in spans.get_finished_spans() if span.name == "work worker"]
    is_error = event.status in (S.FAILURE, S.TIMEOUT, S.CANCELLED)
    assert span.status.status_code is (StatusCode.ERROR if is_error else StatusCode.UNSET)
    attributes = span.attributes or {}
    assert attributes["outcome.status"] == event.status.value
    assert attributes["outcome.severity"] == event.severity.value
    told = [dict(note.attributes or {}) for note in span.events if note.name == "exception"]
    assert [note.get("exception.stacktrace") for note in told] == ([event.stack_trace] if event.error_type else [])
