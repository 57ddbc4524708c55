"""Hooks before and after an action: what they get, in which order, and that they can change nothing else."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import otel_feedback as feedback
from otel_feedback import ActionDispatcher
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from tests.agents import FOREVER_S, Doing, Echo, Json, run, warnings_of

HOOK_TIMEOUT_S = 0.4


@pytest.fixture
def dispatcher(pipeline: FeedbackPipeline) -> ActionDispatcher:
    return ActionDispatcher(hook_timeout_s=HOOK_TIMEOUT_S)


class Notes:
    """Makes hooks, plain and async ones, that note that they were called."""

    def __init__(self) -> None:
        self.called: list[str] = []

    def plain(self, name: str) -> Callable[..., None]:
        def hook(*given: Any) -> None:
            self.called.append(name)

        return hook

    def async_one(self, name: str) -> Callable[..., Any]:
        async def hook(*given: Any) -> None:
            await asyncio.sleep(0.001)
            self.called.append(name)

        return hook


@pytest.fixture
def notes() -> Notes:
    return Notes()


# -- what they get -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["plain", "async", "object", "async object", "plain, gives an awaitable"])
def test_what_hooks_are_given(kind: str, dispatcher: ActionDispatcher, pipeline: FeedbackPipeline) -> None:
    given: list[tuple[Any, ...]] = []

    def plain(*arguments: Any) -> None:
        given.append(arguments)

    async def async_one(*arguments: Any) -> None:
        given.append(arguments)

    class Called:
        def __call__(self, *arguments: Any) -> None:
            given.append(arguments)

    class AsyncCalled:
        async def __call__(self, *arguments: Any) -> None:
            given.append(arguments)

    def awaitable(*arguments: Any) -> Any:
        return async_one(*arguments)

    hook: Any = {
        "plain": plain, "async": async_one, "object": Called(), "async object": AsyncCalled(),
        "plain, gives an awaitable": awaitable,
    }[kind]  # fmt: skip
    dispatcher.add_pre_hook(hook)
    dispatcher.add_post_hook(hook)
    agent, context = Echo(), {"k": 1}
    result = run(lambda: dispatcher.dispatch(agent, "x", "input", context))
    [event] = pipeline.get_recent_events()
    assert given == [(agent, "input", context), (agent, result, event)]
    assert given[1][2] == event, "the finished event"
    assert (event.status, event.end_time is not None) == ("success", True)
    assert dispatcher.hook_failures == {"pre": 0, "post": 0}


def test_post_hooks_see_failures_too(dispatcher: ActionDispatcher) -> None:
    seen: list[tuple[str, str]] = []

    def fail(_: Any) -> None:
        raise ValueError("no")

    async def note(agent: Any, result: Json, event: feedback.OutcomeEvent) -> None:
        seen.append((result["error"], event.status))

    async def main() -> None:
        with pytest.raises(ValueError, match="no"):
            await dispatcher.dispatch(Doing("a", fail), raise_on_error=True, post_hooks=[note])

    run(main)
    assert seen == [("no", "failure")]


def test_a_plain_hook_does_not_run_on_the_loop(dispatcher: ActionDispatcher) -> None:
    where: list[bool] = []
    dispatcher.add_post_hook(lambda *_: where.append(threading.current_thread() is threading.main_thread()))
    run(lambda: dispatcher.dispatch(Echo()))
    assert where == [False]


def test_an_action_in_a_hook_is_none_of_the_agents(dispatcher: ActionDispatcher, pipeline: FeedbackPipeline) -> None:
    async def act(*_: Any) -> None:
        with feedback.action("hook"):
            pass

    async def main() -> None:
        with feedback.action("outer"):
            await dispatcher.dispatch(Echo(), "agent", pre_hooks=[act], post_hooks=[act])

    run(main)
    assert [(e.action_type, e.depth) for e in pipeline.get_recent_events()] == [
        ("hook", 1),
        ("agent", 1),
        ("hook", 1),
        ("outer", 0),
    ]


# -- order and removal -------------------------------------------------------------------------------------


def test_hooks_run_in_order_those_of_the_call_last(dispatcher: ActionDispatcher, notes: Notes) -> None:
    dispatcher.add_post_hook(notes.async_one("post 1"))
    dispatcher.add_pre_hook(notes.plain("pre 1"))
    dispatcher.add_pre_hook(notes.async_one("pre 2"))
    dispatcher.add_post_hook(notes.plain("post 2"))
    agent = Doing("a", lambda _: notes.called.append("agent"))

    async def main() -> None:
        await dispatcher.dispatch(agent, pre_hooks=[notes.plain("pre 3")], post_hooks=[notes.async_one("post 3")])
        notes.called.append("again")
        await dispatcher.dispatch(agent)

    run(main)
    assert notes.called == [
        "pre 1", "pre 2", "pre 3", "agent", "post 1", "post 2", "post 3",
        "again", "pre 1", "pre 2", "agent", "post 1", "post 2",
    ]  # fmt: skip


def test_hooks_can_be_removed(dispatcher: ActionDispatcher, notes: Notes) -> None:
    both = notes.plain("both")
    remove_pre = dispatcher.add_pre_hook(both)
    dispatcher.add_post_hook(both)
    remove_first = dispatcher.add_post_hook(notes.plain("first"))
    remove_first()
    remove_first()
    run(lambda: dispatcher.dispatch(Echo()))
    assert notes.called == ["both", "both"]
    dispatcher.remove_hook(both)
    remove_pre()
    dispatcher.remove_hook(both)
    run(lambda: dispatcher.dispatch(Echo()))
    assert notes.called == ["both", "both"]


def test_a_hook_that_was_added_twice_runs_twice_and_is_removed_once(dispatcher: ActionDispatcher, notes: Notes) -> None:
    twice = notes.plain("twice")
    remove = dispatcher.add_pre_hook(twice)
    dispatcher.add_pre_hook(twice)
    run(lambda: dispatcher.dispatch(Echo()))
    remove()
    remove()
    run(lambda: dispatcher.dispatch(Echo()))
    assert notes.called == ["twice"] * 3


def test_hooks_may_come_and_go_while_others_run(dispatcher: ActionDispatcher, notes: Notes) -> None:
    """Those of a dispatch that is under way are those that there were."""

    async def replace(*_: Any) -> None:
        dispatcher.remove_hook(replace)
        dispatcher.add_pre_hook(notes.plain("new"))

    dispatcher.add_pre_hook(replace)
    dispatcher.add_pre_hook(notes.plain("old"))
    for _ in range(2):
        run(lambda: dispatcher.dispatch(Echo()))
    assert notes.called == ["old", "old", "new"]


# -- hooks that fail ---------------------------------------------------------------------------------------


def raising(*_: Any) -> None:
    raise ValueError("a bad hook")


async def raising_async(*_: Any) -> None:
    raise ValueError("a bad hook")


async def overrunning(*_: Any) -> None:
    await asyncio.sleep(FOREVER_S)


def overrunning_plainly(*_: Any) -> None:
    time.sleep(3 * HOOK_TIMEOUT_S)


class Awkward(Exception):
    def __repr__(self) -> str:
        raise ValueError("no text")

    __str__ = __repr__


def raising_what_cannot_be_told(*_: Any) -> None:
    raise Awkward


async def cancelling_itself(*_: Any) -> None:
    raise asyncio.CancelledError


async def cancelling_its_task(*_: Any) -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(FOREVER_S)


def taking_too_few() -> None:
    """A hook gets three arguments."""


BAD: dict[str, tuple[Callable[..., Any], str]] = {
    "raises": (raising, "ValueError('a bad hook')"),
    "raises, async": (raising_async, "ValueError('a bad hook')"),
    "raises what cannot be told": (raising_what_cannot_be_told, "Awkward"),
    "overruns": (overrunning, "took longer than 0.4 s"),
    "overruns in its thread": (overrunning_plainly, "took longer than 0.4 s"),
    "cancels itself": (cancelling_itself, "CancelledError()"),
    "cancels its task": (cancelling_its_task, "CancelledError()"),
    "takes too few": (taking_too_few, "takes 0 positional arguments but 3 were given"),
}


@pytest.mark.parametrize("place", ["pre", "post"])
@pytest.mark.parametrize("case", BAD)
def test_a_bad_hook_is_logged_and_counted_and_changes_nothing_else(
    case: str,
    place: str,
    dispatcher: ActionDispatcher,
    pipeline: FeedbackPipeline,
    notes: Notes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    hook, problem = BAD[case]
    add = dispatcher.add_pre_hook if place == "pre" else dispatcher.add_post_hook
    add(notes.plain("before"))
    add(hook)
    add(notes.plain("after"))

    async def main() -> None:
        for _ in range(2):
            result = await dispatcher.dispatch(Echo(), "x", 7)
            assert (result["status"], result["output"]["input"], result["error"]) == ("success", 7, None)

    run(main, caplog)
    assert notes.called == ["before", "after"] * 2
    assert [event.status for event in pipeline.get_recent_events()] == ["success", "success"]
    assert dispatcher.hook_failures == {"pre": 0, "post": 0, place: 2}
    [line] = warnings_of(caplog, "dispatch.hooks")
    assert line.startswith(f"the {place} hook {hook.__name__} failed, which changes nothing else: ")
    assert problem in line


def test_a_hook_that_changes_what_it_got_changes_no_result(dispatcher: ActionDispatcher) -> None:
    def meddle(agent: Any, result: Json, event: feedback.OutcomeEvent) -> None:
        result.clear()

    result = run(functools.partial(dispatcher.dispatch, Echo(), post_hooks=[meddle]))
    assert result["status"] == "success"


def test_a_late_hook_is_told_to_stop(dispatcher: ActionDispatcher) -> None:
    stopped: list[bool] = []

    async def slow(*_: Any) -> None:
        try:
            await asyncio.sleep(FOREVER_S)
        finally:
            stopped.append(True)

    run(lambda: dispatcher.dispatch(Echo(), pre_hooks=[slow]))
    assert stopped == [True]


def test_an_exit_in_a_hook_ends_the_program_and_the_action_is_recorded(
    dispatcher: ActionDispatcher, pipeline: FeedbackPipeline
) -> None:
    async def leave(*_: Any) -> None:
        raise SystemExit(3)

    for hooks in ({"pre_hooks": [leave]}, {"post_hooks": [leave]}):
        with pytest.raises(SystemExit):
            run(functools.partial(dispatcher.dispatch, Echo(), **hooks))
    assert [event.status for event in pipeline.get_recent_events()] == ["failure", "success"]


def test_failures_are_counted_from_many_threads(pipeline: FeedbackPipeline) -> None:
    dispatcher = ActionDispatcher()
    dispatcher.add_pre_hook(raising_async)

    def loop() -> None:
        for _ in range(20):
            dispatcher.dispatch_sync(Echo())

    threads = [threading.Thread(target=loop) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert dispatcher.hook_failures == {"pre": 80, "post": 0}
