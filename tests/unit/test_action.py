"""What an action says besides how it ended: identity, nesting, usage, scores, tags, time."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import otel_feedback as feedback
from otel_feedback import bootstrap
from otel_feedback.pipeline.pipeline import FeedbackPipeline


def test_the_snippet(pipeline: FeedbackPipeline, spans: InMemorySpanExporter) -> None:
    with feedback.action(
        "reasoning",
        agent="react_agent",
        agent_type="react",
        workflow_id="wf-1",
        tags=["customer"],
        metadata={"client": "acme"},
    ) as act:
        act.add_usage(model="gpt-4o", input_tokens=900, output_tokens=120, llm_latency_ms=840)
        act.score(quality=0.92, confidence=0.8)
    event = act.event
    assert event is not None
    [span] = spans.get_finished_spans()
    assert span.context is not None
    trace_id, span_id = f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"
    wire = event.to_dict()
    for unsteady in (
        "timestamp",
        "start_time",
        "end_time",
        "duration_ms",
        "latency_ms",
        "cpu_time_ms",
        "memory_used_mb",
    ):
        assert wire.pop(unsteady) is not None, unsteady
    assert wire == {
        "schema_version": "1.0",
        "event_id": f"{trace_id}-{span_id}",
        "revision": 1,
        "action_type": "reasoning",
        "status": "success",
        "severity": "info",
        "agent_name": "react_agent",
        "agent_type": "react",
        "run_id": trace_id,
        "workflow_id": "wf-1",
        "trace_id": trace_id,
        "span_id": span_id,
        "root_event_id": f"{trace_id}-{span_id}",
        "depth": 0,
        "service_name": "test-service",
        "llm_latency_ms": 840.0,
        "llm_calls": 1,
        "tokens_used": 1020,
        "own_tokens": 1020,
        "input_tokens": 900,
        "output_tokens": 120,
        "model": "gpt-4o",
        "usage_complete": True,
        "cost_estimate": 0.00345,
        "own_cost": 0.00345,
        "quality_score": 0.92,
        "confidence_score": 0.8,
        "tags": ["customer"],
        "metadata": {
            "client": "acme",
            "price_source": "genai-prices",
            "price_version": event.metadata["price_version"],
        },
    }
    assert span.name == "reasoning react_agent"
    assert span.attributes is not None
    assert dict(span.attributes).items() >= {
        "outcome.action_type": "reasoning",
        "gen_ai.agent.name": "react_agent",
        "outcome.agent_type": "react",
        "outcome.workflow_id": "wf-1",
        "outcome.tags": ("customer",),
        "outcome.metadata.client": "acme",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 900,
        "gen_ai.usage.output_tokens": 120,
        "outcome.llm_latency_ms": 840.0,
        "outcome.quality_score": 0.92,
        "outcome.confidence_score": 0.8,
        "outcome.status": "success",
    }.items()  # fmt: skip


def test_nested_actions_inherit_unless_told_otherwise(pipeline: FeedbackPipeline) -> None:
    with feedback.action(
        "workflow", agent="boss", workflow_id="wf", run_id="run", correlation_id="c", session_id="s",
        user_id="u", tenant_id="t", tags=["a", "b"], metadata={"k": 1},
    ) as outer:  # fmt: skip
        with feedback.action("tool") as inner:
            with feedback.action("deep", tenant_id="other", tags=[]) as deepest:
                assert feedback.current_action() is deepest
            assert feedback.current_action() is inner
    deep, tool, workflow = pipeline.get_recent_events()
    inherited = ("workflow_id", "run_id", "correlation_id", "session_id", "user_id", "tenant_id", "tags")
    assert [getattr(tool, name) for name in inherited] == [getattr(workflow, name) for name in inherited]
    assert (workflow.workflow_id, workflow.session_id, workflow.tags) == ("wf", "s", ("a", "b"))
    assert (deep.tenant_id, deep.tags, deep.user_id) == ("other", (), "u")
    assert tool.agent_name is None
    assert tool.metadata == {}
    assert [e.parent_event_id for e in (deep, tool, workflow)] == [inner.event_id, outer.event_id, None]
    assert {e.root_event_id for e in (deep, tool, workflow)} == {outer.event_id}
    assert [e.depth for e in (deep, tool, workflow)] == [2, 1, 0]
    assert deep.trace_id == tool.trace_id == workflow.trace_id


def test_usage_adds_up_and_reaches_the_parents(pipeline: FeedbackPipeline) -> None:
    with feedback.action("outer") as outer:
        outer.add_usage(model="m", provider="p", input_tokens=1, output_tokens=2, cost=0.5)
        with feedback.action("middle"), feedback.action("inner") as inner:
            inner.add_usage(input_tokens=10, cached_input_tokens=4, llm_latency_ms=5)
            inner.add_usage(model="m1", output_tokens=20, reasoning_tokens=7, llm_latency_ms=6, cost=0.25)
            inner.add_usage(model="m2")
    leaf, middle, root = pipeline.get_recent_events()
    assert (leaf.input_tokens, leaf.output_tokens, leaf.cached_input_tokens, leaf.reasoning_tokens) == (10, 20, 4, 7)
    assert (leaf.own_tokens, leaf.tokens_used, leaf.llm_calls, leaf.llm_latency_ms, leaf.model) == (30, 30, 3, 11, "m2")
    assert (leaf.own_cost, leaf.cost_estimate) == (0.25, 0.25)
    assert (middle.own_tokens, middle.tokens_used, middle.own_cost, middle.cost_estimate) == (None, 30, None, 0.25)
    assert (root.own_tokens, root.tokens_used, root.llm_calls) == (3, 33, 4)
    assert (root.own_cost, root.cost_estimate, root.provider) == (0.5, 0.75, "p")
    assert sum(e.own_tokens or 0 for e in (leaf, middle, root)) == root.tokens_used


def test_usage_from_many_threads_is_not_lost(pipeline: FeedbackPipeline) -> None:
    with feedback.action("busy") as act, ThreadPoolExecutor(8) as pool:
        for _ in range(400):
            pool.submit(act.add_usage, input_tokens=1, output_tokens=2, cost=0.5)
    assert act.event is not None
    assert (act.event.input_tokens, act.event.output_tokens, act.event.llm_calls) == (400, 800, 400)
    assert act.event.cost_estimate == 200


def test_unknown_is_null_not_zero(pipeline: FeedbackPipeline) -> None:
    with feedback.action("plain") as act:
        pass
    assert act.event is not None
    for name in (
        "tokens_used",
        "own_tokens",
        "input_tokens",
        "llm_calls",
        "cost_estimate",
        "quality_score",
        "agent_name",
    ):
        assert getattr(act.event, name) is None, name
        assert name not in act.event.to_dict()


def test_tags_and_metadata_can_be_added(pipeline: FeedbackPipeline, spans: InMemorySpanExporter) -> None:
    with feedback.action("a", tags=["x"], metadata={"k": 1, "n": {"m": [1, 2]}}) as act:
        act.tag("y", "x")
        act.set_metadata({"k": 2})
        act.set_metadata("one", True)
        act.set_metadata(two=2.5)
    assert act.event is not None
    assert act.event.tags == ("x", "y")
    assert act.event.metadata == {"k": 2, "n.m": [1, 2], "one": True, "two": 2.5}
    [span] = spans.get_finished_spans()
    assert span.attributes is not None
    assert span.attributes["outcome.tags"] == ("x", "y")
    assert span.attributes["outcome.metadata.k"] == 2


def test_an_action_ends_once(pipeline: FeedbackPipeline, caplog: pytest.LogCaptureFixture) -> None:
    with feedback.action("a") as act:
        pass
    first = act.event
    with caplog.at_level(logging.WARNING):
        act.add_usage(input_tokens=5)
        act.fail("late")
    assert "has ended" in caplog.text
    act._end(ValueError("again"))  # pyright: ignore[reportPrivateUsage]
    assert act.event is first
    assert len(pipeline.get_recent_events()) == 1


def test_one_object_can_be_entered_again(pipeline: FeedbackPipeline) -> None:
    again = feedback.action("a", agent="x")
    with again as one, again as two:
        assert one is not two
    with again as three:
        pass
    events = pipeline.get_recent_events()
    assert [e.event_id for e in events] == [two.event_id, one.event_id, three.event_id]
    assert events[0].parent_event_id == one.event_id


def test_decorated_functions_keep_their_face_and_results(pipeline: FeedbackPipeline) -> None:
    @feedback.action("plan", agent="planner")
    def plan(task: str, *, depth: int = 1) -> str:
        """Plan it."""
        return task * depth

    @feedback.action("plan", agent="planner")
    async def plan_async(task: str) -> str:
        await asyncio.sleep(0.01)
        return task

    assert plan("a", depth=2) == "aa"
    assert (plan.__name__, plan.__doc__) == ("plan", "Plan it.")
    assert asyncio.iscoroutinefunction(plan_async)
    assert asyncio.run(plan_async("b")) == "b"
    events = pipeline.get_recent_events()
    assert [e.action_type for e in events] == ["plan", "plan"]
    assert events[1].duration_ms is not None
    assert events[1].duration_ms >= 9, "a coroutine lasts until it has been awaited to its end"
    assert events[0].event_id != events[1].event_id


def test_concurrent_tasks_do_not_see_each_other(pipeline: FeedbackPipeline) -> None:
    async def worker(name: str) -> None:
        async with feedback.action("work", agent=name) as act:
            await asyncio.sleep(0.001)
            assert feedback.current_action() is act
            async with feedback.action("step", agent=name):
                await asyncio.sleep(0.001)

    async def main() -> None:
        async with feedback.action("root"):
            await asyncio.gather(*(worker(f"w{i}") for i in range(20)))

    asyncio.run(main())
    events = {e.event_id: e for e in pipeline.get_recent_events(count=100)}
    for event in events.values():
        if event.action_type == "step":
            assert events[event.parent_event_id or ""].agent_name == event.agent_name
    assert len(events) == 41


def test_context_reaches_threads_that_are_given_it(pipeline: FeedbackPipeline) -> None:
    def in_thread(ctx: context.Context) -> None:
        token = context.attach(ctx)
        with feedback.action("child"):
            pass
        context.detach(token)

    with feedback.action("parent") as parent:
        thread = threading.Thread(target=in_thread, args=(context.get_current(),))
        thread.start()
        thread.join()
    child, _ = pipeline.get_recent_events()
    assert child.parent_event_id == parent.event_id


def test_cpu_time_is_of_this_thread_and_memory_of_this_process(pipeline: FeedbackPipeline) -> None:
    with feedback.action("spin") as spinning:
        sum(i * i for i in range(300_000))
    with feedback.action("sleep") as sleeping:
        threading.Event().wait(0.05)
    spin, sleep = spinning.event, sleeping.event
    assert spin is not None
    assert sleep is not None
    assert spin.cpu_time_ms is not None
    assert sleep.cpu_time_ms is not None
    assert spin.cpu_time_ms > sleep.cpu_time_ms
    assert sleep.duration_ms is not None
    assert sleep.duration_ms >= 49
    assert spin.memory_used_mb is not None
    assert 5 < spin.memory_used_mb < 100_000


def test_the_span_is_current_inside_and_spans_below_are_its_children(
    pipeline: FeedbackPipeline, provider: TracerProvider, spans: InMemorySpanExporter
) -> None:
    with feedback.action("outer"), provider.get_tracer("user").start_as_current_span("user span"):
        with feedback.action("inner"):
            pass
    inner, user, outer = spans.get_finished_spans()
    assert inner.parent is not None
    assert user.parent is not None
    assert user.context is not None
    assert outer.context is not None
    assert inner.parent.span_id == user.context.span_id
    assert user.parent.span_id == outer.context.span_id
    inner_event, outer_event = pipeline.get_recent_events()
    assert inner_event.parent_event_id == outer_event.event_id, "a span that is no event is passed over"
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_a_context_left_attached_elsewhere_logs_no_error(
    pipeline: FeedbackPipeline, caplog: pytest.LogCaptureFixture
) -> None:
    """Entered in one context and left in another, as async fixtures and frameworks do."""
    import contextvars

    scope = feedback.action("a")
    contextvars.copy_context().run(scope.__enter__)
    with caplog.at_level(logging.WARNING):
        scope.__exit__(None, None, None)
    assert "different Context" not in caplog.text
    assert len(pipeline.get_recent_events()) == 1


@pytest.mark.parametrize("where", ["on_end", "_on_ending"])
def test_a_processor_of_somebody_else_that_fails_costs_no_outcome(
    where: str, provider: TracerProvider, pipeline: FeedbackPipeline, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where it comes before ours, which then never hears of the end."""

    class Failing(SpanProcessor):
        pass

    def fail(self: object, span: object) -> None:
        raise RuntimeError("theirs")

    setattr(Failing, where, fail)
    other = TracerProvider(shutdown_on_exit=False)
    other.add_span_processor(Failing())
    other.add_span_processor(feedback.OutcomeSpanProcessor(pipeline))
    with bootstrap.stand_in(pipeline, other), feedback.action("a") as act:
        act.score(quality=0.5)
    assert act.event is not None
    assert [event.quality_score for event in pipeline.get_recent_events()] == [0.5]
    assert "a span processor failed at the end of an action" in caplog.text


