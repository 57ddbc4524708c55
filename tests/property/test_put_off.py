"""Spans of any trees that end in any order, on any threads: what is put off, or read back after a crash, is what is converted at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import example, given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span, StatusCode

from otel_feedback.convert.conventions.builtin import CONVENTIONS
from otel_feedback.convert.outcomes import Outcomes
from otel_feedback.events.model import OutcomeEvent
from otel_feedback.journal.memory import MemoryJournal
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from otel_feedback.pipeline.processor import OutcomeSpanProcessor
from tests.replay.test_put_off import RULES, Kept, facts, fail
from tests.unit.convert.test_own_put_off import Counted

CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o-mini", "gen_ai.provider.name": "openai"}
KINDS: list[dict[str, Any]] = [
    {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "a"},
    {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "b", "gen_ai.conversation.id": "c"},
    {"gen_ai.operation.name": "invoke_agent"},
    {**CHAT, "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 2, "gen_ai.response.finish_reasons": ["stop"]},
    {**CHAT, "gen_ai.usage.input_tokens": 7, "gen_ai.response.finish_reasons": ["length"]},
    {**CHAT, "gen_ai.usage.input_tokens": 7, "gen_ai.usage.output_tokens": 2, "gen_ai.response.id": "r-1"},
    {**CHAT, "gen_ai.request.stream": True},
    {**CHAT, "gen_ai.usage.input_tokens": -1, "gen_ai.usage.output_tokens": 2**70, "gen_ai.response.finish_reasons": [1, 2]},
    {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "t", "gen_ai.tool.call.id": "i"},
    {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "t"},
    {"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "e", "gen_ai.usage.input_tokens": 3},
    {"openinference.span.kind": "CHAIN", "session.id": "s", "metadata": '{"user_id": "u", "k": 1}', "tag.tags": ["x", "y"]},
    {"openinference.span.kind": "AGENT", "metadata": '{"cut": "of'},
    {"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o", "llm.token_count.prompt": 5, "llm.token_count.total": 9},
    {"traceloop.span.kind": "task", "traceloop.entity.name": "x", "traceloop.association.properties.user_id": "u"},
    {"langfuse.observation.type": "generation", "langfuse.observation.usage_details": '{"input": 4, "output": 1}'},
    {"outcome.action_type": "agent", "gen_ai.agent.name": "own", "outcome.own_tokens": 30, "outcome.run_id": "run"},
    {"outcome.action_type": "tool", "outcome.status": "failure", "outcome.metadata.x": 1.5},
    {"http.request.method": "GET"},
    {},
]  # fmt: skip
OWN = next(at for at, kind in enumerate(KINDS) if "outcome.own_tokens" in kind)


class Made(NamedTuple):
    """One span: what is above it, what it says and when, and whether it fails; `late` by how much it ends beyond its start."""

    above: int
    kind: int
    scope: int
    is_early: bool
    has_failed: bool
    thread: int
    late_ns: int


SPANS = st.lists(
    st.builds(
        Made, st.integers(0, 12), st.integers(0, len(KINDS) - 1), st.integers(0, 1), st.booleans(),
        st.integers(0, 9).map(lambda drawn: drawn == 0), st.integers(0, 2), st.sampled_from([5_000_000, 0, -3, 10**9, 1]),
    ),
    min_size=1, max_size=20,
)  # fmt: skip


class Played:
    """The spans, begun and ended by these steps: an even number begins the next one, an odd one ends one that is open."""

    def __init__(self, spans: list[Made], steps: list[int], notes: Kept | None) -> None:
        self.events: dict[str, OutcomeEvent] = {}
        self.revisions: list[tuple[str, int]] = []
        pipeline = FeedbackPipeline(new_journal=lambda: MemoryJournal(1 << 24), rules=RULES)
        processor = OutcomeSpanProcessor(pipeline)
        self.outcomes = processor.outcomes = Outcomes(self.take, CONVENTIONS, RULES, notes=notes, failed=fail)
        provider = TracerProvider(shutdown_on_exit=False, id_generator=Counted())
        provider.add_span_processor(processor)
        self.now_ns = 1_700_000_000_000_000_000
        opened: list[tuple[Span, Made, int]] = []
        begun: list[Span] = []
        for step in steps:
            if step % 2 == 0 and len(begun) < len(spans):
                made = spans[len(begun)]
                span = self.begin(provider, made, begun)
                opened.append((span, made, self.now_ns))
                begun.append(span)
            elif opened:
                self.end(*opened.pop(step // 2 % len(opened)))
            if step % 11 == 0 and notes is not None:
                self.outcomes.catch_up()
        while opened:
            self.end(*opened.pop())
        assert pipeline.metrics()["not_recorded"] == {}

    def begin(self, provider: TracerProvider, made: Made, begun: list[Span]) -> Span:
        above = begun[made.above % len(begun)] if begun and made.above else None
        context = Context() if above is None else trace.set_span_in_context(above, Context())
        self.now_ns += 1_000_000
        return provider.get_tracer(f"scope{made.scope}").start_span(
            f"s{made.kind}", context, attributes=KINDS[made.kind] if made.is_early else None, start_time=self.now_ns
        )

    def end(self, span: Span, made: Made, start_ns: int) -> None:
        span.set_attributes(KINDS[made.kind])
        if made.has_failed:
            span.set_status(StatusCode.ERROR, "it broke")
        self.now_ns += 1_000_000
        at_ns = start_ns + made.late_ns if made.late_ns < 5_000_000 else self.now_ns
        on_thread(made.thread, lambda: span.end(at_ns))

    def take(self, event: OutcomeEvent, key: str, sampled: bool, is_told: bool) -> OutcomeEvent:
        self.revisions.append((event.event_id, event.revision))
        self.events[event.event_id] = event
        return event


def on_thread(number: int, do: Callable[[], None]) -> None:
    if number == 0:
        do()
        return
    thread = threading.Thread(target=do)
    thread.start()
    thread.join()


@settings(max_examples=400)
@given(SPANS, st.lists(st.integers(0, 99), max_size=60))
@example([Made(0, OWN, 0, True, False, 0, 5_000_000), Made(1, 3, 0, False, True, 0, 0)], [0, 0])
@example(
    [Made(0, 3, 0, False, False, 0, 5_000_000)] * 9
    + [Made(0, 3, 1, True, False, 0, 5_000_000), Made(9, 0, 0, False, False, 0, 5_000_000)],
    [0] * 11,
)
def test_what_is_put_off_says_the_same(spans: list[Made], steps: list[int]) -> None:
    at_once, notes = Played(spans, steps, None), Kept()
    later = Played(spans, steps, notes)
    lost = {**later.events, **{event.event_id: event for event in notes.lost()}}
    later.outcomes.catch_up()
    assert facts(later.events) == facts(at_once.events)
    assert not notes.notes
    for played in (at_once, later):
        assert len(set(played.revisions)) == len(played.revisions)
        if OWN not in {made.kind for made in spans}:  # which says itself what it used, with those below it
            roots = [event for event in played.events.values() if event.parent_event_id is None]
            own = sum(event.own_tokens or 0 for event in played.events.values())
            assert sum(event.tokens_used or 0 for event in roots) == own
    assert without_place(facts(lost)) == without_place(facts(at_once.events))


def without_place(told: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Leave out what was told too early: where a call turns out to be told of twice, the one goes below the other, and what is below
    it has said its root and depth before. Who reads all after a crash knows better.
    """
    return {event_id: {**one, "root_event_id": None, "depth": None} for event_id, one in told.items()}
