"""Running a case: a program on a provider, and everything that came of it, ready to be compared.

Setting ──► provider, processors, configure() ──► program(stage) ──► Made
                                                      │
                      stage.note(), stage.look() ◄────┘  what the program itself has seen
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Sampler

import otel_feedback as feedback
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from tests.conformance.wire.compare import Normal, decode, encode, look, look_at_context
from tests.conformance.wire.ways import Started, Way

__all__ = ["RESOURCE", "Counting", "Made", "Processor", "Setting", "Stage", "make"]

RESOURCE = Resource(
    {"service.name": "agents", "service.instance.id": "one", "host.cpus": 2, "list": ("a", "b")},
    "https://opentelemetry.io/schemas/1.37.0",
)
SCHEMA_URL = "https://opentelemetry.io/schemas/1.30.0"


class Counting(IdGenerator):
    """Ids that are the same in every run, and what was asked for in which order."""

    def __init__(self, *, is_random: bool = True) -> None:
        self.asked: list[str] = []
        self._is_random = is_random
        self._last = 0x1000

    def generate_trace_id(self) -> int:
        self.asked.append("trace id")
        self._last += 1
        return self._last

    def generate_span_id(self) -> int:
        self.asked.append("span id")
        self._last += 1
        return self._last

    def is_trace_id_random(self) -> bool:
        self.asked.append("is random")
        return self._is_random


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a provider is made of. Everything that has a state is made anew for each run."""

    sampler: Callable[[], Sampler] | None = None
    limits: Callable[[], SpanLimits] | None = None
    ids: Callable[[], IdGenerator] | None = Counting
    active: Callable[[], Any] | None = None
    """The provider's processor that holds all others."""
    before: Callable[[], Sequence[SpanProcessor]] = tuple
    """Processors that come before ours."""
    after: Callable[[], Sequence[SpanProcessor]] = tuple
    has_schema: bool = False
    """The scope of actions has a schema and attributes, because the provider sees to it."""
    more: Callable[[], Mapping[str, Any]] = dict
    """Further arguments of the provider."""
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    """Of the environment, while the provider is made and the program runs."""


@dataclass
class Made:
    """What came of one run. `payload` is what the exporter got, encoded and decoded; `ended` all spans that ended."""

    payload: Any
    ended: Any
    calls: list[Any]
    events: Any
    records: Any
    notes: list[Any]
    logs: list[Any]
    account: Any
    started: Started
    raw: list[ReadableSpan]
    outcomes: list[feedback.OutcomeEvent]
    window_ns: tuple[int, int]

    def compared(self) -> dict[str, Any]:
        """Return what must be the same whichever way the spans were made."""
        names = ("payload", "ended", "calls", "events", "records", "notes", "logs", "account")
        return {name: getattr(self, name) for name in names}


class Stage:
    """What a program has at hand, and where it says what it saw."""

    def __init__(
        self,
        provider: TracerProvider,
        pipeline: FeedbackPipeline,
        ended: list[ReadableSpan],
        clear: Sequence[Callable[[], None]],
    ) -> None:
        self.provider = provider
        self._clear = clear
        self.pipeline = pipeline
        self.ended = ended  # as a processor was given them
        self.tracer = provider.get_tracer("some.library", "1.2", SCHEMA_URL, {"scope": "theirs"})
        self.notes: list[Any] = []

    @property
    def span(self) -> Any:
        """The span that is current: an action's, to somebody who does not know of actions."""
        return trace.get_current_span()

    def note(self, what: str, value: Any) -> None:
        self.notes.append([what, value])

    def look(self, what: str, span: Any = None) -> None:
        """Note everything that a span says of itself."""
        span = self.span if span is None else span
        if isinstance(span, ReadableSpan):
            self.note(what, look(span))
        else:
            context = span.get_span_context()
            self.note(what, [type(span).__name__, span.is_recording(), look_at_context(context), repr(span)])

    def forget(self) -> None:
        """Let go of all spans that have ended."""
        for clear in self._clear:
            clear()

    def events(self) -> list[feedback.OutcomeEvent]:
        return self.pipeline.get_recent_events(1_000)


