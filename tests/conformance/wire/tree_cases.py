"""Where a span stands: parents and children, sampling, ids, scopes."""

from __future__ import annotations

from typing import Any

from opentelemetry import baggage, trace
from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, TraceState

import otel_feedback as feedback
from tests.conformance.wire.cases import Cases
from tests.conformance.wire.compare import look_at_context
from tests.conformance.wire.making import Counting, Stage

__all__ = ["CASES", "Within", "ask", "remote"]

CASES = Cases()


def remote(flags: int = 1, *pairs: tuple[str, str]) -> Context:
    """Return a context as it comes from another process."""
    parent = SpanContext(0x77, 0x78, is_remote=True, trace_flags=TraceFlags(flags), trace_state=TraceState(pairs))
    return trace.set_span_in_context(NonRecordingSpan(parent))


class Within:
    """Makes a context current, for a block."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def __enter__(self) -> None:
        self._token = context_api.attach(self._context)

    def __exit__(self, *exc_info: object) -> None:
        context_api.detach(self._token)


def ask(stage: Stage) -> None:
    """Three levels, a stranger's span between them, and one below a remote parent."""
    with feedback.action("plan", agent="planner", run_id="run-1", tags=["a", "b"], metadata={"n": 1}) as act:
        stage.look("in the middle")
        stage.note("recording", [stage.span.is_recording(), act.event_id])
        with stage.tracer.start_as_current_span("between"), feedback.action("tool", agent="searcher"):
            stage.look("inner")
    with Within(remote(1, ("vendor", "yes"))), feedback.action("reasoning"):
        stage.look("below a remote one")


@CASES()
def root(stage: Stage) -> None:
    with feedback.action("reasoning", agent="react_agent"):
        pass


@CASES(actions=3)
def nested_three_deep(stage: Stage) -> None:
    with feedback.action("plan", agent="planner", agent_type="react", run_id="run-1", tags=["x"]):
        with feedback.action("step", workflow_id="wf-2", user_id="u", tenant_id="t", session_id="s"):
            with feedback.action("tool", agent="searcher", correlation_id="c"):
                stage.look("the innermost")
            stage.look("the middle one")


@CASES(actions=3)
def one_after_the_other(stage: Stage) -> None:
    with feedback.action("plan"):
        for number in range(2):
            with feedback.action("step", metadata={"number": number}):
                pass


@CASES()
def below_a_foreign_span(stage: Stage) -> None:
    with stage.tracer.start_as_current_span("request", kind=SpanKind.SERVER, attributes={"http.route": "/"}):
        with feedback.action("reasoning"):
            pass


@CASES()
def with_a_foreign_child(stage: Stage) -> None:
    with feedback.action("reasoning") as act:
        with stage.tracer.start_as_current_span("chat", kind=SpanKind.CLIENT) as span:
            span.set_attribute("gen_ai.operation.name", "chat")
            span.set_attribute("gen_ai.request.model", "gpt-4o")
            span.set_attribute("gen_ai.usage.input_tokens", 10)
            span.set_attribute("gen_ai.usage.output_tokens", 2)
        act.tag("called")


@CASES(actions=2)
def a_foreign_span_between_two_actions(stage: Stage) -> None:
    with feedback.action("plan"), stage.tracer.start_as_current_span("between"), feedback.action("tool"):
        pass


@CASES()
def a_foreign_child_that_ends_later(stage: Stage) -> None:
    with feedback.action("reasoning"):
        child = stage.tracer.start_span("late")
    child.set_attribute("gen_ai.usage.input_tokens", 3)
    child.end()


@CASES()
def remote_parent_with_trace_state(stage: Stage) -> None:
    with Within(remote(3, ("vendor", "yes"), ("other", "1"))), feedback.action("reasoning"):
        stage.look("live")


@CASES(actions=2)
def remote_parent_of_two(stage: Stage) -> None:
    with Within(remote(1, ("vendor", "yes"))), feedback.action("plan"), feedback.action("tool"):
        stage.look("live")


@CASES()
def remote_parent_without_a_random_id(stage: Stage) -> None:
    with Within(remote(1)), feedback.action("reasoning"):
        stage.look("live")


@CASES()
def parent_that_is_not_valid(stage: Stage) -> None:
    with Within(trace.set_span_in_context(trace.INVALID_SPAN)), feedback.action("reasoning"):
        stage.look("live")


