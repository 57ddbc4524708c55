"""The ways themselves: what asks `start_span`, what does not, and that all that ask are one."""

from __future__ import annotations

from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider

import otel_feedback as feedback
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from otel_feedback.sdk.spans import EndedSpan, LazySpan
from tests.conformance.wire import others_cases, said_cases, tree_cases
from tests.conformance.wire.cases import Program
from tests.conformance.wire.making import Setting, Stage, make
from tests.conformance.wire.ways import FALLBACKS, SDK, WAYS, Started, Way

PROGRAMS: dict[str, Program] = {
    "tree": tree_cases.ask,
    "everything that is said": said_cases.everything,
    "error": said_cases.error_that_leaves_two_actions,
    "meddled with": others_cases.in_the_middle,
    "meddled with after the end": others_cases.after_the_end,
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
@pytest.mark.parametrize("way", [name for name in FALLBACKS if name != "wrapper"])
def test_whatever_makes_an_action_ask_start_span(program: Program, way: str, tmp_path: Path) -> None:
    expected = make(program, Setting(), FALLBACKS["wrapper"], tmp_path)
    made = make(program, Setting(), FALLBACKS[way], tmp_path)
    assert made.started == expected.started
    assert made.started
    for part, value in expected.compared().items():
        assert made.compared()[part] == value, part


def test_a_start_span_that_is_patched_while_the_program_runs(tmp_path: Path) -> None:
    started: Started = []

    def program(stage: Stage) -> None:
        with feedback.action("before"):
            with FALLBACKS["patched"](started):
                with feedback.action("meanwhile"):
                    pass
            with feedback.action("after"):
                pass

    make(program, Setting(), SDK, tmp_path)
    assert started == ["meanwhile"]


def kinds(way: Way, folder: Path) -> list[type]:
    """Return the classes of an action's span and of a span of the SDK's, live and as given to processors."""
    found: list[type] = []

    def program(stage: Stage) -> None:
        with feedback.action("tool"):
            found.append(type(stage.span))
        with stage.tracer.start_as_current_span("theirs") as span:
            found.append(type(span))
        found.extend(type(span) for span in stage.ended)

    make(program, Setting(), way, folder)
    return found


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_an_action_is_a_span_of_the_sdk(way: Way, tmp_path: Path) -> None:
    ours, theirs, our_end, their_end = kinds(way, tmp_path)
    for live in (ours, theirs):
        assert issubclass(live, Span)
    for ended in (our_end, their_end):
        assert issubclass(ended, ReadableSpan)
        assert not issubclass(ended, Span)


@pytest.mark.parametrize("way", FALLBACKS.values(), ids=FALLBACKS)
def test_behind_another_tracer_an_action_has_the_span_of_start_span(way: Way, tmp_path: Path) -> None:
    ours, theirs, our_end, their_end = kinds(way, tmp_path)
    assert ours is theirs
    assert our_end is their_end


def test_on_the_sdks_own_tracer_an_action_brings_its_own_span(tmp_path: Path) -> None:
    """Else this folder would compare one way with itself; and each SDK that is installed must be one that we know."""
    ours, theirs, *_ = kinds(SDK, tmp_path)
    assert ours is LazySpan
    assert theirs is not LazySpan


def test_what_nobody_touches_is_not_made_before_it_is_read(
    provider: TracerProvider, pipeline: FeedbackPipeline
) -> None:
    class Taking(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            taken.append(span)

    taken: list[ReadableSpan] = []
    provider.add_span_processor(Taking())
    with feedback.action("tool") as act:
        act.score(quality=0.5)
    [span] = taken
    assert type(span) is EndedSpan
    assert "_attributes" not in vars(span)
    assert (span.attributes or {})["outcome.quality_score"] == 0.5
    assert "_attributes" in vars(span)


def test_what_is_in_a_span_of_the_sdk_is_in_an_actions_whoever_asks_first(
    provider: TracerProvider, pipeline: FeedbackPipeline
) -> None:
    """Each name by a span of its own: the first that is asked for makes the span."""

    class Taking(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            taken.append(span)

    taken: list[ReadableSpan] = []
    provider.add_span_processor(Taking())
    theirs = provider.get_tracer("tests").start_span("tool")
    theirs.end()
    assert {"_attributes", "_lock"} <= vars(theirs).keys()
    for name in vars(theirs):
        with feedback.action("tool"):
            span = trace.get_current_span()
            assert name not in vars(span)
            assert getattr(span, name) is vars(span)[name]
    for name in vars(taken[0]):
        with feedback.action("tool"):
            pass
        ended = taken[-1]
        assert name not in vars(ended)
        assert getattr(ended, name) is vars(ended)[name]


def test_a_name_that_no_span_of_the_sdk_has_is_not_there_and_makes_no_span(
    provider: TracerProvider, pipeline: FeedbackPipeline
) -> None:
    with feedback.action("tool"):
        span = trace.get_current_span()
        assert not hasattr(span, "_nobody_knows_this")
        assert not hasattr(LazySpan, "_attributes")
        assert "_attributes" not in vars(span)
