"""Spans of others of which something goes wrong on the way: what is around them stays right, and nothing is lost silently."""

from __future__ import annotations

import gc
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span

import otel_feedback as feedback
from otel_feedback.conventions import FinishedSpan, Reading
from otel_feedback.convert.node import Node
from otel_feedback.convert.rules import Rules
from otel_feedback.convert.tree import MAX_NODES
from otel_feedback.journal.memory import MemoryJournal
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from otel_feedback.pipeline.processor import OutcomeSpanProcessor
from tests.logs import lines_in, newest
from tests.support import run_python

AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "a"}
CALL = {
    "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o-mini", "gen_ai.provider.name": "openai",
    "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 2, "gen_ai.response.finish_reasons": ["stop"],
}  # fmt: skip


class Raising:
    """A user's convention that fails."""

    name = "raising"
    markers = frozenset({"raise"})

    def matches(self, span: FinishedSpan) -> bool:
        return "raise" in span.attributes

    def read(self, span: FinishedSpan) -> Reading:
        raise ValueError("no")


class Traced:
    """A provider and its events."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.pipeline = FeedbackPipeline(new_journal=lambda: MemoryJournal(1 << 26), ring_size=100_000, rules=rules)
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.processor = OutcomeSpanProcessor(self.pipeline)
        self.provider.add_span_processor(self.processor)

    def start(self, attributes: dict[str, Any], above: Span | None = None) -> Span:
        context = Context() if above is None else trace.set_span_in_context(above, Context())
        return self.provider.get_tracer("someone").start_span("s", context, attributes=attributes)


@pytest.mark.parametrize("order", ["inside out", "outside first"])
def test_what_is_below_a_span_that_cannot_be_converted_counts_above_it(order: str) -> None:
    traced = Traced(Rules(conventions=(Raising(),)))
    agent = traced.start(AGENT)
    broken = traced.start({"raise": True}, agent)
    call = traced.start(CALL, broken)
    for span in (call, broken, agent) if order == "inside out" else (agent, call, broken):
        span.end()
    [found] = traced.pipeline.get_recent_events(action_type="agent")
    assert (found.tokens_used, found.llm_calls, found.usage_complete) == (12, 1, True)
    assert traced.pipeline.metrics()["not_recorded"] == {"unconvertible": 1}


def test_a_span_that_ends_after_the_end_is_counted() -> None:
    traced = Traced()
    opened, plain = traced.start(CALL), traced.start({"http.request.method": "GET"})
    traced.start(CALL).end()
    traced.pipeline.shutdown()
    assert traced.pipeline.metrics()["not_recorded"] == {}
    for span in (opened, plain, traced.start(CALL), traced.start({})):
        span.end()
    assert traced.pipeline.metrics()["not_recorded"] == {"after_shutdown": 2}


@pytest.mark.parametrize("at", range(10))
def test_a_span_that_ends_during_the_end_is_recorded_or_counted(at: int, tmp_path: Path) -> None:
    """And one that has ended is not taken for one that never did."""
    provider = TracerProvider(shutdown_on_exit=False)
    pipeline = feedback.configure(
        tracer_provider=provider, log_file=tmp_path / "log", journal_dir=tmp_path / "journal", enable_otlp=False
    )
    tracer, ended, is_over = provider.get_tracer("someone"), 0, threading.Event()
    tracer.start_span("s", Context(), attributes=CALL).end()  # the journal's thread begins with it
    pipeline.force_flush()

    def work() -> None:
        nonlocal ended
        while not is_over.is_set():
            tracer.start_span("s", Context(), attributes=CALL).end()
            ended += 1

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.002 * (at % 5))
    pipeline.shutdown()
    is_over.set()
    thread.join()
    recorded = newest(lines_in(tmp_path / "log"))
    assert len(recorded) + pipeline.metrics()["not_recorded"].get("after_shutdown", 0) >= 1 + ended
    assert pipeline.metrics()["journal"]["open_actions"] == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
def test_a_span_that_was_open_at_a_fork_is_the_parents_to_end(tmp_path: Path) -> None:
    """Also where the child ends it, too: it would say other things by the same id and revision."""
    program = f"""
        import os
        from opentelemetry import trace
        import otel_feedback as feedback
        pipeline = feedback.configure(service_name="agents")
        tracer = trace.get_tracer("someone")
        with tracer.start_as_current_span("agent", attributes={AGENT!r}):
            with tracer.start_as_current_span("inner", attributes={AGENT | {"gen_ai.agent.name": "b"}!r}):
                if child := os.fork():
                    os.waitpid(child, 0)
                with tracer.start_as_current_span("call", attributes={CALL!r}):
                    pass
        pipeline.shutdown()
        if not child:
            os._exit(0)
        """
    ended = run_python(program, {"OTEL_TRACES_EXPORTER": "none", "OTEL_FEEDBACK_LOG_FILE": str(tmp_path / "log")})
    assert ended.returncode == 0, ended.stderr
    events = lines_in(tmp_path / "log")
    agents = [
        (one["agent_name"], one["depth"], one.get("tokens_used")) for one in events if one["action_type"] == "agent"
    ]
    assert sorted(agents) == [("a", 0, 12), ("b", 1, 12)]
    assert len([one for one in events if one["action_type"] == "llm"]) == 2


def chain(traced: Traced, length: int, *, has_calls: bool = True) -> Span:
    """Each begins before the one above it ends, as tasks do that start the next one."""
    last = traced.start(AGENT)
    for _ in range(length):
        following = traced.start(AGENT if has_calls else {}, last)
        last.end()
        if has_calls:
            traced.start(CALL, following).end()
        last = following
    return last


@pytest.mark.parametrize("is_ended", [True, False], ids=["ends", "is open at the end"])
def test_a_trace_without_end_brings_few_revisions(is_ended: bool) -> None:
    traced = Traced()
    last = chain(traced, 300)
    assert traced.pipeline.metrics()["recorded"] < 300 * 100
    if is_ended:
        last.end()
    traced.pipeline.shutdown()
    found = traced.pipeline.get_recent_events(100_000)
    agents = sorted((event for event in found if event.action_type == "agent"), key=lambda event: event.depth or 0)
    assert [event.tokens_used for event in agents] == [12 * 300, *(12 * (300 - at) for at in range(300))]
    assert {event.usage_complete for event in agents[:-1]} == {is_ended}
    assert sum(event.own_tokens or 0 for event in found) == 12 * 300


def test_a_trace_without_end_takes_no_more_memory_than_others() -> None:
    gc.collect()
    before = sum(isinstance(one, Node) for one in gc.get_objects())
    traced = Traced()
    last = chain(traced, MAX_NODES + 2_000, has_calls=False)
    gc.collect()
    assert sum(isinstance(one, Node) for one in gc.get_objects()) - before < MAX_NODES + 100
    last.end()


@pytest.mark.parametrize("kind", [ValueError, RuntimeError])
def test_an_exception_is_not_taken_for_one_that_had_its_place_in_memory(kind: type[Exception]) -> None:
    """That passed through when the span began, and is no more; the one that is there still is none of the span's."""
    traced = Traced()
    places: set[int] = set()
    for _ in range(20):
        try:
            raise ValueError("first")  # noqa: TRY301 - so that it passes through
        except ValueError as exc:
            places.add(id(exc))
            span, around = traced.start(AGENT), traced.start(AGENT)
            around.end()
        try:
            raise kind("second")  # noqa: TRY301 - so that it passes through
        except kind as exc:
            places.add(id(exc))
            span.end()
    assert len(places) < 40  # else this shows nothing
    assert [event.status for event in traced.pipeline.get_recent_events(40)] == ["success", "failure"] * 20
