"""Spans that nobody would make: whatever they carry, nothing is raised, events are valid, and memory is bounded."""

from __future__ import annotations

import gc
import logging
import math
import random
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, cast

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, Span
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags

from otel_feedback.capture.resources import ResidentMemory
from otel_feedback.convert.node import Node
from otel_feedback.convert.tree import MAX_KEPT, MAX_NODES
from otel_feedback.events import codec
from otel_feedback.events.model import OutcomeEvent
from otel_feedback.journal.memory import MemoryJournal
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from otel_feedback.pipeline.processor import OutcomeSpanProcessor

SPANS = 100_000
MOST_GROWTH_MB = 200
"""Nodes that are open or kept, at most 10,000 of them with attributes of any size, and what the allocator keeps."""

SCOPES = ("pydantic-ai", "openinference.instrumentation.x", "langfuse-sdk", "", "x" * 5_000)
MARKS: list[dict[str, Any]] = [
    {"gen_ai.operation.name": "chat"}, {"gen_ai.operation.name": "invoke_agent"}, {"gen_ai.operation.name": "execute_tool"},
    {"gen_ai.operation.name": 7}, {"gen_ai.system": "openai", "gen_ai.request.model": "gpt-4o"},
    {"openinference.span.kind": "AGENT"}, {"openinference.span.kind": "LLM"}, {"openinference.span.kind": ["CHAIN"]},
    {"traceloop.span.kind": "workflow"}, {"traceloop.span.kind": None}, {"llm.request.type": "chat"},
    {"llm.request.type": b"chat"}, {"langfuse.observation.type": "generation"}, {"langfuse.observation.type": {}},
    {"mlflow.spanType": '"CHAT_MODEL"'}, {"mlflow.spanType": "{"}, {"outcome.action_type": "tool"},
    {"outcome.action_type": 3.5}, {"http.request.method": "GET"}, {"logfire.span_type": "pending_span"}, {},
]  # fmt: skip
NAMES = (
    "gen_ai.agent.name", "gen_ai.tool.name", "gen_ai.response.model", "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens", "gen_ai.usage.total_tokens", "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cost", "gen_ai.response.finish_reasons", "gen_ai.output.messages", "gen_ai.aggregated_usage.input_tokens",
    "gen_ai.agent.call.id", "gen_ai.response.time_to_first_chunk", "gen_ai.request.stream", "error.type", "metadata",
    "tag.tags", "session.id", "user.id", "llm.token_count.prompt", "llm.token_count.total", "llm.cost.total",
    "output.value", "output.mime_type", "agent.name", "graph.node.id", "traceloop.entity.name",
    "traceloop.association.properties.user_id", "langfuse.observation.usage_details", "langfuse.observation.cost_details",
    "langfuse.observation.metadata.x", "langfuse.observation.level", "langfuse.observation.completion_start_time",
    "mlflow.chat.tokenUsage", "mlflow.llm.model", "mlflow.llm.cost", "outcome.status", "outcome.own_tokens",
    "outcome.cost_estimate", "outcome.depth", "outcome.parent_event_id", "outcome.run_id", "outcome.metadata.x",
    "outcome.tags", "outcome.quality_score", "gen_ai.evaluation.score.value", "eval.x.score",
)  # fmt: skip


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


class Raising(Mapping[str, Any]):
    """Attributes that cannot be read."""

    def __getitem__(self, name: str) -> Any:
        raise RuntimeError("no")

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("no")

    def __len__(self) -> int:
        raise RuntimeError("no")


CYCLE: dict[str, Any] = {}
CYCLE["x"] = CYCLE
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 7, 2**53, 2**70, -(2**70), 0.5, -0.0, 1e308, math.nan, math.inf, -math.inf, "", " ", "unknown",
    "None", "7", "-7", "٣", "1e999", "nan", "9" * 400, "\x00", "ü" * 300, '"', "{", "[", "[" * 60_000,
    '{"a": ' * 5_000, '{"input_tokens": 1e400, "total_tokens": -3}', '{"input": "x", "output": {"y": []}}', '"\\ud800"',
    '[{"finish_reason": 7}, 3, null]', '{"session_id": ["x"], "n": NaN}', b"\xff", [], [None, 1, "x", True], ["length"], [[]],
    ("stop", "\x00"), {"a": {"b": object()}}, CYCLE, Unspeakable(), object(), Raising(), {1, 2}, 3 + 4j,
    "2026-13-45T99:99:99Z", '"2026-01-01T00:00:00"', "x" * 70_000,
)  # fmt: skip
HUGE = '{"a": "' + "x" * 1_000_000 + '"}'
TIMES = (0, 1, -1, 2**63, 2**70, 1_800_000_000 * 10**9)


