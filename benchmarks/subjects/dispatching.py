"""A process that calls the same agent over and over, in one of several ways, on an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import otel_feedback as feedback
from benchmarks.children import BenchmarkError, arguments, serve
from benchmarks.subjects.names import ACTION, DIRECT, WITH_HOOK, WITH_LIMIT, WITH_SELECTOR
from benchmarks.subjects.producing import kafka_away, record
from benchmarks.subjects.tracing import Traced
from benchmarks.subjects.watch import Watch

__all__ = ["Subject"]

UNTIMED_CALLS = 20  # the process has slept since its last round

GIVEN = {"query": "Analyze customer sentiment"}
CONTEXT: dict[str, Any] = {}


class AsyncAgent:
    """Waits, and says what its model used."""

    name = "react_agent"

    def __init__(self, takes_s: float) -> None:
        self._takes_s = takes_s

    async def execute(self, input_data: Any, context: Mapping[str, Any]) -> dict[str, Any]:
        if self._takes_s:
            await asyncio.sleep(self._takes_s)
        return {"answer": 42, "model": "gpt-4o", "usage": {"input_tokens": 900, "output_tokens": 120}}


class PlainAgent:
    """The same, but it blocks its thread."""

    name = "react_agent"

    def __init__(self, takes_s: float) -> None:
        self._takes_s = takes_s

    def execute(self, input_data: Any, context: Mapping[str, Any]) -> dict[str, Any]:
        if self._takes_s:
            time.sleep(self._takes_s)
        return {"answer": 42, "model": "gpt-4o", "usage": {"input_tokens": 900, "output_tokens": 120}}


async def _hook(agent: Any, result: Mapping[str, Any], event: feedback.OutcomeEvent) -> None:
    """A post hook that does nothing."""


class Subject:
    """One way to call an agent."""

    def __init__(self, way: str) -> None:
        self._way = way
        self._runner = asyncio.new_event_loop()
        self._pipeline: feedback.FeedbackPipeline | None = None
        if way == DIRECT:
            return
        self._pipeline = record(Traced().provider, kafka_away())
        self._dispatcher = feedback.ActionDispatcher()
        if way == WITH_HOOK:
            self._dispatcher.add_post_hook(_hook)

    def measure(self, agent: str, takes_ms: float, calls: int, at_a_time: int) -> dict[str, Any]:
        """Make the calls and return the wall time of one in microseconds, of several at a time, their share; and those of each.

        Returns:
            `us_a_call`, the mean; `single_ns`, the time of each turn of `at_a_time` calls, in nanoseconds.

        Raises:
            BenchmarkError: Not every call was recorded.
        """
        call = self._call_of(agent, takes_ms / 1e3)
        self._runner.run_until_complete(_all(call, UNTIMED_CALLS, at_a_time))
        before = self._recorded()
        with Watch() as watch:
            single_ns = self._runner.run_until_complete(_all(call, calls, at_a_time))
        if self._pipeline is not None and self._recorded() - before != calls:
            raise BenchmarkError(f"of {calls} calls {self._recorded() - before} were recorded")
        return {"us_a_call": watch.wall_ns / calls / 1e3, "single_ns": single_ns}

    def _recorded(self) -> int:
        return 0 if self._pipeline is None else int(self._pipeline.metrics()["recorded"])

    def _call_of(self, agent: str, takes_s: float) -> Callable[[], Awaitable[Any]]:
        asynchronous, plain = AsyncAgent(takes_s), PlainAgent(takes_s)

        def direct() -> Awaitable[Any]:
            if agent == "async":
                return asynchronous.execute(GIVEN, CONTEXT)
            return asyncio.to_thread(plain.execute, GIVEN, CONTEXT)

        if self._way == DIRECT:
            return direct

        async def in_action() -> Any:
            async with feedback.action("reasoning", agent="react_agent") as act:
                answer = await direct()
                act.add_usage(model="gpt-4o", input_tokens=900, output_tokens=120)
            return answer

        if self._way == ACTION:
            return in_action
        called: Any = asynchronous if agent == "async" else plain
        if self._way == WITH_SELECTOR:
            called = feedback.AgentSelector({f"agent_{number}": called for number in range(5)})
        timeout_s = 60.0 if self._way == WITH_LIMIT else None
        return lambda: self._dispatcher.dispatch(called, "reasoning", GIVEN, CONTEXT, timeout_s=timeout_s)

    def close(self) -> None:
        """Give up what is pending: nobody will ever take it."""
        self._runner.close()
        if self._pipeline is not None:
            self._pipeline.shutdown(timeout_s=0)


async def _all(call: Callable[[], Awaitable[Any]], calls: int, at_a_time: int) -> list[int]:
    times = [time.perf_counter_ns()]
    for first in range(0, calls, at_a_time):
        if at_a_time == 1:
            await call()
        else:
            await asyncio.gather(*(call() for _ in range(first, min(calls, first + at_a_time))))
        times.append(time.perf_counter_ns())
    return [end - start for start, end in itertools.pairwise(times)]


def _main() -> None:
    logging.disable()  # an unreachable broker is what is asked for
    with contextlib.closing(Subject(arguments()["subject"])) as subject:
        serve(lambda request: subject.measure(**request))


if __name__ == "__main__":
    _main()
