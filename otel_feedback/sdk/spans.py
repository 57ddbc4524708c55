"""`LazySpan`: a span that the SDK's processors and everybody else takes for one of the SDK, and that is made when asked.

    start ──► ids, sampler, on_start ──► end ──► on_ending, on_end(EndedSpan) ──► exporter's queue
                        │                                              │
        somebody touches it: the SDK's own span is made,      the exporter reads it: the SDK's own
        with what it has been told so far                     span is made, and ended, there

What nobody asks for is never made: a span of the SDK costs its attributes, two locks and three bounded lists; this one a
few slots. What is made is made by the SDK's own code, so limits, counts, cleaning and warnings are its own, too.
A subclass of the SDK's public `Span`, used wherever `compat.direct_tracer` knows the tracer. Safe from any thread.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, get_current_span
from opentelemetry.trace import Span as AnySpan

from otel_feedback.sdk.compat import DirectTracer

__all__ = ["EndedSpan", "LastWords", "LazySpan", "start"]


class LastWords(Protocol):
    """What a span is told at its end; kept until somebody reads the span."""

    def tell(self, span: Span) -> None:
        """Say it to a span of the SDK, which is still open."""
        ...


class _Shared:
    """One lock for all spans: it is held when one ends, and when one is made after all. Re-entrant, as all of ours."""

    lock = threading.RLock()

    @classmethod
    def renew(cls) -> None:
        cls.lock = threading.RLock()  # a thread that is not here may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Shared.renew)

_FLAGS = tuple(TraceFlags(value) for value in range(4))
_SAMPLED, _RANDOM = 1, 2


class _Whole(Span):
    """A span of the SDK; only its tracer may make one of the public class."""


class _Catch(SpanProcessor):
    """Takes what the SDK gives its processors at the end of a span."""

    def __init__(self) -> None:
        self.span: ReadableSpan | None = None

    def on_end(self, span: ReadableSpan) -> None:
        self.span = span


class EndedSpan(ReadableSpan):
    """What processors get when a `LazySpan` ends that nobody has touched. It holds nothing of the program."""

    __slots__ = ("_end_ns", "_is_made", "_span", "_words")

    def __init__(self, span: LazySpan, words: LastWords, end_ns: int) -> None:  # pyright: ignore[reportMissingSuperCall]
        self._span = span
        self._words = words
        self._end_ns = end_ns
        self._is_made = False

    def get_span_context(self) -> SpanContext:
        return self._span.context

    @property
    def context(self) -> SpanContext:
        return self._span.context

    @property
    def parent(self) -> SpanContext | None:
        return self._span.parent

    @property
    def resource(self) -> Resource:
        return self._span.resource

    @property
    def start_time(self) -> int:
        return self._span.start_time

    @property
    def end_time(self) -> int:
        return self._end_ns

    def __getattr__(self, name: str) -> Any:
        """Make what the SDK's class has and this one has not yet."""
        if name.startswith("__") or name in EndedSpan.__slots__ or self._is_made:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        self._make()
        return getattr(self, name)

    def _make(self) -> None:
        # no lock: the exporter's thread would have it while an agent's needs it, and making it twice does no harm
        caught = _Catch()
        self.retell(self._span.whole(caught))
        vars(self).update(vars(caught.span))
        self._is_made = True

    def retell(self, whole: Span) -> None:
        """Say all that was said at the end to a span of the SDK, and end it."""
        self._words.tell(whole)
        whole.end(self._end_ns)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Be copied and pickled as the SDK's class, by its rules."""
        plain = ReadableSpan.__new__(ReadableSpan)
        vars(plain).update(vars(self if self._is_made else _made(self)))
        return plain.__reduce_ex__(protocol)


def _made(span: EndedSpan) -> EndedSpan:
    span.name  # noqa: B018 # asking is what makes it
    return span


