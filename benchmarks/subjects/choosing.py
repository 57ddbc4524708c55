"""A process that makes the same decision over and over and times each one: a selector's, or, to compare, a bare SDK span.

The selector has learned of 1,000 outcomes before, and its thread looks once a second, as in a program.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Mapping

from benchmarks.children import BenchmarkError, arguments, serve
from benchmarks.subjects.bare import ten_set_attributes
from benchmarks.subjects.names import CHOICE_IN_CONTEXT, CHOICE_LEARNED, SET_ATTRIBUTE
from benchmarks.subjects.tracing import Traced
from benchmarks.subjects.workload import same_events
from otel_feedback import AgentSelector

__all__ = ["Subject"]

AGENTS = ("planner", "writer", "solver", "critic", "coder")
TOPICS = ("billing", "code", "law", "chat")
OUTCOMES = 1_000
UNTIMED_CALLS = 50


class Subject:
    """One thing to do."""

    def __init__(self, name: str) -> None:
        if name == SET_ATTRIBUTE:
            self._call: Callable[[], object] = functools.partial(ten_set_attributes, Traced().tracer())
            return
        is_contextual = name == CHOICE_IN_CONTEXT
        self._selector = selector = AgentSelector(AGENTS, contextual=["topic"] if is_contextual else (), seed=1)
        for number in range(OUTCOMES):
            choice = selector.choose({"topic": TOPICS[number % 4]})
            choice.learn(float(AGENTS.index(choice.name) == number % 4))
        selector.refresh()
        if selector.policy == "thompson:0":
            raise BenchmarkError("nothing was learned")
        self._call = selector.choose
        if is_contextual:
            contexts = itertools.cycle([{"topic": topic} for topic in TOPICS])
            self._call = lambda: selector.choose(next(contexts))
        elif name == CHOICE_LEARNED:
            events = itertools.cycle(list(same_events(4_000, time.time())))
            self._call = lambda: selector.choose().learn(next(events))

    def measure(self, calls: int) -> Mapping[str, list[int]]:
        """Make the calls and return the wall time of each in nanoseconds."""
        for _ in range(UNTIMED_CALLS):
            self._call()
        clock, call = time.perf_counter_ns, self._call
        times = [clock()]
        for _ in range(calls):
            call()
            times.append(clock())
        return {"single_ns": [end - start for start, end in itertools.pairwise(times)]}


def _main() -> None:
    subject = Subject(arguments()["subject"])
    serve(lambda request: subject.measure(request["calls"]))


if __name__ == "__main__":
    _main()
