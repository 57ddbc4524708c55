"""What somebody else does to an action's span: he has it from `trace.get_current_span()` and knows nothing of actions."""

from __future__ import annotations

import contextlib
import copy
import pickle
import threading
from collections.abc import Callable
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags, TraceState

import otel_feedback as feedback
from tests.conformance.wire.cases import Cases
from tests.conformance.wire.compare import look
from tests.conformance.wire.making import Stage

__all__ = ["CASES", "everything_at_once", "meddle"]

CASES = Cases()

OTHER = SpanContext(0x21, 0x22, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("k", "v")]))
MOMENT_NS = 1_600_000_000_000_000_000
VALUES: dict[str, Any] = {
    "text": "x", "bool": True, "int": 1, "float": 1.5, "bytes": b"ab", "texts": ["a", "b"], "tuple": (1, 2),
    "none": None, "nones": ["a", None], "mixed": [1, "a"], "map": {"a": 1}, "object": object, "empty": "", "ä": "ß",
}  # fmt: skip


def meddle(span: Any, mark: str) -> None:
    """Call everything that a span has to change it."""
    span.set_attribute(f"{mark}.one", 1)
    span.set_attributes({f"{mark}.two": 2, f"{mark}.texts": ["a", "b"], "shared": mark})
    span.add_event(f"{mark} event", {"n": 1, "texts": ["a", "b"]})
    span.add_event(f"{mark} event without attributes")
    span.add_event(f"{mark} event of then", {"n": 2}, MOMENT_NS)
    span.add_link(OTHER, {"mark": mark})
    span.add_link(OTHER)
    span.record_exception(ValueError(mark))
    span.record_exception(KeyError(mark), {"exception.message": "mine", "more": 1}, MOMENT_NS, escaped=True)
    span.update_name(f"{mark} name")
    span.set_status(StatusCode.ERROR, f"{mark} said")


def in_a_thread(function: Callable[..., object], *args: Any) -> None:
    thread = threading.Thread(target=function, args=args)
    thread.start()
    thread.join()


def at_the_beginning(stage: Stage) -> None:
    with feedback.action("tool", agent="searcher") as act:
        meddle(stage.span, "first")
        stage.look("after that")
        act.tag("x")


def in_the_middle(stage: Stage) -> None:
    with feedback.action("tool", agent="searcher") as act:
        act.tag("x")
        act.add_usage(input_tokens=3)
        meddle(stage.span, "then")
        stage.look("after that")
        act.set_metadata(n=1)


def after_the_end(stage: Stage) -> None:
    with feedback.action("tool", agent="searcher"):
        span = stage.span
        stage.look("in the middle")
    stage.look("ended", span)
    meddle(span, "late")
    span.end()
    span.start()
    stage.look("after that", span)


CASES()(at_the_beginning)
CASES()(in_the_middle)
CASES()(after_the_end)


@CASES()
def at_the_beginning_with_an_error_at_the_end(stage: Stage) -> None:
    with contextlib.suppress(RuntimeError), feedback.action("tool"):
        meddle(stage.span, "first")
        raise RuntimeError("broken")


@CASES()
def from_another_thread(stage: Stage) -> None:
    with feedback.action("tool") as act:
        span = stage.span
        act.tag("x")
        in_a_thread(meddle, span, "other")
        in_a_thread(stage.look, "from there", span)
    in_a_thread(meddle, span, "late")
    in_a_thread(stage.look, "ended, from there", span)


@CASES(actions=2)
def on_both_of_two(stage: Stage) -> None:
    with feedback.action("plan"):
        outer = stage.span
        with feedback.action("tool"):
            meddle(stage.span, "inner")
            meddle(outer, "outer")


def everything_at_once(stage: Stage) -> None:
    """Set values of all types, each by a call of its own."""
    with feedback.action("tool", metadata={"n": 1}):
        for key, value in VALUES.items():
            stage.span.set_attribute(f"set.{key}", value)
        stage.span.set_attributes({f"sets.{key}": value for key, value in VALUES.items()})
        stage.span.add_event("values", VALUES)
        stage.span.add_link(OTHER, VALUES)
        stage.look("after that")


CASES()(everything_at_once)


@CASES()
def values_that_cannot_be_used(stage: Stage) -> None:
    with feedback.action("tool"):
        span = stage.span
        span.set_attribute("", 1)
        span.set_attribute(5, 1)
        span.set_attributes({"": 1, "good": 2})
        span.set_attributes({})
        span.add_event("empty", {})
        span.add_event("wrong", {"": 1})
        span.add_link(trace.INVALID_SPAN_CONTEXT)
        span.add_link(trace.INVALID_SPAN_CONTEXT, {"k": 1})
        span.set_status(StatusCode.UNSET)
        span.set_status(Status(StatusCode.UNSET))
        stage.look("after that")


@CASES()
def attributes_that_change_later(stage: Stage) -> None:
    """A list that somebody goes on changing, and attributes that were read before they changed."""
    with feedback.action("tool"):
        span, texts, view = stage.span, ["a"], stage.span.attributes
        span.set_attribute("texts", texts)
        texts.append("b")
        span.set_attribute("twice", 1)
        span.set_attribute("other", 1)
        span.set_attribute("twice", 2)
        stage.note("seen through what was read before", dict(view))


@CASES()
def the_same_attributes_as_the_action(stage: Stage) -> None:
    with feedback.action("tool", agent="searcher", tags=["a"], metadata={"n": 1, "m": 1}) as act:
        stage.span.set_attributes({
            "outcome.action_type": "theirs", "gen_ai.agent.name": "theirs", "outcome.tags": ["theirs"],
            "outcome.metadata.n": 9, "outcome.status": "partial", "outcome.severity": "critical",
            "gen_ai.usage.input_tokens": 5, "outcome.cpu_time_ms": 1.0, "error.type": "Theirs",
            "outcome.root_event_id": "theirs", "outcome.depth": 9,
        })  # fmt: skip
        stage.look("after that")
        act.set_metadata(m=2)
        act.add_usage(input_tokens=7)


@CASES()
def attributes_that_count_in_the_event(stage: Stage) -> None:
    with feedback.action("reasoning") as act:
        stage.span.set_attributes({
            "gen_ai.usage.input_tokens": 30, "gen_ai.usage.output_tokens": 4, "gen_ai.request.model": "gpt-4o",
            "gen_ai.provider.name": "openai", "gen_ai.tool.name": "t", "gen_ai.conversation.id": "s", "user.id": "u",
            "outcome.quality_score": 0.5, "outcome.confidence_score": 0.25, "outcome.metadata.theirs": "yes",
            "outcome.tags": ["theirs"], "outcome.workflow_id": "w", "outcome.run_id": "r", "outcome.tenant_id": "t",
            "outcome.agent_type": "react", "outcome.attempt": 2, "outcome.latency_ms": 5.0, "outcome.duration_ms": 4.0,
            "arbitrary": 1, "outcome.unknown": 1,
        })  # fmt: skip
        act.tag("ours")


@CASES()
def attributes_of_other_conventions(stage: Stage) -> None:
    with feedback.action("reasoning"):
        stage.span.set_attributes({
            "openinference.span.kind": "LLM", "llm.model_name": "gpt-4o", "llm.token_count.prompt": 3,
            "traceloop.span.kind": "agent", "langfuse.observation.type": "generation", "gen_ai.operation.name": "chat",
            "input.value": "question", "output.value": "answer", "session.id": "s-2",
        })  # fmt: skip


@CASES()
def wrong_attributes_that_an_event_cannot_have(stage: Stage) -> None:
    with feedback.action("reasoning"):
        stage.span.set_attributes({
            "gen_ai.usage.input_tokens": "many", "outcome.quality_score": "good", "outcome.tags": "one", "outcome.depth": "d",
            "outcome.metadata.nan": float("nan"), "outcome.attempt": 1.5,
        })  # fmt: skip


