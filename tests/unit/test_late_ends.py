"""An action of our own that outlives the one above it: what it used reaches that one, wherever the two ends meet."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from opentelemetry import context as context_api
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider

import otel_feedback as feedback
from otel_feedback import bootstrap
from otel_feedback.events.model import OutcomeEvent
from otel_feedback.journal.memory import MemoryJournal
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from otel_feedback.pipeline.processor import OutcomeSpanProcessor

PACKAGE = str(Path(feedback.__file__).parent)
Stream = Generator[int, None, None]


@feedback.action("stream")
def stream(tokens: int) -> Stream:
    act = feedback.current_action()
    assert act is not None
    act.add_usage(input_tokens=tokens)
    yield 1
    yield 2


def begun(tokens: int = 1) -> Stream:
    made = stream(tokens)
    next(made)
    return made


@pytest.fixture(autouse=True)
def around() -> Iterator[None]:
    """What is current again afterwards: an action that another thread ends stays current where it began."""
    token = context_api.attach(Context())
    yield
    context_api.detach(token)


@pytest.fixture(params=["nothing between", "a span between"])
def begin_late(request: pytest.FixtureRequest, provider: TracerProvider) -> Callable[[], Stream]:
    """Begins a stream, right below what is current or below somebody else's span there."""

    def begin() -> Stream:
        with provider.get_tracer("someone").start_as_current_span("plain"):
            return begun()

    return begun if request.param == "nothing between" else begin


@pytest.fixture
def traced(provider: TracerProvider) -> Iterator[FeedbackPipeline]:
    made = FeedbackPipeline(new_journal=lambda: MemoryJournal(1 << 24), ring_size=10)
    provider.add_span_processor(OutcomeSpanProcessor(made))
    with bootstrap.stand_in(made, provider):
        yield made


def one(pipeline: FeedbackPipeline, kind: str) -> OutcomeEvent:
    (event,) = pipeline.get_recent_events(1, action_type=kind)
    return event


def told(pipeline: FeedbackPipeline, kind: str) -> tuple[bool | None, int | None, int | None]:
    event = one(pipeline, kind)
    return event.usage_complete, event.tokens_used, event.llm_calls


def test_what_a_late_one_used_comes_with_a_revision(traced: FeedbackPipeline):
    with feedback.action("step") as act:
        act.add_usage(input_tokens=10)
        late = begun()
    assert told(traced, "step") == (False, 10, 1)
    late.close()
    assert told(traced, "step") == (True, 11, 2)
    assert one(traced, "step").own_tokens == 10


def test_and_goes_on_to_those_above(traced: FeedbackPipeline):
    with feedback.action("top"):
        with feedback.action("step") as act:
            act.add_usage(input_tokens=10)
            late = begun()
        assert told(traced, "step") == (False, 10, 1)
    assert told(traced, "top") == (False, 10, 1)
    late.close()
    assert (told(traced, "step"), told(traced, "top")) == ((True, 11, 2), (True, 11, 2))


def test_and_is_counted_once_where_the_one_above_those_is_open(traced: FeedbackPipeline):
    with feedback.action("top") as top:
        top.add_usage(input_tokens=100)
        with feedback.action("step") as act:
            act.add_usage(input_tokens=10)
            late = begun()
        late.close()
        assert told(traced, "step") == (True, 11, 2)
    assert told(traced, "top") == (True, 111, 3)


BY_OPCODE = ("_end", "_take", "end_own", "_sum_up")
"""Functions in which the order within a line matters."""


class AtStep:
    """Runs something at the n-th step through the package that a block executes, where a finaliser might run."""

    def __init__(self, step: int, run: Callable[[], object]) -> None:
        self._left = step
        self._run = run

    @property
    def is_past(self) -> bool:
        return self._left > 0

    def __enter__(self) -> None:
        sys.settrace(self._trace)

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace_opcodes = frame.f_code.co_name in BY_OPCODE
        if event in ("line", "opcode"):
            self._left -= 1
            if self._left == 0:
                sys.settrace(None)
                self._run()
        return self._trace


def begun_above(begin_late: Callable[[], Stream]) -> tuple[Any, Stream]:
    """Begin a step that uses 10 tokens, and a stream below it; return what ends each."""
    context = feedback.action("step")
    context.__enter__().add_usage(input_tokens=10)
    return context, begin_late()


def test_wherever_in_the_end_of_the_one_above_it_ends(traced: FeedbackPipeline, begin_late: Callable[[], Stream]):
    step, wrong = 0, list[tuple[int, Any]]()
    is_past = False
    while not is_past:
        step += 1
        context, late = begun_above(begin_late)
        at = AtStep(step, late.close)
        with at:
            context.__exit__(None, None, None)
        is_past = at.is_past
        late.close()
        if told(traced, "step") != (True, 11, 2):
            wrong.append((step, told(traced, "step")))
    assert step > 100
    assert wrong == []


def test_wherever_it_is_when_another_thread_ends_the_one_above(
    traced: FeedbackPipeline, begin_late: Callable[[], Stream]
):
    step, wrong = 0, list[tuple[int, Any]]()
    is_past = False
    while not is_past:
        step += 1
        context, late = begun_above(begin_late)
        other = threading.Thread(target=context.__exit__, args=(None, None, None))

        def meet(other: threading.Thread = other) -> None:
            other.start()
            other.join(0.02)  # no longer than that where a lock keeps it

        at = AtStep(step, meet)
        with at:
            late.close()
        is_past = at.is_past
        if is_past:
            context.__exit__(None, None, None)
        else:
            other.join()
        if told(traced, "step") != (True, 11, 2):
            wrong.append((step, told(traced, "step")))
    assert step > 100
    assert wrong == []