class LazySpan(Span):
    """A span that is under way. Its maker ends it with `finish()`; `end()` is for everybody else."""

    __slots__ = (
        "_above", "_began_ns", "_count_end", "_direct", "_ended", "_ids", "_origin", "_said", "_title", "is_whole",
    )  # fmt: skip

    def __init__(  # pyright: ignore[reportMissingSuperCall] # that is what is put off
        self,
        direct: DirectTracer,
        ids: SpanContext,
        above: SpanContext | None,
        title: str,
        said: Mapping[str, Any],
        began_ns: int,
        count_end: Callable[[], None] | None,
    ) -> None:
        self._direct = direct
        self._ids = ids
        self._above = above
        self._title = title
        self._said = said
        self._began_ns = began_ns
        self._count_end = count_end
        self._origin = direct.tracer.resource  # a fork changes the tracer's
        self._ended: EndedSpan | None = None
        self.is_whole = False
        """Whether somebody has touched it, and may have told it things that its maker does not know."""

    def get_span_context(self) -> SpanContext:
        return self._ids

    @property
    def context(self) -> SpanContext:
        return self._ids

    @property
    def parent(self) -> SpanContext | None:
        return self._above

    @property
    def resource(self) -> Resource:
        return self._origin

    @property
    def start_time(self) -> int:
        return self._began_ns

    def is_recording(self) -> bool:
        return super().is_recording() if self.is_whole else self._ended is None

    def announce(self, context: Context) -> None:
        """Tell the processors that it has started, below this context."""
        self._direct.tracer.span_processor.on_start(self, parent_context=context)

    def finish(self, words: LastWords, end_ns: int) -> None:
        """End it, and say what there is to say at its end."""
        ended: EndedSpan | None = None
        with _Shared.lock:
            if not self.is_whole:
                ended = self._ended = EndedSpan(self, words, end_ns)
        if ended is not None:
            if self._count_end is not None:
                self._count_end()
            direct = self._direct
            direct.tell_ending(self)
            direct.tracer.span_processor.on_end(ended)
        elif self.is_recording():  # nobody else has ended it
            words.tell(self)
            self.end(end_ns)

    def __getattr__(self, name: str) -> Any:
        """Make what the SDK's class has and this one has not yet."""
        if name.startswith("__") or name in LazySpan.__slots__ or self.is_whole:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        self._make()
        return getattr(self, name)

    def _make(self) -> None:
        with _Shared.lock:
            if self.is_whole:
                return
            ended = self._ended
            if ended is None:
                whole = self.whole(self._direct.ending, self._count_end)
            else:
                whole = self.whole(SpanProcessor())
                ended.retell(whole)
            vars(self).update(vars(whole))
            self.is_whole = True

    def whole(self, processor: SpanProcessor, count_end: Callable[[], None] | None = None) -> Span:
        """Make the SDK's span as it was after its start; `processor` hears of its end."""
        direct = self._direct
        tracer = direct.tracer
        span = _Whole(
            name=self._title, context=self._ids, parent=self._above, sampler=tracer.sampler, resource=self._origin,
            attributes=self._said, span_processor=processor, kind=SpanKind.INTERNAL, links=(),
            instrumentation_info=tracer.instrumentation_info, limits=direct.limits, instrumentation_scope=direct.scope,
            **direct.details(count_end),
        )  # fmt: skip
        Span.start(span, self._began_ns)
        return span


def start(direct: DirectTracer, name: str, context: Context, attributes: Mapping[str, Any], start_ns: int) -> AnySpan:
    """Start a span as `Tracer.start_span()` does; the caller announces it, if it is a `LazySpan`."""
    tracer = direct.tracer
    above: SpanContext | None = get_current_span(context).get_span_context()
    if direct.is_enabled is not None and not direct.is_enabled():
        return NonRecordingSpan(above)
    ids = tracer.id_generator
    if above.is_valid:
        trace_id = above.trace_id
        is_random = direct.flags_random and above.trace_flags & _RANDOM
    else:
        above = None
        trace_id = ids.generate_trace_id()
        is_random = direct.flags_random and ids.is_trace_id_random()
    result = tracer.sampler.should_sample(context, trace_id, name, SpanKind.INTERNAL, attributes, ())
    decision = result.decision
    flags = (_SAMPLED if decision is Decision.RECORD_AND_SAMPLE else 0) | (_RANDOM if is_random else 0)
    made = SpanContext(trace_id, ids.generate_span_id(), False, _FLAGS[flags], result.trace_state)
    count_end = None if direct.count_start is None else direct.count_start(above, decision)
    if decision is Decision.DROP:
        return NonRecordingSpan(made)
    return LazySpan(direct, made, above, name, result.attributes, start_ns, count_end)