class Checking(FeedbackPipeline):
    """Checks each event that it is given."""

    count = 0

    def accept(
        self, event: OutcomeEvent, key: str, sampled: bool, is_told: bool = False, *, is_clean: bool = False
    ) -> OutcomeEvent | None:
        taken = super().accept(event, key, sampled, is_told, is_clean=is_clean)
        if taken is not None:
            codec.validate(taken)
            codec.decode(codec.encode(taken))
        self.count += 1
        return taken


def processor() -> tuple[OutcomeSpanProcessor, Checking]:
    pipeline = Checking(new_journal=lambda: MemoryJournal(1 << 24))
    return OutcomeSpanProcessor(pipeline), pipeline


RESOURCE = Resource({"service.name": "tests"})


def span_of(
    trace_id: int, span_id: int, parent: SpanContext | None = None, attributes: Any = None, *, start_ns: Any = 1,
    end_ns: Any = 2, scope: str = "", events: Any = (), status: Status | None = None,
) -> ReadableSpan:  # fmt: skip
    return ReadableSpan(
        "span", context_of(trace_id, span_id), parent, RESOURCE, attributes, events, start_time=start_ns, end_time=end_ns,
        instrumentation_scope=InstrumentationScope(scope), status=status or Status(),
    )  # fmt: skip


def context_of(trace_id: int, span_id: int, *, is_remote: bool = False) -> SpanContext:
    return SpanContext(trace_id, span_id, is_remote, TraceFlags(TraceFlags.SAMPLED))


def start(taker: OutcomeSpanProcessor, span: ReadableSpan) -> None:
    taker.on_start(cast(Span, span))