@CASES()
def with_baggage_and_other_values_in_the_context(stage: Stage) -> None:
    context = context_api.set_value(context_api.create_key("theirs"), 1, baggage.set_baggage("user", "u-1"))
    with Within(context), feedback.action("reasoning"):
        stage.note("baggage", dict(baggage.get_all()))


@CASES(ids=lambda: Counting(is_random=False), actions=2)
def ids_that_are_not_random(stage: Stage) -> None:
    with feedback.action("plan"), feedback.action("tool"):
        stage.look("live")


@CASES(ids=None, actions=2)
def ids_of_the_sdk(stage: Stage) -> None:
    with feedback.action("plan") as plan, feedback.action("tool") as tool:
        stage.look("live")
        stage.note("ids", [plan.event_id, tool.event_id, plan.root_event_id, tool.root_event_id])
        stage.note("context", look_at_context(tool.span_context))


@CASES(ids=lambda: Counting(is_random=True), actions=3)
def ids_that_are_random_by_their_own_account(stage: Stage) -> None:
    with feedback.action("plan"), feedback.action("tool"):
        stage.look("live")
    with Within(remote(1)), feedback.action("reasoning"):
        stage.look("below a parent that is not")


def disabling(*names: str) -> dict[str, Any]:
    """Return what makes a provider disable scopes; its names are not public yet."""
    config = getattr(sdk, "_TracerConfig")  # noqa: B009
    return {"_tracer_configurator": lambda scope: config(is_enabled=scope.name not in names)}  # pyright: ignore[reportUnknownLambdaType]


if hasattr(sdk, "_TracerConfig"):

    @CASES(more=lambda: disabling("otel_feedback"), actions=2)
    def disabled_scope(stage: Stage) -> None:
        with feedback.action("plan") as act, feedback.action("tool"):
            stage.look("live")
            act.tag("x")

    @CASES(more=lambda: disabling("otel_feedback"), actions=2, shares_times=False)
    def disabled_scope_below_a_foreign_span(stage: Stage) -> None:
        with stage.tracer.start_as_current_span("request"), feedback.action("plan"), feedback.action("tool"):
            stage.look("live")
            stage.span.set_attribute("on whose span", "the one around")

    @CASES(more=lambda: disabling("some.library"), actions=2)
    def disabled_scope_of_a_stranger(stage: Stage) -> None:
        with feedback.action("plan"), stage.tracer.start_as_current_span("none"), feedback.action("tool"):
            stage.look("live")

    @CASES(actions=3)
    def scope_that_is_disabled_while_the_program_runs(stage: Stage) -> None:
        change = getattr(stage.provider, "_set_tracer_configurator")  # noqa: B009
        with feedback.action("plan"):
            change(tracer_configurator=disabling("otel_feedback")["_tracer_configurator"])
            with feedback.action("tool"):
                stage.look("disabled")
            change(tracer_configurator=disabling()["_tracer_configurator"])
            with feedback.action("tool"):
                stage.look("enabled")


@CASES(actions=2)
def resource_that_changes_while_the_program_runs(stage: Stage) -> None:
    change = getattr(stage.provider, "_update_resource", None)
    with feedback.action("plan"):
        if change is not None:
            change(Resource({"service.instance.id": "two"}))
        with feedback.action("tool"):
            stage.look("live")


@CASES(has_schema=True, actions=2)
def scope_with_a_schema_and_attributes(stage: Stage) -> None:
    with feedback.action("plan"), feedback.action("tool"):
        stage.look("live")


class NoIds(Counting):
    """Fails to give an id to the second trace."""

    def generate_trace_id(self) -> int:
        if self.asked.count("trace id") == 1:
            self.asked.append("trace id")
            raise RuntimeError("no more ids")
        return super().generate_trace_id()


@CASES(ids=NoIds, actions=3)
def ids_that_fail(stage: Stage) -> None:
    for number in range(3):
        with feedback.action("tool") as act:
            act.tag("x")
            stage.note("recording", [number, stage.span.is_recording()])


@CASES()
def provider_that_was_shut_down(stage: Stage) -> None:
    stage.provider.shutdown()
    with feedback.action("tool"):
        stage.look("live")


@CASES(actions=2)
def scopes_of_others_in_one_trace(stage: Stage) -> None:
    """Spans of a scope with a schema, beside those of ours, which has none."""
    with stage.provider.get_tracer("theirs", "1", "https://opentelemetry.io/schemas/1.1.0").start_as_current_span("a"):
        with feedback.action("plan"), stage.tracer.start_as_current_span("b"), feedback.action("tool"):
            pass