def test_what_a_child_costs_by_the_price_table_counts_for_its_parents(
    pipeline: FeedbackPipeline, spans: InMemorySpanExporter
) -> None:
    with feedback.action("outer"), feedback.action("inner") as inner:
        inner.add_usage(model="gpt-4o", input_tokens=1_000, output_tokens=100)
    child, parent = pipeline.get_recent_events()
    assert child.own_cost == child.cost_estimate == pytest.approx(0.0035)
    assert (parent.own_cost, parent.cost_estimate) == (None, child.cost_estimate)
    assert all("outcome.cost_estimate" not in (span.attributes or {}) for span in spans.get_finished_spans())


@pytest.mark.parametrize("usd", [0.1 + 0.2, 999.999_999_999_9, 1e9, 1e300])
def test_what_a_price_function_answers_is_the_cost_whatever_its_size(usd: float, provider: TracerProvider) -> None:
    feedback.configure(tracer_provider=provider, prices=lambda *_: usd)
    with feedback.action("work") as act:
        act.add_usage(model="m", input_tokens=1)
    assert act.event is not None
    assert act.event.own_cost == round(usd, 12)


def test_a_processor_of_ours_with_an_on_start_of_its_own_hears_of_every_action(
    pipeline: FeedbackPipeline, provider: TracerProvider
) -> None:
    heard: list[str] = []

    class Hearing(feedback.OutcomeSpanProcessor):
        def on_start(self, span: Span, parent_context: Context | None = None) -> None:
            heard.append(span.name)
            super().on_start(span, parent_context)

    provider.add_span_processor(Hearing(pipeline))
    with feedback.action("above"), feedback.action("below"):
        pass
    assert heard == ["above", "below"]


