"""Plain actions against spans that are written out by hand with the SDK: so that both ways cannot be wrong together.

    def program(stage)        an action
    def by_hand(tracer)       the span that must come of it, its content literally

Order counts: a span that has no room for all of its attributes loses the oldest ones.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Status, StatusCode

import otel_feedback as feedback
from otel_feedback.capture.resources import resident_memory
from tests.conformance.wire.compare import Normal, decode, encode
from tests.conformance.wire.making import SCHEMA_URL, Setting, Stage, make, provider_of
from tests.conformance.wire.tree_cases import Within, remote
from tests.conformance.wire.ways import WAYS, Way

MEASURED = {
    "outcome.cpu_time_ms": 1.5,
    **({} if resident_memory.megabytes() is None else {"outcome.memory_used_mb": 1.5}),
}
SUCCESS = {"outcome.status": "success", "outcome.severity": "info", **MEASURED}
TREE = {
    "outcome.parent_event_id": "00000000000000000000000000001001-0000000000001002",
    "outcome.root_event_id": "00000000000000000000000000001001-0000000000001002",
    "outcome.depth": 1,
}

ByHand = Callable[[trace.Tracer, trace.Tracer], object]
Pair = tuple[Callable[[Stage], object], ByHand]
PAIRS: dict[str, Pair] = {}
_waiting: list[Callable[[Stage], object]] = []


def program(function: Callable[[Stage], object]) -> Callable[[Stage], object]:
    _waiting.append(function)
    return function


def by_hand(function: ByHand) -> ByHand:
    PAIRS[function.__name__.replace("_", " ")] = _waiting.pop(), function
    return function


@contextlib.contextmanager
def written(tracer: trace.Tracer, name: str, start: Mapping[str, Any]) -> Any:
    """Start a span and make it current, as the SDK's own example does; nothing of it is decided here."""
    with tracer.start_as_current_span(
        name, attributes=start, record_exception=False, set_status_on_exception=False
    ) as span:
        yield span


@program
def _(stage: Stage) -> None:
    with feedback.action("reasoning", agent="react_agent"):
        pass


@by_hand
def root(tracer: trace.Tracer, theirs: trace.Tracer) -> None:
    start = {"outcome.action_type": "reasoning", "gen_ai.agent.name": "react_agent"}
    with written(tracer, "reasoning react_agent", start) as span:
        span.set_attributes(SUCCESS)


@program
def _(stage: Stage) -> None:
    with feedback.action(
        "reasoning", agent="react_agent", agent_type="react", workflow_id="wf", run_id="run", correlation_id="c",
        session_id="s", user_id="u", tenant_id="t", tags=["one", "two"], timeout_s=60.0,
        metadata={"client": "acme", "tries": 3, "share": 0.5, "is_new": True, "steps": ["a", "b"], "deep": {"er": 1}},
    ) as act:  # fmt: skip
        act.add_usage(
            model="gpt-4o", provider="openai", input_tokens=900, output_tokens=80, cached_input_tokens=300,
            reasoning_tokens=20, cost=0.004, llm_latency_ms=640.5,
        )  # fmt: skip
        act.score(quality=0.92, confidence=0.8)
        act.tag("three")
        act.set_metadata(late=["x"], client="other")


@by_hand
def everything_that_can_be_said(tracer: trace.Tracer, theirs: trace.Tracer) -> None:
    start = {
        "outcome.action_type": "reasoning", "gen_ai.agent.name": "react_agent", "outcome.agent_type": "react",
        "outcome.metadata.client": "acme", "outcome.metadata.tries": 3, "outcome.metadata.share": 0.5,
        "outcome.metadata.is_new": True, "outcome.metadata.steps": ["a", "b"], "outcome.metadata.deep.er": 1,
        "outcome.workflow_id": "wf", "outcome.run_id": "run", "outcome.correlation_id": "c",
        "gen_ai.conversation.id": "s", "user.id": "u", "outcome.tenant_id": "t", "outcome.tags": ("one", "two"),
    }  # fmt: skip
    with written(tracer, "reasoning react_agent", start) as span:
        span.set_attributes(SUCCESS)
        span.set_attributes({
            "outcome.llm_calls": 1, "gen_ai.usage.input_tokens": 900, "gen_ai.usage.output_tokens": 80,
            "gen_ai.usage.cache_read.input_tokens": 300, "gen_ai.usage.reasoning.output_tokens": 20,
            "outcome.own_cost": 0.004, "outcome.llm_latency_ms": 640.5, "gen_ai.request.model": "gpt-4o",
            "gen_ai.provider.name": "openai", "outcome.quality_score": 0.92, "outcome.confidence_score": 0.8,
            "outcome.tags": ("one", "two", "three"), "outcome.metadata.client": "other", "outcome.metadata.late": ["x"],
        })  # fmt: skip


