"""Spans that say by `outcome.*` what they are: converted later, or read back after a crash, they are what they are at once."""

from __future__ import annotations

import random
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import Span

from otel_feedback.convert.conventions.builtin import CONVENTIONS
from otel_feedback.convert.outcomes import Outcomes
from otel_feedback.events.model import OutcomeEvent
from otel_feedback.journal.memory import MemoryJournal
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from otel_feedback.pipeline.processor import OutcomeSpanProcessor
from tests.replay.test_put_off import RULES, Kept, facts, fail

OWN: list[dict[str, Any]] = [
    {
        "outcome.action_type": "agent", "gen_ai.agent.name": "a", "outcome.tags": ["t", "u"], "outcome.run_id": "r-1",
        "outcome.workflow_id": "w", "outcome.metadata.step": 1, "outcome.metadata.ratio": float("nan"),
    },
    {
        "outcome.action_type": "llm", "gen_ai.request.model": "gpt-4o-mini", "gen_ai.provider.name": "openai",
        "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 2, "outcome.llm_calls": 1,
    },
    {"outcome.action_type": "tool", "gen_ai.tool.name": "t", "outcome.status": "failure", "error.type": "TimeoutError"},
    {"outcome.action_type": "tool", "outcome.duration_ms": "soon", "gen_ai.input.messages": "not read"},
]  # fmt: skip
OTHERS: list[dict[str, Any]] = [
    {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "b"},
    {
        "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o-mini", "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 1, "gen_ai.response.finish_reasons": ["stop"],
    },
]  # fmt: skip


class Counted(IdGenerator):
    """The same ids in each run."""

    def __init__(self) -> None:
        self._last = 0

    def generate_span_id(self) -> int:
        self._last += 1
        return self._last

    def generate_trace_id(self) -> int:
        return self.generate_span_id() << 64


class Played:
    """Trees of spans, the same for the same seed, and their newest events."""

    def __init__(self, seed: int, notes: Kept | None) -> None:
        self.events: dict[str, OutcomeEvent] = {}
        self.random = random.Random(seed)
        self.now_ns = 1_700_000_000_000_000_000
        pipeline = FeedbackPipeline(new_journal=lambda: MemoryJournal(1 << 26), rules=RULES)
        processor = OutcomeSpanProcessor(pipeline)
        self.outcomes = processor.outcomes = Outcomes(self.take, CONVENTIONS, RULES, notes=notes, failed=fail)
        self.provider = TracerProvider(shutdown_on_exit=False, id_generator=Counted())
        self.provider.add_span_processor(processor)
        for _ in range(20):
            self.run(None, 3)

    def run(self, above: Span | None, levels: int) -> None:
        context = Context() if above is None else trace.set_span_in_context(above, Context())
        attributes = self.random.choice(OWN if self.random.random() < 0.7 else OTHERS)
        known = attributes if self.random.random() < 0.8 else None
        tracer = self.provider.get_tracer(self.random.choice(["someone", "another"]))
        span = tracer.start_span("s", context, attributes=known, start_time=self.later())
        for _ in range(self.random.randrange(4) if levels else 0):
            self.run(span, levels - 1)
        span.set_attributes(attributes)
        span.end(self.later())
        if self.random.random() < 0.05:
            self.outcomes.catch_up()

    def later(self) -> int:
        self.now_ns += self.random.randrange(1, 5_000_000)
        return self.now_ns

    def take(self, event: OutcomeEvent, key: str, sampled: bool, is_told: bool) -> OutcomeEvent:
        self.events[event.event_id] = event
        return event


@pytest.mark.parametrize("seed", range(10))
def test_what_is_put_off_says_the_same(seed: int) -> None:
    at_once, notes = Played(seed, None), Kept()
    later = Played(seed, notes)
    lost = {**later.events, **{event.event_id: event for event in notes.lost()}}
    later.outcomes.catch_up()
    assert facts(later.events) == facts(at_once.events)
    assert facts(lost) == facts(at_once.events)
    assert not notes.notes
    assert notes.written > 20
    assert "not read" not in repr(at_once.events)
