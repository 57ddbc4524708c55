"""Sums over made-up traces: own amounts, the roots' inclusive ones and the truth are the same, however spans end."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from otel_feedback import bootstrap
from otel_feedback.convert.pricing import Price
from otel_feedback.convert.rules import Rules
from otel_feedback.convert.usage import TokenUsage
from otel_feedback.events import codec
from otel_feedback.events.model import OutcomeEvent
from otel_feedback.events.usage import Usage
from otel_feedback.journal.memory import MemoryJournal
from otel_feedback.pipeline.pipeline import AnEnded, FeedbackPipeline
from otel_feedback.pipeline.processor import OutcomeSpanProcessor
from tests.property.span_trees import RATE, Plan, Player, make_plan, totals_of


class Recording(FeedbackPipeline):
    """Keeps every revision."""

    revisions: list[OutcomeEvent]

    def accept(
        self, event: OutcomeEvent, key: str, sampled: bool, is_told: bool = False, *, is_clean: bool = False
    ) -> OutcomeEvent | None:
        return self._note(super().accept(event, key, sampled, is_told, is_clean=is_clean))

    def accept_ended(self, ended: AnEnded, key: str, sampled: bool) -> AnEnded | OutcomeEvent | None:
        taken = super().accept_ended(ended, key, sampled)
        self._note(None if taken is None else ended.event())
        return taken

    def _note(self, taken: OutcomeEvent | None) -> OutcomeEvent | None:
        assert taken is not None
        self.revisions.append(taken)
        return taken


def priced(model: str | None, provider: str | None, usage: TokenUsage | Usage, when_ns: int) -> Price:
    return Price(((usage.input or 0) + (usage.output or 0)) * RATE, "test", None)


def play(plan: Plan, rng: random.Random, *, is_priced: bool) -> tuple[list[OutcomeEvent], dict[str, Plan]]:
    """Return all revisions of all events of a trace, and the plans of spans by their ids."""
    rules = Rules(price=priced if is_priced else None)
    pipeline = Recording(new_journal=lambda: MemoryJournal(1 << 24), rules=rules)
    pipeline.revisions = []
    provider = TracerProvider(sampler=ALWAYS_ON, shutdown_on_exit=False)
    provider.add_span_processor(OutcomeSpanProcessor(pipeline))
    with bootstrap.stand_in(pipeline, provider):
        player = Player(provider, rng, is_priced=is_priced)
        player.play(plan)
        pipeline.shutdown()
    assert pipeline.metrics()["not_recorded"] == {}
    return pipeline.revisions, player.plans


def newest(revisions: list[OutcomeEvent]) -> dict[str, OutcomeEvent]:
    return {event.event_id: event for event in revisions}


@settings(max_examples=300)
@given(st.integers(0, 2**64 - 1), st.booleans())
def test_nothing_is_counted_twice_and_nothing_is_lost(seed: int, is_priced: bool):
    rng = random.Random(seed)
    plan = make_plan(rng, is_priced=is_priced)
    revisions, plans = play(plan, rng, is_priced=is_priced)
    events = newest(revisions)
    check_revisions(revisions)
    check_places(events)
    check_inclusive(events)
    check_latency(events)
    check_complete(events, plans)
    truth = totals_of(plan, is_priced=is_priced)
    roots = [event for event in events.values() if event.parent_event_id is None]
    assert sum(event.own_tokens or 0 for event in events.values()) == truth.tokens
    assert sum(event.tokens_used or 0 for event in roots) == truth.tokens
    assert sum(event.own_cost or 0 for event in events.values()) == pytest.approx(truth.cost)
    assert sum(event.cost_estimate or 0 for event in roots) == pytest.approx(truth.cost)
    assert sum(event.llm_calls or 0 for event in roots) == truth.calls


def check_revisions(revisions: list[OutcomeEvent]) -> None:
    """Each is valid, and a later one of the same event has a higher number."""
    latest: dict[str, int] = {}
    for event in revisions:
        codec.validate(event)
        assert event.revision == latest.get(event.event_id, 0) + 1
        latest[event.event_id] = event.revision


def check_places(events: dict[str, OutcomeEvent]) -> None:
    """A parent exists, is no descendant, and says the same of root and depth."""
    for event in events.values():
        if event.parent_event_id is None:
            assert (event.depth, event.root_event_id) == (0, event.event_id)
            continue
        parent = events[event.parent_event_id]
        assert event.depth == (parent.depth or 0) + 1
        assert event.root_event_id == parent.root_event_id


def check_inclusive(events: dict[str, OutcomeEvent]) -> None:
    """What an event includes is its own and what those below it include."""
    tokens: dict[str | None, int] = defaultdict(int)
    cost: dict[str | None, float] = defaultdict(float)
    for event in events.values():
        tokens[event.parent_event_id] += event.tokens_used or 0
        cost[event.parent_event_id] += event.cost_estimate or 0
    for event in events.values():
        assert (event.tokens_used or 0) == (event.own_tokens or 0) + tokens[event.event_id]
        assert (event.cost_estimate or 0) == pytest.approx((event.own_cost or 0) + cost[event.event_id])


def check_latency(events: dict[str, OutcomeEvent]) -> None:
    """The latency of model calls is the time in which at least one was under way."""
    spans: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for event in events.values():
        if event.action_type != "llm" or event.start_time is None or event.end_time is None:
            continue
        above: OutcomeEvent | None = event
        while above is not None:
            spans[above.event_id].append((event.start_time.timestamp(), event.end_time.timestamp()))
            above = events.get(above.parent_event_id or "")
    for event in events.values():
        covered_s, until = 0.0, 0.0
        for start, end in sorted(spans[event.event_id]):
            covered_s += max(0.0, end - max(start, until))
            until = max(until, end)
        assert (event.llm_latency_ms or 0.0) == pytest.approx(covered_s * 1e3, abs=0.05)


def check_complete(events: dict[str, OutcomeEvent], plans: dict[str, Plan]) -> None:
    """Amounts are complete unless a span below never ended."""
    for event in events.values():
        plan = plans[event.span_id or ""]
        is_open = any(below.end == "never" for below in plan.all() if below is not plan)
        assert event.usage_complete is not is_open
