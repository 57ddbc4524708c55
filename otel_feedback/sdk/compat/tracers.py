"""What the SDK's tracer does when a span starts, for spans that it does not make itself.

`direct_tracer` reads the SDK's own function to see whether it does what it is known to do; where it does more, or was
patched, there is no direct tracer, and spans are made by `start_span()`: right as ever, only dearer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import CodeType, FunctionType
from typing import Any, NamedTuple, cast

from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, Tracer
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext

__all__ = ["DRAWS_BITS", "DRAW_SPAN", "DRAW_TRACE", "DirectTracer", "Ending", "direct_tracer"]

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


DRAW_TRACE, DRAW_SPAN = RandomIdGenerator.generate_trace_id, RandomIdGenerator.generate_span_id
_DRAW_STEPS = frozenset({"random", "getrandbits", "trace", "INVALID_TRACE_ID", "INVALID_SPAN_ID"})
DRAWS_BITS = all(_DRAW_STEPS.issuperset(draw.__code__.co_names) for draw in (DRAW_TRACE, DRAW_SPAN))
"""Whether ids are random bits, by the SDK's own generator and what it calls, so that they need not be asked for one by one."""


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
