"""`variant()` in a program: what the action that asked says, what those inside say, and what cannot be used."""

from __future__ import annotations

import asyncio
import enum
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import otel_feedback as feedback
from otel_feedback.capture import experiments
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from tests.logs import lines_in
from tests.support import run_python

HALVES = {"a": 0.5, "b": 0.5}
EXPOSURE = {"experiment.exposure": True}
OF_B = "u-9"  # gets b of prompt-7


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiments, "_said", set())


def said(event: feedback.OutcomeEvent | None) -> tuple[Any, ...]:
    assert event is not None
    return event.experiment, event.variant, event.propensity, event.metadata.get("experiment.exposure", False)


def test_the_action_that_asked_is_an_exposure_and_those_inside_inherit(
    pipeline: FeedbackPipeline, spans: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    with feedback.action("before") as outer:
        with feedback.action("answer") as act:
            with feedback.action("earlier"):
                pass
            assert feedback.variant("prompt-7", {"a": 3, "b": 1}, unit=OF_B) == "b"
            with feedback.action("model") as inner, feedback.action("tool") as innermost:
                pass
        with feedback.action("after") as after:
            pass
    told = {event.action_type: said(event) for event in pipeline.get_recent_events()}
    nothing = (None, None, None, False)
    assert said(act.event) == told["answer"] == ("prompt-7", "b", 0.25, True)
    assert said(inner.event) == said(innermost.event) == ("prompt-7", "b", 0.25, False)
    assert said(outer.event) == said(after.event) == told["earlier"] == nothing
    attributes = {span.name: span.attributes or {} for span in spans.get_finished_spans()}
    assert (
        attributes["answer"]["outcome.experiment.name"] == attributes["tool"]["outcome.experiment.name"] == "prompt-7"
    )
    assert attributes["answer"]["outcome.experiment.propensity"] == 0.25
    assert attributes["answer"]["outcome.metadata.experiment.exposure"] is True
    assert caplog.records == []


def test_spans_of_others_inherit_too(provider: TracerProvider) -> None:
    pipeline = feedback.configure(tracer_provider=provider)
    with feedback.action("answer"):
        feedback.variant("prompt-7", HALVES, unit=OF_B)
        with provider.get_tracer("x").start_as_current_span("chat", attributes={"gen_ai.operation.name": "chat"}):
            pass
    chat, answer = pipeline.get_recent_events()
    assert (said(chat), said(answer)) == (("prompt-7", "b", 0.5, False), ("prompt-7", "b", 0.5, True))


def test_an_attribute_that_somebody_else_set_changes_nothing_of_it(provider: TracerProvider) -> None:
    """Then the event is read from the span."""
    feedback.configure(tracer_provider=provider)
    with feedback.action("answer") as act:
        trace.get_current_span().set_attribute("theirs", 1)
        feedback.variant("prompt-7", HALVES, unit=OF_B)
        trace.get_current_span().set_attribute("outcome.quality_score", 0.5)
    assert (said(act.event), act.event and act.event.quality_score) == (("prompt-7", "b", 0.5, True), 0.5)


@pytest.mark.parametrize("is_touched", [False, True])
def test_what_may_leave_of_metadata_does_not_hide_who_asked(is_touched: bool, provider: TracerProvider) -> None:
    feedback.configure(tracer_provider=provider, metadata_allow="nothing")
    with feedback.action("answer", metadata={"k": 1}) as act:
        feedback.variant("prompt-7", HALVES, unit=OF_B)
        if is_touched:
            trace.get_current_span().set_attribute("outcome.metadata.theirs", 1)
    assert act.event is not None
    assert act.event.metadata == EXPOSURE


def test_agents_that_are_dispatched_inherit(pipeline: FeedbackPipeline) -> None:
    class Agent:
        name = "writer"

        async def execute(self, input_data: object, context: object) -> str:
            return feedback.variant("prompt-7", HALVES)

    async def main() -> str:
        with feedback.action("answer"):
            had = feedback.variant("prompt-7", HALVES, unit=OF_B)
            result = await feedback.create_dispatcher().dispatch(Agent(), input_data="x")
            assert result["output"] == had
            return had

    assert asyncio.run(main()) == "b"
    assert [said(event)[:2] for event in pipeline.get_recent_events()] == [("prompt-7", "b")] * 2


def test_an_inner_action_may_have_an_experiment_of_its_own(pipeline: FeedbackPipeline) -> None:
    with feedback.action("answer") as act:
        feedback.variant("prompt-7", HALVES, unit=OF_B)
        with feedback.action("model") as inner:
            other = feedback.variant("model-2", HALVES, unit="u")
        with feedback.action("next") as following:
            pass
    assert said(inner.event) == ("model-2", other, 0.5, True)
    assert said(act.event)[:2] == said(following.event)[:2] == ("prompt-7", "b")


# -- without a unit ------------------------------------------------------------------------------------------------


def test_without_a_unit_a_run_keeps_its_variant(pipeline: FeedbackPipeline) -> None:
    drawn: set[str] = set()
    for number in range(20):
        with feedback.action("answer", run_id=f"run-{number}"):
            first = feedback.variant("prompt-7", HALVES)
            with feedback.action("again"):
                assert feedback.variant("prompt-7", HALVES) == first
        with feedback.action("later", run_id=f"run-{number}"):
            assert (
                feedback.variant("prompt-7", HALVES)
                == first
                == feedback.variant("prompt-7", HALVES, unit=f"run-{number}")
            )
        drawn.add(first)
    assert drawn == {"a", "b"}


def test_an_empty_unit_is_none(pipeline: FeedbackPipeline) -> None:
    for number in range(10):
        with feedback.action("answer", run_id=f"run-{number}"):
            assert feedback.variant("prompt-7", HALVES, unit="") == feedback.variant("prompt-7", HALVES, unit=None)


def test_what_a_run_has_stays_while_it_is_there_to_be_had(pipeline: FeedbackPipeline) -> None:
    with feedback.action("answer"):
        feedback.variant("prompt-7", HALVES, unit=OF_B)
        with feedback.action("inner") as inner:
            assert feedback.variant("prompt-7", {"a": 0.9, "b": 0.1}) == "b"
        with feedback.action("other") as other:
            assert feedback.variant("prompt-7", {"a": 1, "b": 0}) == "a"
    assert said(inner.event) == ("prompt-7", "b", 0.5, True), "as it was drawn, not as it would be"
    assert said(other.event) == ("prompt-7", "a", 1.0, True)


def test_outside_of_actions_there_is_a_variant_and_a_line_in_the_log(
    pipeline: FeedbackPipeline, caplog: pytest.LogCaptureFixture
) -> None:
    assert {feedback.variant("prompt-7", HALVES, unit=OF_B) for _ in range(9)} == {"b"}
    (line,) = caplog.messages
    assert line == "variant('prompt-7') was asked for where no action is open: it is in no event"
    assert {feedback.variant("prompt-7", HALVES) for _ in range(200)} == {"a", "b"}
    (_, line) = caplog.messages
    assert line == "variant('prompt-7') was asked for without a unit and outside of a run: it is drawn anew each time"


# -- what cannot be used -------------------------------------------------------------------------------------------


class Size(enum.Enum):
    SMALL = "a"
    LARGE = "b"


class Nasty(Mapping[str, float]):
    """A mapping whose items cannot be had."""

    def __getitem__(self, key: str) -> float:
        raise OSError(key)

    def __iter__(self) -> Iterator[str]:
        return iter("ab")

    def __len__(self) -> int:
        return 2


WRONG: list[tuple[Any, str, str]] = [
    ({"a": -1, "b": 1}, "b", "the weight of variant 'a' in experiment 'e' is '-1', no number of at least 0: it is left out"),
    ({"a": float("nan"), "b": 1}, "b", "the weight of variant 'a' in experiment 'e' is 'nan', no number of at least 0: it is left out"),
    ({"a": "0.5", "b": 1}, "b", "the weight of variant 'a' in experiment 'e' is '0.5', no number of at least 0: it is left out"),
    ({"a": True, "b": 1}, "b", "the weight of variant 'a' in experiment 'e' is 'True', no number of at least 0: it is left out"),
    ({"a": 0, "b": 0}, "a", "no variant of experiment 'e' has a weight above 0 that can be used: the first goes for all"),
    ({"a": 1e308, "b": 1e308}, "a", "no variant of experiment 'e' has a weight above 0 that can be used: the first goes for all"),
    ({}, "", "no variant of experiment 'e' has a weight above 0 that can be used: the first goes for all"),
    (["a", "b"], "a", "the weights of experiment 'e' are no mapping of variants to numbers"),
    (None, "", "the weights of experiment 'e' are no mapping of variants to numbers"),
    (Nasty(), "a", "variant() failed; the program goes on with the first one"),
]  # fmt: skip


@pytest.mark.parametrize(("weights", "expected", "line"), WRONG, ids=[repr(each[0])[:20] for each in WRONG])
def test_wrong_weights_are_said_once_and_named_in_the_event(
    weights: Any, expected: str, line: str, pipeline: FeedbackPipeline, caplog: pytest.LogCaptureFixture
) -> None:
    acts: list[feedback.Action] = []
    for _ in range(3):
        with feedback.action("answer") as act:
            assert feedback.variant("e", weights, unit="u") == expected
        acts.append(act)
    event = acts[-1].event
    assert caplog.messages[0].startswith(line)
    assert event is not None
    if "failed" not in line:
        assert event.metadata["otel_feedback.invalid"] == ["experiment.weights"]
        assert sum(each.startswith(line) for each in caplog.messages) == 1
    is_drawn = expected == "b"
    assert said(event) == (("e", "b", 1.0, True) if is_drawn else (None, None, None, False))


def test_what_comes_back_is_the_callers_own_key(pipeline: FeedbackPipeline) -> None:
    weights: Any = {Size.SMALL: 0.5, Size.LARGE: 0.5}
    with feedback.action("answer") as act:
        assert feedback.variant("prompt-7", weights, unit=OF_B) is Size.LARGE  # type: ignore[comparison-overlap]
    assert said(act.event)[1] == "b"


def test_names_are_cleaned_as_all_names_are(pipeline: FeedbackPipeline) -> None:
    key = "sk-" + "abcd1234" * 6
    with feedback.action("answer") as act:
        assert feedback.variant(7, {key: 1, "x": 0}, unit="u") == key  # type: ignore[arg-type]
    assert act.event is not None
    assert (act.event.experiment, key in act.event.to_json()) == ("7", False)
    assert act.event.metadata["otel_feedback.invalid"] == ["experiment"]
    assert act.event.metadata["otel_feedback.redacted"] == ["variant"]


def test_what_cannot_be_told_is_said_once(pipeline: FeedbackPipeline, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        with feedback.action("answer"):
            assert feedback.variant("", HALVES, unit=OF_B) in HALVES
            feedback.variant("prompt-7", HALVES, unit="u-1")
            feedback.variant("prompt-7", HALVES, unit="u-1")
            feedback.variant("prompt-7", HALVES, unit=OF_B)
            feedback.variant("other", HALVES, unit=object())
    lines = [line.partition(":")[0] for line in caplog.messages]
    assert lines == [
        "an experiment needs a name",
        "an action asked for several variants, 'prompt-7' at last",
        "the unit of experiment 'other' is a object, whose text is another each time",
        "an action asked for several variants, 'other' at last",
    ]
    assert [said(event)[0] for event in pipeline.get_recent_events()] == ["other", "other"]


# -- processes -----------------------------------------------------------------------------------------------------

KILLED = """
    import os, signal
    import otel_feedback as feedback
    feedback.configure(service_name="agents")
    with feedback.action("answer", user_id="u-9") as act:
        feedback.variant("prompt-7", {"a": 0.5, "b": 0.5}, unit="u-9")
        with feedback.action("tool"):
            os.kill(os.getpid(), signal.SIGKILL)
"""
NEXT = """
    import time
    from pathlib import Path
    import otel_feedback as feedback
    pipeline = feedback.configure(service_name="agents", journal_rescan_s=0.1)
    until = time.monotonic() + 60
    while len(pipeline.get_recent_events()) < 2 and not pipeline.metrics()["adopted"] and time.monotonic() < until:
        time.sleep(0.02)
"""


def test_a_variant_that_kills_the_process_is_what_failed(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    variables = {"OTEL_TRACES_EXPORTER": "none", "OTEL_FEEDBACK_LOG_FILE": str(log)}
    assert run_python(KILLED, variables).returncode == -signal.SIGKILL
    done = run_python(NEXT, variables)
    assert done.returncode == 0, done.stderr
    told = {event["action_type"]: event for event in lines_in(log)}
    assert {name: (event["status"], event["variant"]) for name, event in told.items()} == {
        "answer": ("failure", "b"), "tool": ("failure", "b"),
    }  # fmt: skip
    assert told["answer"]["metadata"] == EXPOSURE
    assert told["answer"]["propensity"] == 0.5


def test_who_never_asks_loads_nothing_of_it() -> None:
    done = run_python(
        "import sys, otel_feedback as feedback\nwith feedback.action('x'): feedback.inject()\n"
        "print('otel_feedback.capture.experiments' in sys.modules)",
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_FEEDBACK_LOG_FILE": "/dev/null"},
    )
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr
