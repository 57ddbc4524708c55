"""Where an action is current, however it is entered and left; and what callables can be decorated."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import logging
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import context as context_api

import otel_feedback as feedback
from otel_feedback.capture.ending import judge
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from otel_feedback.redaction.limits import Problems

S = feedback.OutcomeStatus


def test_left_in_a_copy_of_the_context_it_logs_nothing_and_is_not_current_there(
    pipeline: FeedbackPipeline, caplog: pytest.LogCaptureFixture
) -> None:
    """As an async generator does that another task closes."""

    def enter_and_leave_elsewhere() -> None:
        before = context_api.get_current()
        scope = feedback.action("a")
        scope.__enter__()

        def leave() -> bool:
            scope.__exit__(None, None, None)
            return context_api.get_current() is before

        assert contextvars.copy_context().run(leave)
        assert feedback.current_action() is None, "it has ended, wherever that was"

    with caplog.at_level(logging.WARNING):
        contextvars.copy_context().run(enter_and_leave_elsewhere)
    assert caplog.text == ""
    assert [event.status for event in pipeline.get_recent_events()] == [S.SUCCESS]


def test_tasks_that_share_one_object_end_in_any_order(pipeline: FeedbackPipeline) -> None:
    shared = feedback.action("work")

    async def worker(number: int, error: Exception | None) -> None:
        async with shared as act:
            act.set_metadata("number", number)
            await asyncio.sleep(0.002 * number)
            if error is not None:
                raise error

    async def main() -> None:
        await asyncio.gather(worker(1, ValueError("first")), worker(3, None), worker(2, None), return_exceptions=True)

    asyncio.run(main())
    ended = [(event.metadata["number"], event.status) for event in pipeline.get_recent_events()]
    assert ended == [(1, S.FAILURE), (2, S.SUCCESS), (3, S.SUCCESS)]


def test_an_action_left_open_in_a_generator_does_not_outlast_the_one_around_it(pipeline: FeedbackPipeline) -> None:
    def undecorated() -> Iterator[int]:
        with feedback.action("inner"):
            yield 1

    before = context_api.get_current()
    with feedback.action("outer") as outer:
        items = undecorated()
        next(items)
    assert context_api.get_current() is before
    items = iter(())
    gc.collect()
    assert context_api.get_current() is before
    ended = [(event.action_type, event.status, event.parent_event_id) for event in pipeline.get_recent_events()]
    assert ended == [("outer", S.SUCCESS, None), ("inner", S.PARTIAL, outer.event_id)]


def test_a_stream_that_is_read_on_in_another_action_returns_to_that_one(pipeline: FeedbackPipeline) -> None:
    @feedback.action("stream")
    def stream(count: int) -> Iterator[int]:
        yield from range(count)

    with feedback.action("one") as one:
        items = stream(3)
        next(items)
    with feedback.action("two") as two:
        before = context_api.get_current()
        next(items)
        assert context_api.get_current() is before
        assert list(items) == [2]
        assert feedback.current_action() is two
    parents = {event.action_type: event.parent_event_id for event in pipeline.get_recent_events()}
    assert parents == {"one": None, "stream": one.event_id, "two": None}


def test_a_stream_that_is_called_wrongly_is_no_action(pipeline: FeedbackPipeline) -> None:
    @feedback.action("stream")
    def stream(count: int) -> Iterator[int]:
        yield count

    before = context_api.get_current()
    wrongly: Any = stream
    with pytest.raises(TypeError, match="count"):
        next(wrongly())
    assert context_api.get_current() is before
    assert pipeline.get_recent_events() == []


def test_a_task_that_outlives_its_action_has_no_current_one_and_still_its_parent(pipeline: FeedbackPipeline) -> None:
    async def later(has_ended: asyncio.Event) -> None:
        await has_ended.wait()
        assert feedback.current_action() is None
        for name in ("one", "two"):
            with feedback.action(name):
                pass

    async def main() -> None:
        has_ended = asyncio.Event()
        with feedback.action("parent"):
            task = asyncio.ensure_future(later(has_ended))
            await asyncio.sleep(0)
        has_ended.set()
        await task

    asyncio.run(main())
    parent, one, two = pipeline.get_recent_events()
    assert one.parent_event_id == two.parent_event_id == parent.event_id


def test_what_was_thrown_into_a_stream_is_freed_at_once(pipeline: FeedbackPipeline) -> None:
    """No cycle through the wrapper's frame is left for the garbage collector."""

    class Thrown(Exception):
        pass

    @feedback.action("stream")
    def stream() -> Iterator[int]:
        yield 1

    def throw() -> weakref.ref[Thrown]:
        items: Any = stream()
        next(items)
        thrown = Thrown()
        reference = weakref.ref(thrown)
        try:
            items.throw(thrown)
        except Thrown:
            del thrown  # or this frame would be a cycle of its own
        return reference

    gc.collect()
    gc.disable()
    try:
        assert throw()() is None
    finally:
        gc.enable()


class Agent:
    async def ask(self, text: str) -> str:
        await asyncio.sleep(0.002)
        return text

    async def __call__(self, text: str) -> str:
        return await self.ask(text)

    @staticmethod
    @feedback.action("static")
    async def static(text: str) -> str:
        return await Agent().ask(text)

    @classmethod
    @feedback.action("class")
    async def of_class(cls, text: str) -> str:
        return await cls().ask(text)

    @feedback.action("static")
    @staticmethod
    async def around_static(text: str) -> str:
        return await Agent().ask(text)

    @feedback.action("class")
    @classmethod
    async def around_class(cls, text: str) -> str:
        return await cls().ask(text)


@pytest.mark.parametrize(
    "agent",
    [
        pytest.param(feedback.action("call")(Agent()), id="an object with an async __call__"),
        pytest.param(feedback.action("call")(functools.partial(Agent().ask)), id="a partial"),
        pytest.param(feedback.action("call")(Agent().ask), id="a bound method"),
        pytest.param(Agent.static, id="a static method"),
        pytest.param(Agent.of_class, id="a class method"),
        pytest.param(Agent().around_static, id="around a static method"),
        pytest.param(Agent().around_class, id="around a class method"),
        pytest.param(feedback.action("call")(lambda text: Agent().ask(text)), id="a plain function that gives it"),
    ],
)
def test_whatever_is_awaited_lasts_until_it_was(agent: Any, pipeline: FeedbackPipeline) -> None:
    assert asyncio.run(agent("text")) == "text"
    [event] = pipeline.get_recent_events()
    assert event.duration_ms is not None
    assert event.duration_ms >= 1.8


@pytest.mark.filterwarnings("ignore:coroutine .*ask.* was never awaited")
def test_a_coroutine_of_a_plain_function_that_nobody_awaits_is_abandoned(pipeline: FeedbackPipeline) -> None:
    """The function has run. That of an async one, which has not, is no action at all."""
    coroutine = feedback.action("call")(lambda text: Agent().ask(text))("text")
    assert (coroutine.__qualname__, feedback.current_action()) == ("Agent.ask", None)
    assert pipeline.get_recent_events() == []
    del coroutine
    gc.collect()
    [event] = pipeline.get_recent_events()
    assert (event.status, event.metadata) == (S.PARTIAL, {"abandoned": True})


@pytest.mark.parametrize(
    ("deadline_s", "elapsed_s", "status"),
    [
        (30, 29.5, S.CANCELLED),
        (30, 29.8, S.TIMEOUT),
        (0.010, 0.0085, S.CANCELLED),
        (0.010, 0.0095, S.TIMEOUT),
        (0.001, 0.0004, S.CANCELLED),
        (0.001, 0.0006, S.TIMEOUT),
    ],
)
def test_a_cancellation_just_before_the_deadline_is_the_deadlines(
    deadline_s: float, elapsed_s: float, status: feedback.OutcomeStatus
) -> None:
    """Who enforces it began to count before the action started; a success that much before it is a success."""
    times: Any = {"elapsed_ns": int(elapsed_s * 1e9), "deadline_ns": deadline_s * 1e9}
    assert judge(asyncio.CancelledError(), Problems(), is_root=True, **times)[0].status is status
    assert judge(None, Problems(), is_root=True, **times)[0].status is S.SUCCESS
