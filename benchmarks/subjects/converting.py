"""A process that makes traces of agents, model calls and tools as instrumentation does, with and without our processor.

What is measured is the CPU time of the thread that makes the spans: it computes, and waits for nobody. Nothing exports
spans. Conversion alone is what happens up to a filter that drops each event: the span's attributes are read, the event is
made, added up with those around it, priced, and its secrets are taken out; its JSON is not made, and the journal has
nothing. The filter counts, which shows that each span became an event.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import logging
from collections.abc import Callable, Iterator

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Span, Tracer, set_span_in_context

import otel_feedback as feedback
from benchmarks.children import BenchmarkError, arguments, serve_subject
from benchmarks.subjects.bare import ten_set_attributes
from benchmarks.subjects.conventions import CONVENTIONS, OTEL_GENAI, Shape, Written
from benchmarks.subjects.names import BARE, CONVERTED, DEEP, MIXED, RECORDED, TEN_ATTRIBUTES, WIDE
from benchmarks.subjects.producing import kafka_away, record, require_journal
from benchmarks.subjects.watch import Watch

__all__ = ["SPANS_OF_AN_AGENT", "Subject"]

SPANS_OF_AN_AGENT = 4
UNTIMED_SPANS = 100  # the process has slept since its last round

Make = Callable[[int, int], None]
"""Makes a trace: its number, and how many spans it is to have."""


class Subject:
    """One way to treat finished spans."""

    def __init__(self, way: str) -> None:
        self._way = way
        self._converted = 0
        self._made = 0
        self._calls: dict[str, Iterator[Shape]] = {}  # of the convention that is measured
        self._provider = TracerProvider(sampler=ALWAYS_ON)
        self._pipeline: feedback.FeedbackPipeline | None = None
        if way != BARE:
            drop = self._drop if way == CONVERTED else None
            self._pipeline = record(self._provider, kafka_away(), filter=drop)

    def _drop(self, event: feedback.OutcomeEvent) -> bool:
        self._converted += event.revision == 1
        return False

    def measure(self, trace: str, spans: int, traces: int) -> float:
        """Make the traces and return the CPU time of a span in microseconds.

        Args:
            trace: A convention, or a shape, or the span with ten attributes with which everything here is compared.
            spans: Of each trace.
            traces: How many.

        Raises:
            BenchmarkError: Not every span became an event, or the events were not where they were to be.
        """
        make = self._maker(trace)
        for _ in range(max(1, UNTIMED_SPANS // spans)):
            make(self._number(), min(spans, UNTIMED_SPANS))
        before = self._events()
        gc.collect()  # it runs as it does in a program, and begins in each round with the same
        with Watch() as watch:
            for _ in range(traces):
                make(self._number(), spans)
        events = self._events() - before
        # in the journal there are revisions, too
        if self._way != BARE and (events < spans * traces if self._way == RECORDED else events != spans * traces):
            raise BenchmarkError(f"{trace}: of {spans * traces} spans there were {events} events")
        if self._pipeline is not None and self._way == RECORDED:
            require_journal(self._pipeline, "disk")
        return watch.thread_ns / (spans * traces) / 1e3

    def _number(self) -> int:
        self._made += 1
        return self._made

    def _events(self) -> int:
        if self._pipeline is None or self._way == CONVERTED:
            return self._converted
        return int(self._pipeline.metrics()["recorded"])

    def _maker(self, trace: str) -> Make:
        if trace == TEN_ATTRIBUTES:
            bare = self._provider.get_tracer("benchmarks")
            return lambda number, spans: ten_set_attributes(bare)
        written = CONVENTIONS.get(trace, OTEL_GENAI)
        tracer = self._provider.get_tracer(written.scope)
        if written.name not in self._calls:
            self._calls = {written.name: itertools.cycle(written.llm_calls())}
        calls = self._calls[written.name]
        if trace in CONVENTIONS:
            return lambda number, spans: _agent_with_calls(tracer, written, calls, number)
        if trace == DEEP:
            return lambda number, spans: _deep(tracer, spans)
        shape = {WIDE: _wide, MIXED: _mixed}[trace]
        return lambda number, spans: shape(tracer, calls, spans)

    def close(self) -> None:
        """Give up what is pending: nobody will ever take it."""
        if self._pipeline is not None:
            self._pipeline.shutdown(timeout_s=0)


def _agent_with_calls(tracer: Tracer, written: Written, calls: Iterator[Shape], number: int) -> None:
    session = {written.session: f"01a203bc-c034-71dd-8c29-{number:012x}"}
    with _current(tracer, written.agent) as agent:
        if written.agent.then:
            agent.set_attributes(written.agent.then)
        agent.set_attributes(session)
        for shape in (next(calls), written.tool, next(calls)):
            with _current(tracer, shape) as span:
                if shape.then:
                    span.set_attributes(shape.then)
                span.set_attributes(session)
                span.set_attributes(shape.at_end)
        agent.set_attributes(written.agent.at_end)


def _current(tracer: Tracer, shape: Shape) -> contextlib.AbstractContextManager[Span]:
    return tracer.start_as_current_span(shape.name, kind=shape.kind, attributes=shape.at_start)


def _start(tracer: Tracer, shape: Shape, parent: Span | None) -> Span:
    context = None if parent is None else set_span_in_context(parent)
    return tracer.start_span(shape.name, context, shape.kind, shape.at_start)


def _call(tracer: Tracer, shape: Shape, parent: Span) -> None:
    span = _start(tracer, shape, parent)
    span.set_attributes(shape.at_end)
    span.end()


def _deep(tracer: Tracer, spans: int) -> None:
    """Each agent asks another one, and waits for it."""
    opened = [_start(tracer, OTEL_GENAI.agent, None)]
    while len(opened) < spans:
        opened.append(_start(tracer, _AGENTS[len(opened) % len(_AGENTS)], opened[-1]))
    for span in reversed(opened):
        span.end()


def _wide(tracer: Tracer, calls: Iterator[Shape], spans: int) -> None:
    """One agent makes all the model calls, one after the other."""
    agent = _start(tracer, OTEL_GENAI.agent, None)
    for _ in range(spans - 1):
        _call(tracer, next(calls), agent)
    agent.end()


def _mixed(tracer: Tracer, calls: Iterator[Shape], spans: int) -> None:
    """Each agent makes nine model calls, then asks another one, and waits for it."""
    opened: list[Span] = []
    while len(opened) * 10 < spans:
        shape = _AGENTS[len(opened) % len(_AGENTS)]
        opened.append(_start(tracer, shape, opened[-1] if opened else None))
        for _ in range(9):
            _call(tracer, next(calls), opened[-1])
    for span in reversed(opened):
        span.end()


_AGENTS = [
    Shape(f"invoke_agent agent_{place}", {**OTEL_GENAI.agent.at_start, "gen_ai.agent.name": f"agent_{place}"}, {})
    for place in range(10)
]  # one with the name of the agent inside it would only run that one


def _main() -> None:
    logging.disable()  # an unreachable broker is what is asked for
    serve_subject(Subject(arguments()["subject"]), "us_a_span")


if __name__ == "__main__":
    _main()