class Processor(SpanProcessor):
    """One that has nothing to flush; the SDK of 1.39 takes silence for a failure."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


class Keeping(Processor):
    """Keeps what it is given, also what is not sampled, and reads nothing of it unless it is to."""

    def __init__(self, *, reads: bool) -> None:
        self.spans: list[ReadableSpan] = []
        self.calls: list[Any] = []
        self._reads = reads

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self.calls.append(["on_start", describe_context(parent_context), look(span) if self._reads else span.name])

    def _on_ending(self, span: Span) -> None:
        self.calls.append(["_on_ending", look(span) if self._reads else None])

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)
        self.calls.append(["on_end", [look(span), decode(encode([span]))] if self._reads else None])


_KEY = re.compile(r"-[0-9a-f-]{36}$")
"""What `create_key()` adds to a name."""


def describe_context(context: Context | None) -> Any:
    """Return what is in a context: the names of its keys, and its span."""
    if context is None:
        return None
    names = sorted(_KEY.sub("", key) for key in context)
    return [names, look_at_context(trace.get_current_span(context).get_span_context())]


class _Told(logging.Handler):
    """Warnings of the SDK's and ours."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        # of a traceback its end: through which of our lines it went depends on the way
        head, _, stack = record.getMessage().partition("\nTraceback ")
        self.lines.append([record.name, record.levelname, head, *stack.splitlines()[-1:]])


@contextmanager
def _listening() -> Generator[_Told]:
    told = _Told()
    loggers = [logging.getLogger(name) for name in ("opentelemetry", "otel_feedback")]
    for logger in loggers:
        logger.addHandler(told)
    try:
        yield told
    finally:
        for logger in loggers:
            logger.removeHandler(told)


def _with_schema(cls: type[TracerProvider]) -> type[TracerProvider]:
    class Provider(cls):
        def get_tracer(
            self,
            instrumenting_module_name: str,
            instrumenting_library_version: str | None = None,
            *args: Any,
            **kwargs: Any,
        ) -> trace.Tracer:
            named = (instrumenting_module_name, instrumenting_library_version)
            return super().get_tracer(*named, SCHEMA_URL, {"by": "the provider", "numbers": (1, 2)})

    return Provider


def provider_of(cls: type[TracerProvider], setting: Setting) -> TracerProvider:
    """Make a provider; those of two runs differ in nothing but their class."""
    if setting.has_schema:
        cls = _with_schema(cls)
    return cls(
        sampler=setting.sampler and setting.sampler(),
        resource=RESOURCE,
        shutdown_on_exit=False,
        active_span_processor=setting.active and setting.active(),
        id_generator=setting.ids and setting.ids(),
        span_limits=setting.limits and setting.limits(),
        **setting.more(),
    )


def make(program: Callable[[Stage], object], setting: Setting, way: Way, folder: Path, *, reads: bool = False) -> Made:
    """Run a program, and return what came of it.

    Args:
        folder: where the events are logged; a file of this run alone.
        reads: processors read all of each span at every call, and each is encoded when it ends. Else nobody reads
            anything before the program is over, as where an exporter's thread comes late.
    """
    started: Started = []
    log = folder / f"{len(list(folder.iterdir()))}.jsonl"
    normal = Normal()
    with mock.patch.dict(os.environ, setting.variables), way(started) as cls, _listening() as told:
        provider = provider_of(cls, setting)
        first, last, exporter = Keeping(reads=reads), Keeping(reads=False), InMemorySpanExporter()
        for processor in (first, *setting.before()):
            provider.add_span_processor(processor)
        pipeline = feedback.configure(
            tracer_provider=provider, service_name="agents", log_file=str(log), durability="memory"
        )
        for processor in (*setting.after(), SimpleSpanProcessor(exporter), last):
            provider.add_span_processor(processor)
        before = context_api.get_current()
        stage = Stage(provider, pipeline, first.spans, (first.spans.clear, last.spans.clear, exporter.clear))
        try:
            program(stage)
            assert context_api.get_current() is before
            pipeline.force_flush(10)
            outcomes = stage.events()
            account = pipeline.metrics()
        finally:
            pipeline.shutdown(timeout_s=2)
            provider.shutdown()
        exported = list(exporter.get_finished_spans())
        ended = () if reads else first.spans  # else it has all been read already
        payload = encode(exported)
        assert encode(exported) == payload, "it says the same when it is asked again"
        tree = decode(payload)
    ids = setting.ids
    if ids is not None and isinstance(provider.id_generator, Counting):
        stage.note("ids asked for", provider.id_generator.asked)
    account["not_recorded"].pop("before_configure", None)
    done_ns = time.time_ns()
    return Made(
        payload=normal(tree),
        ended=normal([[look(span), decode(encode([span]))] for span in ended]),
        calls=normal([first.calls, last.calls]),
        events=normal([msgspec.structs.asdict(event) for event in outcomes]),
        records=normal([json.loads(line) for line in log.read_text("utf-8").splitlines()] if log.exists() else []),
        notes=normal(stage.notes),
        logs=normal(told.lines),
        account=[account["sampled_out"], account["recorded"], account["not_recorded"]],
        started=started,
        raw=exported,
        outcomes=outcomes,
        window_ns=(normal.began_ns, done_ns),
    )
