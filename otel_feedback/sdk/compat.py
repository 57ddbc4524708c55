"""What OpenTelemetry's Python packages mark as private is touched here and in `held`; and why each has no public name.

`direct_tracer` is the largest part: what the SDK's tracer does when a span starts, for spans that it does not make itself.
It reads the SDK's own function to see whether it does what it is known to do; where it does more, or was patched, there is
no direct tracer, and spans are made by `start_span()`: right as ever, only dearer.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from operator import attrgetter, itemgetter
from types import CodeType, FunctionType
from typing import Any, NamedTuple, cast

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.attributes import BoundedAttributes

# the key that every instrumentor looks at before it makes a span; public only in the contrib package
from opentelemetry.context import (
    _SUPPRESS_INSTRUMENTATION_KEY,  # pyright: ignore[reportPrivateUsage]
    Context,
)
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, SynchronousMultiSpanProcessor, Tracer
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, TraceState

__all__ = [
    "DRAWS_BITS", "DRAW_SPAN", "DRAW_TRACE", "NO_STATE", "SPAN_KEY", "DirectTracer", "Ending", "Hearers", "Ids",
    "bounded_attributes", "current_variable", "direct_tracer", "flags_of", "hearers", "ids_of", "new_context",
    "suppress_instrumentation", "trace_of",
]  # fmt: skip


@contextmanager
def suppress_instrumentation() -> Generator[None]:
    """Let instrumented HTTP, gRPC and Kafka clients make no spans in this context: an export must not be traced."""
    token = context_api.attach(context_api.set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
    try:
        yield
    finally:
        context_api.detach(token)


_PROBE = object()
_SPAN_KEYS = [key for key, value in trace.set_span_in_context(cast(Any, _PROBE), Context()).items() if value is _PROBE]
"""The key under which a context holds its span. There is one, found by putting a span in; the API has no name for it."""

SPAN_KEY = _SPAN_KEYS[0]

_PLACES = SpanContext(1, 2, is_remote=False)
Ids = tuple[int, int]
ids_of: Callable[[SpanContext], Ids] = (
    itemgetter(0, 1) if itemgetter(0, 1)(_PLACES) == (1, 2) else attrgetter("trace_id", "span_id")
)
"""Return trace and span id of a context. It is a tuple by its public type, but what stands where is not said."""


_START_STEPS = frozenset({
    "trace_api", "get_current_span", "get_span_context", "isinstance", "SpanContext", "TypeError", "_is_enabled",
    "NonRecordingSpan", "is_valid", "id_generator", "generate_trace_id", "trace_id", "sampler", "should_sample", "decision",
    "is_sampled", "TraceFlags", "SAMPLED", "DEFAULT", "is_trace_id_random", "trace_flags", "random_trace_id",
    "RANDOM_TRACE_ID", "generate_span_id", "trace_state", "_tracer_metrics", "start_span", "is_recording", "_Span",
    "resource", "attributes", "copy", "span_processor", "instrumentation_info", "_span_limits", "_instrumentation_scope",
    "start",
})  # fmt: skip
"""All names that `Tracer.start_span` uses, in SDK 1.39 to 1.45; one that uses others does something that we do not know."""

_END_STEPS = frozenset({
    "_lock", "_start_time", "RuntimeError", "_end_time", "logger", "warning", "time_ns", "_attributes", "_immutable",
    "_record_end_metrics", "_span_processor", "_on_ending", "on_end", "_readable_span",
})  # fmt: skip
"""The same of `Span.end`."""


def _code_of(function: object) -> CodeType | None:
    """Return the code of a function of the SDK; None for what somebody put in its place."""
    if not isinstance(function, FunctionType) or hasattr(function, "__wrapped__"):
        return None
    return function.__code__ if function.__globals__ is sdk.__dict__ else None


class Ending(SpanProcessor):
    """Hands what a span does at its end to the processors of a tracer, and nothing that it does before."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def _on_ending(self, span: sdk.Span) -> None:
        cast(Any, self._tracer.span_processor)._on_ending(span)

    def on_end(self, span: sdk.ReadableSpan) -> None:
        self._tracer.span_processor.on_end(span)


class DirectTracer(NamedTuple):
    """What an SDK tracer needs for a span that it does not make itself; its public names are read when they are used.

    `is_enabled` is None where the SDK knows no scopes that are switched off, `count_start` where it does not count spans;
    `flags_random` and `tells_ending` say whether it does. `ending` takes part in the end of spans that are the SDK's own.
    It may be used as long as `start_span` is what the tracer starts spans with: it may be patched at any time.
    """

    tracer: Tracer
    start_span: FunctionType
    patches: Mapping[str, object]
    limits: SpanLimits
    scope: InstrumentationScope
    is_enabled: Callable[[], bool] | None
    count_start: Callable[[SpanContext | None, Decision], Callable[[], None]] | None
    flags_random: bool
    tells_ending: bool
    ending: SpanProcessor

    def tell_ending(self, span: sdk.Span) -> None:
        """Tell the processors that the span is ending; asked for where the SDK does."""
        cast(Any, self.tracer.span_processor)._on_ending(span)

    def details(self, record_end: Callable[[], None] | None) -> Mapping[str, Any]:
        """Return arguments of the SDK's span that not every SDK knows."""
        return {} if record_end is None else {"record_end_metrics": record_end}


class Hearers(NamedTuple):
    """Which processors do something, of those that one processor hands spans on to.

    `of_start` when a span starts, `of_apart` when one of ours starts that is below none of others; `of_end` are all of them.
    `has_ending`: one of them hears that a span is ending.
    """

    of_start: tuple[SpanProcessor, ...]
    of_apart: tuple[SpanProcessor, ...]
    of_end: tuple[SpanProcessor, ...]
    has_ending: bool


