"""Samplers: what they are asked, and what becomes of their answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_OFF,
    DEFAULT_ON,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import SpanKind, TraceState

import otel_feedback as feedback
from tests.conformance.wire.cases import Cases
from tests.conformance.wire.compare import attributes_of
from tests.conformance.wire.making import Counting, Stage, describe_context
from tests.conformance.wire.tree_cases import Within, ask, remote

__all__ = ["CASES", "Deciding"]

CASES = Cases()


class Asked(Sampler):
    """Writes down what it is asked with, exactly, and lets another one decide."""

    def __init__(self, root: Sampler = ALWAYS_ON) -> None:
        self.root = root
        self.asked: list[Any] = []

    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
        context, trace_id, name, *rest = args
        self.asked.append([
            describe_context(context), trace_id, name, type(name).__name__,
            [attributes_of(one) if isinstance(one, dict) else str(one) for one in rest],
            [type(one).__name__ for one in rest], sorted(kwargs),
        ])  # fmt: skip
        return self.root.should_sample(*args, **kwargs)

    def get_description(self) -> str:
        return "Asked"


class Deciding(Sampler):
    """Decides always the same, and may add attributes and a trace state."""

    def __init__(self, decision: Decision, attributes: Any = None, state: TraceState | None = None) -> None:
        self._result = decision, attributes, state

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Any = None,
        links: Sequence[Any] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        decision, more, state = self._result
        return SamplingResult(decision, {**attributes, **more} if more else attributes, state)

    def get_description(self) -> str:
        return "Deciding"


def ask_and_note(stage: Stage) -> None:
    """Run a tree, and note the questions that came of it."""
    ask(stage)
    sampler = stage.provider.sampler
    assert isinstance(sampler, Asked)
    stage.note("the sampler was asked", sampler.asked)


@CASES(sampler=lambda: ALWAYS_OFF)
def sampler_that_drops(stage: Stage) -> None:
    with feedback.action("reasoning", agent="a") as act:
        stage.look("live")
        act.add_usage(input_tokens=3)
        stage.span.set_attribute("gen_ai.usage.output_tokens", 5)
    stage.look("ended", act._span)  # pyright: ignore[reportPrivateUsage]


@CASES(sampler=lambda: ALWAYS_OFF, actions=2)
def sampler_that_drops_a_tree(stage: Stage) -> None:
    with feedback.action("plan"), stage.tracer.start_as_current_span("between"), feedback.action("tool"):
        stage.look("live")


@CASES(sampler=lambda: Deciding(Decision.DROP, {"sampling.why": "no"}, TraceState([("s", "1")])))
def sampler_that_drops_with_a_trace_state(stage: Stage) -> None:
    with feedback.action("reasoning"):
        stage.look("live")


@CASES(sampler=lambda: Deciding(Decision.RECORD_ONLY), actions=2)
def sampler_that_records_only(stage: Stage) -> None:
    with feedback.action("plan"), feedback.action("tool"):
        stage.look("live")


@CASES(
    sampler=lambda: Deciding(
        Decision.RECORD_AND_SAMPLE,
        {"sampling.rule": "r-1", "outcome.action_type": "changed", "list": ["a", "b"]},
        TraceState([("s", "1"), ("t", "2")]),
    ),
    actions=2,
)
def sampler_that_adds_attributes_and_trace_state(stage: Stage) -> None:
    with feedback.action("plan"), feedback.action("tool"):
        stage.look("live")


class Failing(Deciding):
    """Fails when it is asked for the second time."""

    def __init__(self) -> None:
        super().__init__(Decision.RECORD_AND_SAMPLE)
        self._count = 0

    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
        self._count += 1
        if self._count == 2:
            raise RuntimeError("cannot decide")
        return super().should_sample(*args, **kwargs)


@CASES(sampler=Failing, actions=3)
def sampler_that_fails(stage: Stage) -> None:
    with feedback.action("plan"):
        with feedback.action("tool") as act:
            act.tag("x")
            stage.look("where there is none")
        with feedback.action("tool"):
            stage.look("live")


class Forgetting(Deciding):
    """Gives no attributes back, as samplers do that others have written."""

    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
        return SamplingResult(Decision.RECORD_AND_SAMPLE)


@CASES(sampler=lambda: Forgetting(Decision.RECORD_AND_SAMPLE))
def sampler_that_forgets_the_attributes(stage: Stage) -> None:
    with feedback.action("reasoning", agent="a", tags=["x"], metadata={"n": 1}) as act:
        stage.look("live")
        act.tag("y")


@CASES(sampler=lambda: TraceIdRatioBased(0.5), ids=Counting, actions=8)
def ratio_of_small_ids(stage: Stage) -> None:
    for _ in range(8):
        with feedback.action("reasoning"):
            stage.note("recording", stage.span.is_recording())


class Halves(Counting):
    """Trace ids of which a ratio keeps every second one."""

    def generate_trace_id(self) -> int:
        number = super().generate_trace_id()
        return (1 << 63 if number % 4 < 2 else 0) + (7 << 64) + number


@CASES(sampler=lambda: ParentBased(TraceIdRatioBased(0.3)), ids=Halves, actions=8)
def ratio(stage: Stage) -> None:
    for _ in range(4):
        with feedback.action("plan"), feedback.action("tool"):
            stage.note("recording", stage.span.is_recording())


@CASES(sampler=lambda: DEFAULT_ON, actions=2)
def parent_based_with_an_unsampled_parent(stage: Stage) -> None:
    with Within(remote(0, ("vendor", "yes"))), feedback.action("plan"), feedback.action("tool"):
        stage.look("live")


@CASES(sampler=lambda: DEFAULT_OFF, actions=2)
def parent_based_with_a_sampled_parent(stage: Stage) -> None:
    with Within(remote(1, ("vendor", "yes"))), feedback.action("plan"), feedback.action("tool"):
        stage.look("live")


@CASES(sampler=Asked, actions=3)
def what_the_sampler_is_asked(stage: Stage) -> None:
    ask_and_note(stage)


@CASES(sampler=lambda: Asked(DEFAULT_ON), actions=3)
def what_a_parent_based_sampler_is_asked(stage: Stage) -> None:
    ask_and_note(stage)


@CASES(sampler=lambda: Asked(ALWAYS_OFF), actions=3)
def what_a_sampler_that_drops_is_asked(stage: Stage) -> None:
    ask_and_note(stage)


@CASES(sampler=lambda: Asked(Deciding(Decision.RECORD_ONLY)), actions=3)
def what_a_sampler_that_records_only_is_asked(stage: Stage) -> None:
    ask_and_note(stage)


@CASES(variables={"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.0"})
def sampler_of_the_environment(stage: Stage) -> None:
    with feedback.action("reasoning"):
        stage.look("live")
