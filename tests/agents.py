"""Agents for the tests of dispatcher, workflows and hooks, and the loop that runs them."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

import pytest

from tests.pace import Patience

T = TypeVar("T")
Json = dict[str, Any]

FOREVER_S = 30.0
"""Longer than any test; what waits for it is cancelled, or the test fails."""

TIMEOUT_S = 0.05
"""A time that passes."""

PATIENT_S = 0.5
"""A time that passes, but in which something quick has ended on any machine."""


def run(main: Callable[[], Coroutine[Any, Any, T]], caplog: pytest.LogCaptureFixture | None = None) -> T:
    """Run a coroutine on a loop of its own; asyncio must have nothing to complain of (lost tasks and exceptions)."""
    result = asyncio.run(main())
    if caplog is not None:
        assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []
    return result


class Echo:
    """Gives back what it got."""

    name = "echo"

    async def execute(self, input_data: Any, context: Mapping[str, Any]) -> Any:
        return {"input": input_data, "context": context}


class Plain:
    """A plain agent that does what it is told by its input, a function."""

    name = "plain"

    def execute(self, input_data: Any, context: Mapping[str, Any]) -> Any:
        return input_data()


class Doing:
    """An async agent that does what a function does."""

    def __init__(self, name: str, does: Callable[..., Any]) -> None:
        self.name = name
        self._does = does

    async def run(self, input_data: Any) -> Any:
        answer = self._does(input_data)
        return await answer if asyncio.iscoroutine(answer) else answer


class Flaky:
    """Fails so many times, then gives an answer."""

    name = "flaky"

    def __init__(self, failures: int, error: Callable[[], BaseException] = lambda: ValueError("not yet")) -> None:
        self.calls = 0
        self._failures = failures
        self._error = error

    async def run(self, input_data: Any) -> str:
        self.calls += 1
        if self.calls <= self._failures:
            raise self._error()
        return "at last"


class Hanging:
    """Hangs in its thread until it is let go."""

    name = "hanging"

    def __init__(self) -> None:
        self.go = threading.Event()
        self.started = threading.Event()
        self.ended = threading.Event()
        self.calls = 0

    def run(self, input_data: Any) -> str:
        self.calls += 1
        self.started.set()
        self.go.wait(FOREVER_S)
        self.ended.set()
        return "late"


class Sleeping:
    """Sleeps until it is cancelled, and says whether it was."""

    def __init__(self, name: str = "sleeping") -> None:
        self.name = name
        self.started = asyncio.Event()
        self.calls = 0
        self.cancelled = 0

    async def run(self, input_data: Any) -> None:
        self.calls += 1
        self.started.set()
        try:
            await asyncio.sleep(FOREVER_S)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


class Stubborn:
    """Does not heed cancellation until it is let go."""

    name = "stubborn"

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.go = asyncio.Event()
        self.ended = asyncio.Event()

    async def run(self, input_data: Any) -> str:
        self.started.set()
        while not self.go.is_set():
            try:
                await self.go.wait()
            except asyncio.CancelledError:
                continue
        self.ended.set()
        return "unmoved"


async def until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Wait on the loop until something is so."""
    patience = Patience(timeout_s)
    while not condition():
        assert not patience.is_over, "waited in vain"
        await asyncio.sleep(0.001)


def warnings_of(caplog: pytest.LogCaptureFixture, logger: str) -> list[str]:
    """Return the warnings of one of our modules."""
    return [
        r.getMessage() for r in caplog.records if r.name == f"otel_feedback.{logger}" and r.levelno >= logging.WARNING
    ]