_HANDS_ON = SynchronousMultiSpanProcessor if hasattr(SynchronousMultiSpanProcessor(), "_span_processors") else None
MOST_HEARERS = 64
_hearers: dict[object, Hearers] = {}
_latest: tuple[object, Hearers] = (None, Hearers((), (), (), False))
"""Who was asked for last: nearly always the same, and told by what it is rather than by what is in it."""


def hearers(processor: SpanProcessor) -> Hearers:
    """Return who hears of spans through a processor of a tracer; such as only hand on are looked through."""
    global _latest  # noqa: PLW0603 # replaced as a whole
    if type(processor) is not _HANDS_ON:
        return Hearers((processor,), (processor,), (processor,), True)
    inner: tuple[SpanProcessor, ...] = processor._span_processors  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue, reportPrivateUsage]
    known, found = _latest
    if inner is known:
        return found
    found = _hearers.get(inner)
    if found is None:
        if len(_hearers) > MOST_HEARERS:
            _hearers.clear()
        starts = tuple(one for one in inner if _does_something(one, "on_start"))
        found = _hearers[inner] = Hearers(
            starts,
            tuple(one for one in starts if not getattr(one.on_start, "passes_over_apart", False)),
            inner,
            any(_does_something(one, "_on_ending") for one in inner),
        )
    _latest = (inner, found)
    return found


def _does_something(processor: SpanProcessor, name: str) -> bool:
    """Tell whether a method is more than `pass`: then it uses a name, of whatever kind."""
    function = getattr(processor, name, None)
    code = getattr(getattr(function, "__func__", None), "__code__", None)
    return function is not None and (code is None or bool(code.co_names or code.co_freevars))


_LIKE = SpanContext(1, 2, False)
NO_STATE = _LIKE.trace_state
"""The trace state of a trace that has none."""
_has_six = tuple(_LIKE) == (1, 2, False, _LIKE.trace_flags, NO_STATE, True)
trace_of: Callable[[SpanContext], tuple[int, int, TraceState, bool]] = (
    itemgetter(0, 3, 4, 5) if _has_six else attrgetter("trace_id", "trace_flags", "trace_state", "is_valid")
)
"""Return what a span below takes over of a context: trace id, flags and state; and whether it is valid."""

flags_of: Callable[[SpanContext], int] = itemgetter(3) if _has_six else attrgetter("trace_flags")
"""Return the flags of a context."""

new_context: Callable[[Sequence[object]], SpanContext] = (
    partial(tuple.__new__, SpanContext) if _has_six else lambda six: SpanContext(*six[:5])  # type: ignore[arg-type]
)
"""Make a span's context of its two ids, which must be valid, `False`, flags, state, and `True`; in one step, in C."""

DRAW_TRACE, DRAW_SPAN = RandomIdGenerator.generate_trace_id, RandomIdGenerator.generate_span_id
_DRAW_STEPS = frozenset({"random", "getrandbits", "trace", "INVALID_TRACE_ID", "INVALID_SPAN_ID"})
DRAWS_BITS = all(_DRAW_STEPS.issuperset(draw.__code__.co_names) for draw in (DRAW_TRACE, DRAW_SPAN))
"""Whether ids are random bits, by the SDK's own generator and what it calls, so that they need not be asked for one by one."""


def bounded_attributes(clean: Mapping[str, Any], limits: SpanLimits) -> Mapping[str, Any] | None:
    """Return what a span of the SDK holds these attributes in, which need no cleaning; None where limits would cut them."""
    most = limits.max_span_attributes
    if (most is not None and len(clean) > most) or limits.max_span_attribute_length is not None:
        return None
    made = BoundedAttributes(most, immutable=False)
    known = vars(made).get("_dict")
    if not isinstance(known, dict):
        return None
    known.update(clean)
    vars(made)["_immutable"] = True
    return made


def current_variable() -> ContextVar[Context] | None:
    """Return the variable that holds the current context, where that is all there is to it."""
    runtime: Any = vars(context_api).get("_RUNTIME_CONTEXT")
    variable = getattr(runtime, "_current_context", None)
    is_known = type(runtime) is ContextVarsRuntimeContext and isinstance(variable, ContextVar)
    return cast("ContextVar[Context]", variable) if is_known else None


def direct_tracer(tracer: object) -> DirectTracer | None:
    """Return what is needed to make spans as this tracer does; None where only the tracer itself knows how to."""
    if type(tracer) is not Tracer or "start_span" in vars(tracer):
        return None
    start, end = _code_of(vars(Tracer).get("start_span")), _code_of(vars(sdk.Span).get("end"))
    if (
        start is None
        or end is None
        or not (_START_STEPS.issuperset(start.co_names) and _END_STEPS.issuperset(end.co_names))
    ):
        return None
    own: Any = tracer
    try:
        metrics = own._tracer_metrics if "_tracer_metrics" in start.co_names else None
        return DirectTracer(
            tracer, vars(Tracer)["start_span"], vars(tracer), own._span_limits, own._instrumentation_scope,
            own._is_enabled if "_is_enabled" in start.co_names else None,
            None if metrics is None or type(metrics).__name__ == "NoOpTracerMetrics" else metrics.start_span,
            "is_trace_id_random" in start.co_names,
            "_on_ending" in end.co_names,
            Ending(tracer),
        )  # fmt: skip
    except AttributeError:
        return None