@CASES()
def a_secret_of_somebody_else(stage: Stage) -> None:
    with feedback.action("tool"):
        stage.span.set_attribute("outcome.metadata.note", "password=hunter2-hunter2")
        stage.span.set_attribute("note", "password=hunter2-hunter2")


@CASES()
def status_that_was_ok(stage: Stage) -> None:
    with contextlib.suppress(ValueError), feedback.action("tool"):
        stage.span.set_status(StatusCode.OK)
        stage.span.set_status(Status(StatusCode.ERROR, "not any more"))
        stage.look("after that")
        raise ValueError("x")


@CASES()
def status_of_an_error_that_was_no_failure(stage: Stage) -> None:
    with feedback.action("tool"):
        stage.span.set_status(Status(StatusCode.ERROR, "one"), "ignored")
        stage.span.set_status(StatusCode.ERROR, "two")
        stage.look("after that")


@CASES(shares_times=False)
def ended_by_somebody_else(stage: Stage) -> None:
    with feedback.action("tool", agent="searcher") as act:
        act.add_usage(input_tokens=3)
        span = stage.span
        span.end()
        stage.look("ended by somebody else")
        act.tag("later")
    stage.look("ended", span)
    stage.note("event", [act.event is None, len(stage.events())])


@CASES(shares_times=False)
def ended_by_somebody_else_at_a_time_of_his(stage: Stage) -> None:
    with contextlib.suppress(ValueError), feedback.action("tool"):
        stage.span.end(MOMENT_NS)
        raise ValueError("after that")


@CASES(shares_times=False)
def ended_by_somebody_else_in_a_with_block(stage: Stage) -> None:
    """`with span:` ends it, and records what passes through."""
    with contextlib.suppress(ValueError), feedback.action("tool"), stage.span:
        raise ValueError("inside")


@CASES()
def used_again_without_ending_it(stage: Stage) -> None:
    with contextlib.suppress(ValueError), feedback.action("tool"), trace.use_span(stage.span, end_on_exit=False):
        raise ValueError("inside")


@CASES(actions=2, shares_times=False)
def ended_by_somebody_else_with_an_action_below(stage: Stage) -> None:
    with feedback.action("plan"):
        outer = stage.span
        with feedback.action("tool"):
            outer.end()


@CASES(actions=2)
def as_a_link_and_as_a_parent(stage: Stage) -> None:
    with feedback.action("plan"):
        context = stage.span.get_span_context()
        around = trace.set_span_in_context(stage.span)
    later = stage.tracer.start_span("later", around, links=[Link(context, {"why": "it was first"})])
    later.end()
    with feedback.action("tool"):
        stage.span.add_link(context)


def attempt(what: Callable[[], Any]) -> Any:
    """Return what came of it, or what it raised."""
    try:
        made = what()
    except Exception as exc:
        return type(exc).__name__
    return look(made)


@CASES()
def copies(stage: Stage) -> None:
    with feedback.action("tool", tags=["a"]):
        span = stage.span
        stage.note("copy of the live one", attempt(lambda: copy.copy(span)))
        stage.note("deep copy of the live one", attempt(lambda: copy.deepcopy(span)))
        stage.note("pickled live one", attempt(lambda: pickle.loads(pickle.dumps(span))))
        meddle(span, "then")
    for name, one in (("span", span), ("readable", stage.ended[-1])):
        stage.note(f"copy of the ended {name}", attempt(lambda one=one: copy.copy(one)))
        stage.note(f"deep copy of the ended {name}", attempt(lambda one=one: copy.deepcopy(one)))
        stage.note(f"pickled ended {name}", attempt(lambda one=one: pickle.loads(pickle.dumps(one))))


@CASES()
def what_was_given_at_the_end_does_not_change(stage: Stage) -> None:
    with feedback.action("tool", tags=["a"]) as act:
        span = stage.span
        act.set_metadata(n=1)
    readable = stage.ended[-1]
    stage.note("readable", look(readable))
    meddle(span, "late")
    stage.note("readable, later", look(readable))
    stage.note("one and the same", [readable.attributes == span.attributes, readable.events == span.events])