def test_what_others_say_of_experiments_and_choices_on_its_span_is_in_its_event(pipeline: FeedbackPipeline) -> None:
    with feedback.action("reasoning", agent="planner") as act:
        trace.get_current_span().set_attributes({
            "outcome.experiment.name": "prompt-7", "outcome.experiment.variant": "b",
            "outcome.experiment.propensity": 0.25, "outcome.choice.candidates": ("planner", "writer"),
            "outcome.choice.policy": "thompson:42", "outcome.choice.propensity": 0.7,
        })  # fmt: skip
    with feedback.action("reasoning") as other:
        pass
    event, without = act.event, other.event
    assert event is not None
    assert without is not None
    assert (event.experiment, event.variant, event.propensity) == ("prompt-7", "b", 0.25)
    assert event.choice_candidates == ("planner", "writer")
    assert (event.choice_policy, event.choice_propensity) == ("thompson:42", 0.7)
    assert not {"experiment", "variant", "propensity", "choice_candidates", "choice_policy"} & set(without.to_dict())


def test_actions_that_are_alike_leave_the_garbage_collector_little_to_look_at(pipeline: FeedbackPipeline) -> None:
    """Its span, as it is kept until somebody reads it, and not what is the same for all of them."""

    def act() -> None:
        with feedback.action("x", agent="a", tags=["customer", "north"], metadata={"client": "acme"}) as one:
            one.add_usage(model="gpt-4o", input_tokens=9, output_tokens=1)

    def left_by(actions: int) -> int:
        before = len(gc.get_objects())
        for _ in range(actions):
            act()
        return len(gc.get_objects()) - before

    for _ in range(2):  # the second finds texts that are known, and keeps what is made of them
        act()
    gc.collect()
    gc.disable()
    try:
        # five each; other threads, which leave something, too, are not always at work
        assert min(left_by(200) for _ in range(10)) <= 1_100
    finally:
        gc.enable()
    (first, second) = pipeline.get_recent_events(2)
    assert first.tags == second.tags == ("customer", "north")
