"""Spans of somebody else's around each other and around ours: who is above whom, what never ends, what is wanted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, TraceFlags

import otel_feedback as feedback
from otel_feedback import bootstrap
from otel_feedback.convert.pricing import Price
from otel_feedback.convert.rules import Rules
from otel_feedback.convert.tree import MAX_NODES
from otel_feedback.convert.usage import TokenUsage
from otel_feedback.events.model import OutcomeEvent
from otel_feedback.events.usage import Usage
from otel_feedback.journal.memory import MemoryJournal
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from otel_feedback.pipeline.processor import OutcomeSpanProcessor

AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "a"}
TOOL = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "t"}
CALL = {
    "gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 10,
    "gen_ai.usage.output_tokens": 2,
}  # fmt: skip


class Traced:
    """A provider and its events."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.pipeline = FeedbackPipeline(new_journal=lambda: MemoryJournal(1 << 24), ring_size=50_000, rules=rules)
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(OutcomeSpanProcessor(self.pipeline))

    def start(
        self, name: str, attributes: dict[str, Any] | None = None, above: Span | None = None, **given: Any
    ) -> Span:
        context = Context() if above is None else trace.set_span_in_context(above, Context())
        return self.provider.get_tracer("someone").start_span(name, context, attributes=attributes, **given)

    def event(self, span: Span) -> OutcomeEvent:
        found = [event for event in self.events() if event.span_id == f"{span.get_span_context().span_id:016x}"]
        assert len(found) == 1
        return found[0]

    def events(self) -> list[OutcomeEvent]:
        return self.pipeline.get_recent_events(50_000)


@pytest.fixture
def traced() -> Traced:
    return Traced()


@pytest.fixture
def ours(traced: Traced) -> Iterator[Traced]:
    """The same, and `action()` uses it."""
    with bootstrap.stand_in(traced.pipeline, traced.provider):
        yield traced


# -- who is above whom -------------------------------------------------------------------------------------


def test_the_parent_is_the_nearest_action_and_plumbing_is_passed_over(traced: Traced):
    agent = traced.start("a", AGENT)
    plain = traced.start("plain", {}, agent)
    http = traced.start("POST", {"http.request.method": "POST"}, plain)
    call = traced.start("chat", CALL, http)
    for span in (call, http, plain, agent):
        span.end()
    assert [event.action_type for event in traced.events()] == ["llm", "agent"]
    assert traced.event(call).parent_event_id == traced.event(agent).event_id
    assert (traced.event(call).depth, traced.event(call).agent_name) == (1, "a")
    assert traced.event(agent).tokens_used == 12


def test_attributes_that_come_with_the_end_correct_parents_and_depths_below(traced: Traced):
    agent = traced.start("a")
    tool = traced.start("t", {}, agent)
    inner = traced.start("b", {}, tool)
    call = traced.start("chat", {}, inner)
    for span, attributes in ((call, CALL), (inner, {**AGENT, "gen_ai.agent.name": "b"}), (tool, TOOL), (agent, AGENT)):
        span.set_attributes(attributes)
        span.end()
    assert [traced.event(span).depth for span in (agent, tool, inner, call)] == [0, 1, 2, 3]
    assert traced.event(call).agent_name == "b"


def test_an_agent_around_one_of_the_same_name_is_a_workflow(traced: Traced):
    outer = traced.start("a", AGENT)
    inner = traced.start("a", AGENT, outer)
    inner.end()
    outer.end()
    assert (traced.event(outer).action_type, traced.event(inner).action_type) == ("workflow", "agent")


def test_an_agent_that_a_tool_asks_does_not_make_a_workflow_of_the_one_that_has_the_tool(traced: Traced):
    outer = traced.start("a", AGENT)
    tool = traced.start("t", TOOL, outer)
    inner = traced.start("a", AGENT, tool)
    for span in (inner, tool, outer):
        span.end()
    assert traced.event(outer).action_type == "agent"


@pytest.mark.parametrize("is_remote", [True, False])
def test_a_span_below_one_that_is_not_here_is_a_root(traced: Traced, is_remote: bool):
    above = NonRecordingSpan(SpanContext(5, 6, is_remote, TraceFlags(TraceFlags.SAMPLED)))
    call = traced.start("chat", CALL, above)
    call.end()
    event = traced.event(call)
    assert (event.parent_event_id, event.root_event_id, event.depth) == (None, event.event_id, 0)


# -- what does not end -------------------------------------------------------------------------------------


def test_what_is_open_when_its_root_ended_well_is_pending_and_cancelled_in_the_end(traced: Traced):
    agent = traced.start("a", AGENT)
    tool = traced.start("t", TOOL, agent)
    agent.end()
    event = traced.event(tool)
    assert (event.status, event.end_time, event.metadata["never_ended"]) == ("pending", None, True)
    traced.pipeline.shutdown()
    assert (traced.event(tool).status, traced.event(tool).revision) == ("cancelled", 2)


def test_what_is_open_when_the_program_ends_is_cancelled(traced: Traced):
    agent = traced.start("a", AGENT)
    traced.pipeline.shutdown()
    assert traced.event(agent).status == "cancelled"


def test_what_is_open_for_too_long_is_given_up():
    traced = Traced(Rules(open_s=0.0))
    agent = traced.start("a", AGENT)
    traced.pipeline.outcomes.tend()
    assert traced.event(agent).metadata["never_ended"] is True
    agent.end()
    assert (traced.event(agent).status, traced.event(agent).revision) == ("success", 2)