@program
def _(stage: Stage) -> None:
    with feedback.action("plan", run_id="r", tags=["x"]) as plan:
        plan.add_usage(input_tokens=1, cost=0.5)
        with feedback.action("tool", agent="a") as tool:
            tool.add_usage(input_tokens=10, output_tokens=5, cost=0.25, llm_latency_ms=3)


@by_hand
def nested_with_usage_below(tracer: trace.Tracer, theirs: trace.Tracer) -> None:
    inherited = {"outcome.run_id": "r", "outcome.tags": ("x",)}
    with written(tracer, "plan", {"outcome.action_type": "plan", **inherited}) as plan:
        start = {"outcome.action_type": "tool", "gen_ai.agent.name": "a", **TREE, **inherited}
        with written(tracer, "tool a", start) as tool:
            tool.set_attributes(SUCCESS)
            tool.set_attributes({
                "outcome.llm_calls": 1, "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5,
                "outcome.own_cost": 0.25, "outcome.llm_latency_ms": 3.0,
            })  # fmt: skip
        plan.set_attributes(SUCCESS)
        plan.set_attributes({
            "outcome.llm_calls": 2, "gen_ai.usage.input_tokens": 1, "outcome.own_cost": 0.5,
            "outcome.tokens_used": 16, "outcome.cost_estimate": 0.75, "outcome.llm_latency_ms": 3.0,
        })  # fmt: skip


raised: list[ValueError] = []


@program
def _(stage: Stage) -> None:
    with contextlib.suppress(ValueError), feedback.action("tool"):
        raised[:] = [ValueError("broken")]
        raise raised[0]


@by_hand
def error_with_stack_trace(tracer: trace.Tracer, theirs: trace.Tracer) -> None:
    with written(tracer, "tool", {"outcome.action_type": "tool"}) as span:
        span.set_attributes({"outcome.status": "failure", "outcome.severity": "error", **MEASURED})
        span.set_attribute("error.type", "ValueError")
        span.add_event("exception", {
            "exception.type": "ValueError", "exception.message": "broken", "exception.escaped": "True",
            "exception.stacktrace": "".join(traceback.format_exception(raised[0])),
        })  # fmt: skip
        span.set_status(Status(StatusCode.ERROR, "ValueError: broken"))


@program
def _(stage: Stage) -> None:
    with feedback.action("tool") as act:
        act.fail("it says no")


@by_hand
def failed_by_hand(tracer: trace.Tracer, theirs: trace.Tracer) -> None:
    with written(tracer, "tool", {"outcome.action_type": "tool"}) as span:
        span.set_attributes({"outcome.status": "failure", "outcome.severity": "error", **MEASURED})
        span.set_attribute("error.type", "_OTHER")
        told = {"exception.type": "_OTHER", "exception.message": "it says no", "exception.escaped": "False"}
        span.add_event("exception", told)
        span.set_status(StatusCode.ERROR, "_OTHER: it says no")


@program
def _(stage: Stage) -> None:
    with feedback.action("tool", timeout_s=0.0):
        pass


@by_hand
def too_late(tracer: trace.Tracer, theirs: trace.Tracer) -> None:
    with written(tracer, "tool", {"outcome.action_type": "tool"}) as span:
        span.set_attributes({"outcome.status": "timeout", "outcome.severity": "error", **MEASURED})
        span.set_attribute("error.type", "TimeoutError")
        message = "took longer than timeout_s=0"
        told = {"exception.type": "TimeoutError", "exception.message": message, "exception.escaped": "False"}
        span.add_event("exception", told)
        span.set_status(StatusCode.ERROR, f"TimeoutError: {message}")


