"""A process that makes the same call over and over and times each one: an action, or a bare SDK span.

Every subject has a TracerProvider with the SDK's own BatchSpanProcessor, as it is by default, and an exporter that
throws spans away. What is measured is the thread that makes the calls: its wall time, which includes waiting for
the interpreter lock while background threads work, and its CPU time, which does not. The garbage collector runs as
it does in a program. After each round the process shows that all its calls were recorded, and where.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import otel_feedback as feedback
from benchmarks.children import BenchmarkError, Child, arguments, serve
from benchmarks.subjects.bare import attributes_at_start, failing_set_attributes, ten_set_attributes
from benchmarks.subjects.busy import BusyThread
from benchmarks.subjects.names import (
    AT_START,
    FAILING,
    IN_MEMORY,
    NESTED,
    NO_EXPORTER,
    NO_START,
    RAW,
    SET_ATTRIBUTE,
    SET_ATTRIBUTE_BESIDE,
    SET_ATTRIBUTE_FAILING,
    THERE,
)
from benchmarks.subjects.producing import flush, kafka_away, kafka_config, record, require_journal
from benchmarks.subjects.tracing import Traced
from benchmarks.subjects.watch import Watch
from benchmarks.subjects.workload import one_action, one_failing, three_nested

__all__ = ["Subject"]

_BARE = {
    SET_ATTRIBUTE: ten_set_attributes, SET_ATTRIBUTE_BESIDE: ten_set_attributes,
    SET_ATTRIBUTE_FAILING: failing_set_attributes, AT_START: attributes_at_start,
}  # fmt: skip
_OURS: Mapping[str, tuple[Callable[[], None], int]] = {NESTED: (three_nested, 3), FAILING: (one_failing, 1)}
_SETTINGS: Mapping[str, dict[str, Any]] = {IN_MEMORY: {"durability": "memory"}, NO_START: {"emit_start": False}}
_MOST_FAILING = (
    1_900  # fewer than the SDK's queue takes: its thread may come too late for spans that take long to be made
)
_UNTIMED_CALLS = 50  # the process has slept since its last round


class Subject:
    """One way to record ten facts about a piece of work."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        name = self._name = given["subject"]
        self._busy = BusyThread()
        self._traced = Traced()
        self._pipeline: feedback.FeedbackPipeline | None = None
        self._cleanup = contextlib.ExitStack()
        self._producer: Child | None = None  # a plain one, in a process beside this one
        self._call, self._actions = _OURS.get(name, (one_action, 1))
        if name in _BARE:
            self._call = functools.partial(_BARE[name], self._traced.tracer())
            if name == SET_ATTRIBUTE_BESIDE:
                pacing = Child("benchmarks.subjects.pacing", {**given, "subject": RAW})
                self._producer = self._cleanup.enter_context(pacing)
            return
        kafka = None if name == NO_EXPORTER else kafka_config(given) if name == THERE else kafka_away()
        self._pipeline = record(self._traced.provider, kafka, **_SETTINGS.get(name, {}))

    def measure(self, calls: int, rate: int | None, is_busy: bool) -> Mapping[str, Any]:
        """Make the calls and return the wall time of each in nanoseconds, and the CPU time of a call in microseconds.

        Where a call is several actions, both are for one of them, and there are fewer calls.

        Args:
            calls: How many spans they are to make.
            rate: How many a second; None: one right after the other.
            is_busy: Whether a thread that burns Python runs beside.

        Raises:
            BenchmarkError: Not every call was recorded, or not where it was to be.
        """
        for _ in range(_UNTIMED_CALLS):
            self._call()
        before = self._recorded()
        calls //= self._actions
        if self._name in (FAILING, SET_ATTRIBUTE_FAILING):
            calls = min(calls, _MOST_FAILING)
        spans = calls * self._actions
        if self._producer is not None and rate is not None:
            self._producer.send(rate=rate, seconds=calls / rate)
        with self._busy.working() if is_busy else contextlib.nullcontext(), Watch() as watch:
            single_ns = _back_to_back(self._call, calls) if rate is None else _paced(self._call, calls, rate)
        if self._producer is not None:
            self._producer.receive()
        recorded = [after - start for after, start in zip(self._recorded(), before, strict=True)]
        if any(count != spans for count in recorded):
            raise BenchmarkError(f"of {spans} actions {recorded} were recorded as spans and events")
        if self._pipeline is not None:
            require_journal(self._pipeline, "memory" if self._name in (NO_EXPORTER, IN_MEMORY) else "disk")
        if self._name == THERE:  # what is pending would be delivered while others are measured
            self.flush()
        single_ns = [taken / self._actions for taken in single_ns]
        return {"single_ns": single_ns, "cpu_us": watch.thread_ns / spans / 1e3}

    def _recorded(self) -> list[int]:
        spans = [self._traced.exported()]
        return spans if self._pipeline is None else [*spans, self._pipeline.metrics()["recorded"]]

    def flush(self) -> int:
        """Wait until Kafka has everything; return how many events that is."""
        assert self._pipeline is not None
        count: int = self._pipeline.metrics()["recorded"]
        flush(self._pipeline, count)
        return count

    def close(self) -> None:
        """Give up what is pending: nobody will ever take it."""
        if self._pipeline is not None:
            self._pipeline.shutdown(timeout_s=0)
        self._cleanup.close()


def _back_to_back(call: Callable[[], None], calls: int) -> list[int]:
    clock = time.perf_counter_ns
    times = [0] * (calls + 1)
    times[0] = clock()
    for place in range(1, calls + 1):
        call()
        times[place] = clock()
    return [end - start for start, end in itertools.pairwise(times)]


def _paced(call: Callable[[], None], calls: int, rate: int) -> list[int]:
    clock = time.perf_counter_ns
    times = [0] * calls
    begin = clock()
    for place in range(calls):
        left_ns = begin + place * 1_000_000_000 // rate - clock()
        if left_ns > 0:
            time.sleep(left_ns / 1e9)
        start = clock()
        call()
        times[place] = clock() - start
    return times


def _main() -> None:
    logging.disable()  # an unreachable broker is what is asked for
    subject = Subject(arguments())

    def answer(request: Mapping[str, Any]) -> Mapping[str, Any]:
        if "calls" in request:
            return subject.measure(request["calls"], request["rate"], request["is_busy"])
        return {"delivered": subject.flush()}

    serve(answer)
    subject.close()


if __name__ == "__main__":
    _main()