def test_the_oldest_is_given_up_where_too_many_are_open(traced: Traced):
    agent = traced.start("a", AGENT)
    for _ in range(MAX_NODES):
        traced.start("plain")
    assert traced.event(agent).status == "cancelled"
    agent.end()
    assert (traced.event(agent).status, traced.event(agent).revision) == ("success", 2)


def test_what_ends_after_all_corrects_its_event_and_those_above(traced: Traced):
    agent = traced.start("a", AGENT)
    call = traced.start("chat", {"gen_ai.operation.name": "chat"}, agent)
    agent.end()
    assert (traced.event(agent).usage_complete, traced.event(agent).tokens_used) == (False, None)
    call.set_attributes(CALL)
    call.end()
    assert (traced.event(call).status, "never_ended" in traced.event(call).metadata) == ("success", False)
    assert (traced.event(agent).usage_complete, traced.event(agent).tokens_used) == (True, 12)


def test_what_was_used_below_a_span_that_never_ends_counts_above_it(traced: Traced):
    agent = traced.start("a", AGENT)
    tool = traced.start("t", TOOL, agent)
    traced.start("chat", CALL, tool).end()
    traced.start("chat", CALL, tool)  # never ends either, and says its tokens
    agent.end()
    assert (traced.event(agent).tokens_used, traced.event(agent).llm_calls) == (24, 2)


def test_amounts_are_complete_when_nothing_is_open_at_any_depth(traced: Traced):
    agent = traced.start("a", AGENT)
    tool = traced.start("t", TOOL, agent)
    call = traced.start("chat", CALL, tool)
    tool.end()
    agent.end()
    assert traced.event(agent).usage_complete is False
    call.end()
    assert traced.event(agent).usage_complete is True


# -- around and below our own ------------------------------------------------------------------------------


def test_an_action_around_instrumented_calls_counts_them_once(ours: Traced):
    with feedback.action("mine", session_id="s", run_id="r") as act:
        call = ours.provider.get_tracer("someone").start_span("chat", attributes=CALL)
        call.end()
        act.add_usage(input_tokens=10, output_tokens=2)
    assert act.event is not None
    assert (act.event.tokens_used, act.event.own_tokens, act.event.llm_calls) == (12, 0, 1)
    event = ours.event(call)
    assert (event.parent_event_id, event.session_id, event.run_id) == (act.event.event_id, "s", "r")


def test_an_action_below_instrumented_spans_stands_below_them(ours: Traced):
    agent = ours.start("a", AGENT)
    with trace.use_span(agent), feedback.action("mine") as act:
        act.add_usage(input_tokens=3, output_tokens=1)
    agent.end()
    assert act.event is not None
    assert act.event.parent_event_id == ours.event(agent).event_id
    assert (ours.event(agent).tokens_used, ours.event(agent).llm_calls) == (4, 1)


# -- what is wanted ----------------------------------------------------------------------------------------


def test_only_kinds_that_are_wanted_become_events():
    traced = Traced(Rules(kinds=frozenset({"agent"})))
    agent = traced.start("a", AGENT)
    traced.start("chat", CALL, agent).end()
    agent.end()
    assert [event.action_type for event in traced.events()] == ["agent"]
    assert (traced.event(agent).tokens_used, traced.event(agent).llm_calls) == (12, 1)


def test_a_call_is_priced_and_its_cost_counts_above_it():
    def price(model: str | None, provider: str | None, usage: TokenUsage | Usage, when_ns: int) -> Price:
        return Price(0.25, "test", "1")

    traced = Traced(Rules(price=price))
    agent = traced.start("a", AGENT)
    call = traced.start("chat", CALL, agent)
    said = traced.start("chat", {**CALL, "gen_ai.usage.cost": 0.5}, agent)
    for span in (call, said, agent):
        span.end()
    assert (traced.event(call).own_cost, traced.event(call).metadata["price_source"]) == (0.25, "test")
    assert (traced.event(said).own_cost, "price_source" in traced.event(said).metadata) == (0.5, False)
    assert (traced.event(agent).own_cost, traced.event(agent).cost_estimate) == (None, 0.75)


# -- an action above that is of another process ------------------------------------------------------------


def test_what_is_below_an_action_whose_parent_is_elsewhere_stands_where_that_says(ours: Traced):
    """An action of our own that says so in its attributes, as one does in a forked child."""
    place = {"outcome.parent_event_id": "up", "outcome.root_event_id": "top", "outcome.depth": 3}
    own = ours.start("own", {"outcome.action_type": "serve", **place})
    agent = ours.start("a", AGENT, own)
    with trace.use_span(agent), feedback.action("inner") as inner:
        pass
    call = ours.start("chat", CALL, agent)
    for span in (call, agent, own):
        span.end()
    assert inner.event is not None
    assert ours.event(own).depth == 3
    for event, depth, above in ((ours.event(agent), 4, own), (ours.event(call), 5, agent), (inner.event, 5, agent)):
        assert (event.root_event_id, event.depth) == ("top", depth)
        assert event.parent_event_id == ours.event(above).event_id


def test_of_several_that_never_end_each_ends_as_what_is_below_it_did(traced: Traced):
    agent = traced.start("a", AGENT)
    tool = traced.start("t", TOOL, agent)
    call = traced.start("chat", {"gen_ai.operation.name": "chat"}, tool)
    call.record_exception(ValueError("no"))
    call.set_status(trace.Status(trace.StatusCode.ERROR))
    call.end()
    traced.pipeline.shutdown()
    found = [(event.action_type, event.status.value, event.error_type) for event in traced.events()]
    assert found == [(kind, "failure", "ValueError") for kind in ("llm", "tool", "agent")]