@program
def _(stage: Stage) -> None:
    with feedback.action("tool") as act:
        act.cancel("nobody waits")


@by_hand
def cancelled_by_hand(tracer: trace.Tracer, theirs: trace.Tracer) -> None:
    with written(tracer, "tool", {"outcome.action_type": "tool"}) as span:
        span.set_attributes({"outcome.status": "cancelled", "outcome.severity": "warning", **MEASURED})
        span.set_attribute("outcome.metadata.status_reason", "nobody waits")
        span.set_status(StatusCode.ERROR, "nobody waits")


@program
def _(stage: Stage) -> None:
    with feedback.action("tool") as act:
        act.partial("half of it")


@by_hand
def partial(tracer: trace.Tracer, theirs: trace.Tracer) -> None:
    with written(tracer, "tool", {"outcome.action_type": "tool"}) as span:
        span.set_attributes({"outcome.status": "partial", "outcome.severity": "warning", **MEASURED})
        span.set_attribute("outcome.metadata.status_reason", "half of it")


@program
def _(stage: Stage) -> None:
    with stage.tracer.start_as_current_span("request", kind=trace.SpanKind.SERVER), feedback.action("tool"):
        span = stage.span
        span.set_attribute("theirs", [1, 2])
        span.add_event("noted", {"n": 1}, 5)
        span.add_link(trace.SpanContext(0x21, 0x22, is_remote=True), {"why": "it was first"})
        span.update_name("renamed")
        with stage.tracer.start_as_current_span("chat", kind=trace.SpanKind.CLIENT):
            pass


@by_hand
def between_foreign_spans_and_changed_by_others(tracer: trace.Tracer, theirs: trace.Tracer) -> None:
    with theirs.start_as_current_span("request", kind=trace.SpanKind.SERVER):
        with written(tracer, "tool", {"outcome.action_type": "tool"}) as span:
            span.set_attribute("theirs", [1, 2])
            span.add_event("noted", {"n": 1}, 5)
            span.add_link(trace.SpanContext(0x21, 0x22, is_remote=True), {"why": "it was first"})
            span.update_name("renamed")
            with theirs.start_as_current_span("chat", kind=trace.SpanKind.CLIENT):
                pass
            span.set_attributes(SUCCESS)


@program
def _(stage: Stage) -> None:
    with Within(remote(1, ("vendor", "yes"))), feedback.action("tool"):
        pass


@by_hand
def remote_parent(tracer: trace.Tracer, theirs: trace.Tracer) -> None:
    with Within(remote(1, ("vendor", "yes"))), written(tracer, "tool", {"outcome.action_type": "tool"}) as span:
        span.set_attributes(SUCCESS)


@program
def _(stage: Stage) -> None:
    errors = iter([OSError("once"), None])

    class Agent:
        name = "flaky"

        async def run(self, input_data: Any) -> str:
            error = next(errors)
            if error is not None:
                raise error
            return "done"

    feedback.create_dispatcher(retries=1, backoff_s=0.0).dispatch_sync(Agent(), "tool", "x")


@by_hand
def dispatched_and_tried_again(tracer: trace.Tracer, theirs: trace.Tracer) -> None:
    start = {"outcome.action_type": "tool", "gen_ai.agent.name": "flaky"}
    with written(tracer, "tool flaky", start) as span:
        span.add_event("outcome.retry", {"outcome.attempt": 1, "error.type": "OSError", "outcome.retry_in_s": 0.0})
        span.set_attributes({"outcome.attempt": 2, "outcome.duration_ms": 1.5})
        span.set_attributes({**SUCCESS, "outcome.latency_ms": 1.5})


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_an_action_is_the_span_that_was_written_by_hand(pair: Pair, way: Way, tmp_path: Path) -> None:
    acts, writes = pair
    made = make(acts, Setting(), way, tmp_path)

    normal = Normal()
    provider, exporter = provider_of(TracerProvider, Setting()), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    writes(
        provider.get_tracer("otel_feedback", feedback.__version__),
        provider.get_tracer("some.library", "1.2", SCHEMA_URL, {"scope": "theirs"}),
    )
    provider.shutdown()
    assert made.payload == normal(decode(encode(exporter.get_finished_spans())))