class Hostility:
    """Draws spans."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def attributes(self) -> Any:
        if self.rng.random() < 0.002:
            return self.rng.choice((None, Raising()))
        found = dict(self.rng.choice(MARKS))
        if self.rng.random() < 0.1:
            found.update(self.rng.choice(MARKS))
        for _ in range(self.rng.randrange(6)):
            found[self.rng.choice(NAMES)] = self.rng.choice(VALUES)
        if self.rng.random() < 0.002:
            found[self.rng.choice(NAMES)] = HUGE
        return found

    def events(self) -> list[Any]:
        if self.rng.random() < 0.8:
            return []
        value = self.rng.choice(VALUES)
        name = self.rng.choice(
            ("exception", "gen_ai.choice", "gen_ai.evaluation.result", "First Token Stream Event", "")
        )
        given = {"exception.type": value, "exception.message": self.rng.choice(VALUES), "finish_reason": value}
        return [Event(name, cast(Any, given), self.rng.choice(TIMES))]

    def status(self) -> Status:
        code = self.rng.choice((StatusCode.UNSET, StatusCode.OK, StatusCode.ERROR))
        text = self.rng.choice(
            ("", "CancelledError", "Error code: 400 - {'error': {'code': " + "{" * 500, HUGE[:9_000])
        )
        return Status(code, text if code is StatusCode.ERROR else None)

    def span(self, known: list[ReadableSpan]) -> ReadableSpan:
        """A span: a child of a known one, of itself, of nothing that exists, of another process; or with a known id."""
        rng = self.rng
        trace_id, span_id, parent = rng.getrandbits(128) or 1, rng.getrandbits(64) or 1, None
        kin = rng.choice(known).get_span_context() if known and rng.random() < 0.9 else None
        if kin is not None:
            trace_id, parent = kin.trace_id, kin
            odd = rng.random()
            if odd < 0.02:
                span_id = kin.span_id  # the same id twice, and its own parent
            elif odd < 0.04:
                parent = context_of(trace_id, rng.getrandbits(64))
            elif odd < 0.06:
                parent = context_of(trace_id, kin.span_id, is_remote=True)
            elif odd < 0.08:
                trace_id = rng.getrandbits(128)
        scope = rng.choice(SCOPES)
        return span_of(
            trace_id, span_id, parent, self.attributes(), start_ns=rng.choice(TIMES), end_ns=rng.choice(TIMES), scope=scope,
            events=self.events(), status=self.status(),
        )  # fmt: skip


def nodes_alive() -> int:
    gc.collect()
    return sum(isinstance(one, Node) for one in gc.get_objects())


def test_whatever_spans_carry_nothing_is_raised_and_memory_is_bounded(caplog: pytest.LogCaptureFixture):
    nodes_before = nodes_alive()
    taker, pipeline = processor()
    hostility, rng = Hostility(random.Random(7)), random.Random(8)
    known: list[ReadableSpan] = []
    memory, before_mb = ResidentMemory(interval_s=0), 0.0
    with caplog.at_level(logging.ERROR):
        for at in range(SPANS):
            span = hostility.span(known)
            if rng.random() < 0.95:  # some are first seen when they end
                start(taker, span)
            known.append(span)
            # in one half of the time nearly all stay open
            while len(known) > (12_000 if at % 40_000 > 20_000 else 50):
                ending = known.pop(rng.randrange(len(known)))
                if rng.random() < 0.97:  # some never end
                    end(taker, ending, rng)
            if at == SPANS // 4:
                before_mb = memory.megabytes() or 0.0
        # those that are open or kept, and what is above them
        assert nodes_alive() - nodes_before < 3 * MAX_NODES
        assert (memory.megabytes() or 0.0) - before_mb < MOST_GROWTH_MB
        taker.shutdown()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
    assert pipeline.count > SPANS / 2
    # only what cannot be read at all is not recorded
    lost = pipeline.metrics()["not_recorded"]
    assert set(lost) <= {"unconvertible", "defect"}, lost
    assert sum(lost.values()) < SPANS / 200, lost


def end(taker: OutcomeSpanProcessor, span: ReadableSpan, rng: random.Random) -> None:
    if rng.random() < 0.05:  # while an exception passes through that cannot be told
        try:
            raise Unspeakable  # noqa: TRY301 - so that it passes through
        except Unspeakable:
            taker.on_end(span)
    else:
        taker.on_end(span)
    if rng.random() < 0.02:  # twice
        taker.on_end(span)


def test_half_a_character_costs_no_event():
    taker, pipeline = processor()
    told = {"gen_ai.operation.name": "chat", "user.id": "a\udc80", "metadata": '{"k\\ud800": "v"}', "tags": ("\udfff",)}
    taker.on_end(span_of(1, 1, None, told))
    assert pipeline.metrics()["not_recorded"] == {}
    [event] = pipeline.get_recent_events()
    assert event.user_id == "a?"
    assert event.tags == ("?",)


def test_times_that_no_calendar_holds_are_the_nearest():
    taker, pipeline = processor()
    for at, mark in enumerate(({"gen_ai.operation.name": "chat"}, {"outcome.action_type": "tool"})):
        taker.on_end(span_of(1, at + 1, None, mark, start_ns=-(2**70), end_ns=2**70))
    assert pipeline.metrics()["not_recorded"] == {}
    assert {event.timestamp.year for event in pipeline.get_recent_events(2)} == {9999}


AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "a"}
CALL = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 1, "gen_ai.usage.output_tokens": 1}


def deep(count: int, trace_id: int) -> list[ReadableSpan]:
    spans: list[ReadableSpan] = []
    for at in range(count):
        above = spans[-1].get_span_context() if spans else None
        attributes = AGENT if at % 2 == 0 else CALL
        spans.append(span_of(trace_id, at + 1, above, attributes, start_ns=at, end_ns=10**6 - at, scope=f"s{at % 3}"))
    return spans


def wide(count: int, trace_id: int) -> list[ReadableSpan]:
    root = span_of(trace_id, 1, None, AGENT, start_ns=0, end_ns=10**9)
    above = root.get_span_context()
    return [
        root,
        *(span_of(trace_id, at + 2, above, CALL, start_ns=9 * at, end_ns=9 * at + 8) for at in range(count - 1)),
    ]


@pytest.mark.parametrize("shape", [deep, wide])
def test_a_span_of_a_huge_trace_takes_about_as_long_as_one_of_a_small_trace(shape: Any):
    """Of 10,000 spans, that is; and whether they end from the inside or from the outside."""
    taker, pipeline = processor()

    def seconds_a_span(size: int, traces: int, *, is_inside_out: bool) -> float:
        made = [shape(size, size * 1_000 + trace_id) for trace_id in range(traces)]
        began = time.perf_counter()
        for spans in made:
            for span in spans:
                start(taker, span)
            for span in reversed(spans) if is_inside_out else spans:
                taker.on_end(span)
        return (time.perf_counter() - began) / (size * traces)

    small = min(seconds_a_span(10, 300, is_inside_out=True) for _ in range(3))
    assert seconds_a_span(9_900, 1, is_inside_out=True) < 10 * small
    assert pipeline.get_recent_events(1)[0].tokens_used == (
        2 if shape is deep else 19_798
    )  # calls in each other are one


def test_five_thousand_deep_and_as_many_wide_add_up_and_also_from_the_outside_in():
    for shape, is_inside_out in ((deep, True), (deep, False), (wide, True), (wide, False)):
        pipeline = Checking(new_journal=lambda: MemoryJournal(1 << 24), ring_size=100_000)
        taker = OutcomeSpanProcessor(pipeline)
        spans = shape(5_000, 5)
        for span in spans:
            start(taker, span)
        for span in reversed(spans) if is_inside_out else spans:
            taker.on_end(span)
        taker.shutdown()
        root = next(one for one in pipeline.get_recent_events(100_000) if one.parent_event_id is None)
        own = sum(one.own_tokens or 0 for one in pipeline.get_recent_events(100_000))
        assert root.tokens_used == own > 0


def test_spans_that_never_end_below_a_root_that_lives_long_are_forgotten():
    before = nodes_alive()
    taker, _ = processor()
    root = span_of(1, 1)
    start(taker, root)
    for at in range(3 * MAX_NODES):
        start(taker, span_of(1, at + 2, root.get_span_context(), CALL))
    assert nodes_alive() - before < MAX_NODES + MAX_KEPT
    taker.on_end(root)
    taker.shutdown()


def test_a_call_that_ends_after_what_repeats_it_is_not_above_itself():
    """Both lie within the other, as far as clocks tell."""
    taker, pipeline = processor()
    outer = span_of(1, 1, None, CALL, start_ns=1_000, end_ns=2_000, scope="a")
    inner = span_of(1, 2, outer.get_span_context(), CALL, start_ns=1_100, end_ns=2_100, scope="b")
    for span in (outer, inner):
        start(taker, span)
    for span in (outer, inner):
        taker.on_end(span)
    events = {event.span_id: event for event in pipeline.get_recent_events(10)}
    assert events[f"{1:016x}"].parent_event_id is None
    assert events[f"{2:016x}"].parent_event_id == events[f"{1:016x}"].event_id
    assert sum(event.own_tokens or 0 for event in events.values()) == 2


def test_spans_of_one_trace_may_end_on_eight_threads():
    pipeline = Checking(new_journal=lambda: MemoryJournal(1 << 24), ring_size=100_000)
    taker = OutcomeSpanProcessor(pipeline)
    root = span_of(1, 1, None, AGENT)
    start(taker, root)
    ready = threading.Barrier(8)

    def work(number: int) -> None:
        ready.wait()
        for at in range(200):
            tool = span_of(
                1, number * 10_000 + at + 2, root.get_span_context(), {"gen_ai.operation.name": "execute_tool"}
            )
            call = span_of(1, number * 10_000 + at + 5_000, tool.get_span_context(), CALL, start_ns=at, end_ns=at + 1)
            start(taker, tool)
            start(taker, call)
            first, second = (tool, call) if at % 2 else (call, tool)
            taker.on_end(first)
            taker.on_end(second)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taker.on_end(root)
    taker.shutdown()
    events = pipeline.get_recent_events(100_000)
    found = next(event for event in events if event.parent_event_id is None)
    assert (found.tokens_used, found.llm_calls) == (3_200, 1_600)
    assert sum(event.own_tokens or 0 for event in events) == 3_200
    assert len(events) == 3_201
