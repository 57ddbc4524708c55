"""`LazySpan`: a span that the SDK's processors and everybody else takes for one of the SDK, and that is made when asked.

    start ──► ids, sampler, on_start ──► end ──► on_ending, on_end(EndedSpan) ──► exporter's queue
                        │                                              │
        somebody touches it: the SDK's own span is made,      the exporter reads it: the SDK's own
        with what it has been told so far                     span is made, and ended, there

What nobody asks for is never made: a span of the SDK costs its attributes, two locks and three bounded lists; this one a
few slots. What is made is made by the SDK's own code, so limits, counts, cleaning and warnings are its own, too; but
for attributes that are within its limits and clean already, which is nearly all of them.
A subclass of the SDK's public `Span`, used wherever `compat.tracers.direct_tracer` knows the tracer. Safe from any thread.
"""

# pyright: reportPrivateUsage=false
# the two kinds of span here are two states of one

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from random import getrandbits
from typing import Any, Protocol

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import DEFAULT_ON, Decision
from opentelemetry.trace import INVALID_SPAN_CONTEXT, NonRecordingSpan, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace import Span as AnySpan

from otel_feedback.sdk.compat.attributes import bounded_attributes
from otel_feedback.sdk.compat.contexts import NO_STATE, SPAN_KEY, Ids, new_context, trace_of
from otel_feedback.sdk.compat.hearers import hearers
from otel_feedback.sdk.compat.tracers import DRAW_SPAN, DRAW_TRACE, DRAWS_BITS, DirectTracer
from otel_feedback.sdk.sampling import OutcomeSampler

__all__ = ["EndedSpan", "LastWords", "LazySpan", "start"]


class LastWords(Protocol):
    """What a span is told at its end; kept until somebody reads the span."""

    def tell(self, span: Span) -> None:
        """Say it to a span of the SDK, which is still open."""
        ...

    def plain(self, begun: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return all attributes of a span that began with these, where there is nothing else to say and to clean."""
        ...


class _Shared:
    """One lock for all spans: it is held when one ends, and when one is made after all. Re-entrant, as all of ours."""

    __slots__ = ("lock",)

    def __init__(self) -> None:
        self.lock = threading.RLock()


_shared = _Shared()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_shared.__init__)  # a thread that is not here may have held it

_FLAGS = tuple(TraceFlags(value) for value in range(4))
_SAMPLED, _RANDOM, _BOTH = 1, 2, 3
_SAMPLE, _DROP = Decision.RECORD_AND_SAMPLE, Decision.DROP
_new = object.__new__  # a span's own does nothing but refuse the public class


class _Whole(Span):
    """A span of the SDK; only its tracer may make one of the public class."""


class _Catch(SpanProcessor):
    """Takes what the SDK gives its processors at the end of a span."""

    def __init__(self) -> None:
        self.span: ReadableSpan | None = None

    def on_end(self, span: ReadableSpan) -> None:
        self.span = span


class _Later:
    """An attribute of the SDK's span that one of ours has once it is made; its own then stands before this.

    In the place of a `__getattr__`, with which each look at what is there takes ten times as long.
    """

    __slots__ = ("_make", "_name")

    def __init__(self, name: str, make: Callable[[Any], None]) -> None:
        self._name, self._make = name, make

    def __get__(self, span: Any, owner: type) -> Any:
        if span is not None:
            if not span.is_whole:
                self._make(span)
            if self._name in vars(span):
                return vars(span)[self._name]
        raise AttributeError(f"{owner.__name__!r} object has no attribute {self._name!r}")


def _make_later(kind: type, like: ReadableSpan, make: Callable[[Any], None]) -> None:
    """Let spans of this kind be made when somebody asks for what is in one of the SDK's."""
    for name in vars(like).keys() - vars(kind).keys():
        setattr(kind, name, _Later(name, make))


class EndedSpan(ReadableSpan):
    """What processors get when a `LazySpan` ends that nobody has touched. It holds nothing of the program."""

    # what every processor looks at stands in the place of the SDK's properties
    __slots__ = ("_span", "context", "end_time", "is_whole")

    def __init__(self) -> None:  # pyright: ignore[reportMissingSuperCall] # that is what is put off
        self._span: LazySpan  # which does not know this one: a cycle would be the garbage collector's to free
        self.is_whole: bool
        self.context: SpanContext  # type: ignore[misc]
        self.end_time: int  # type: ignore[misc]

    def get_span_context(self) -> SpanContext:
        return self.context

    @property
    def parent(self) -> SpanContext | None:
        return self._span.parent

    @property
    def resource(self) -> Resource:
        return self._span.resource

    @property
    def start_time(self) -> int:
        return self._span.start_time

    def make(self) -> None:
        """Become whole."""
        # no lock: the exporter's thread would have it while an agent's needs it, and making it twice does no harm
        if not self._span.fill(self):
            caught = _Catch()
            self._span.retell(self._span.whole(caught))
            vars(self).update(vars(caught.span))
        self.is_whole = True

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Be copied and pickled as the SDK's class, by its rules."""
        if not self.is_whole:
            self.make()
        plain = ReadableSpan.__new__(ReadableSpan)
        vars(plain).update(vars(self))
        return plain.__reduce_ex__(protocol)


class LazySpan(Span):
    """A span that is under way. Its maker ends it with `finish()`; `end()` is for everybody else."""

    __slots__ = (
        "_count_end", "_direct", "_end_ns", "_said", "_title", "_words", "context", "ids", "is_sampled", "is_whole", "parent", "resource", "start_time",
    )  # fmt: skip

    def __init__(self) -> None:  # pyright: ignore[reportMissingSuperCall] # that is what is put off
        self._direct: DirectTracer
        self._title: str
        self._said: Mapping[str, Any]
        self._count_end: Callable[[], None] | None
        self._words: LastWords | None  # once it has ended
        self._end_ns: int
        self.is_whole: bool
        """Whether somebody has touched it, and may have told it things that its maker does not know."""
        self.ids: Ids
        self.is_sampled: bool
        self.context: SpanContext  # type: ignore[misc]
        self.parent: SpanContext | None  # type: ignore[misc]
        self.resource: Resource  # type: ignore[misc]
        self.start_time: int  # type: ignore[misc]

    def get_span_context(self) -> SpanContext:
        return self.context

    def is_recording(self) -> bool:
        return super().is_recording() if self.is_whole else self._words is None

    def announce(self, context: Context, *, is_apart: bool) -> None:
        """Tell the processors that it has started, below this context; `is_apart`: below none of others' spans."""
        heard = hearers(self._direct.tracer.span_processor)
        for processor in heard.of_apart if is_apart else heard.of_start:
            processor.on_start(self, parent_context=context)

    def finish(self, words: LastWords, end_ns: int) -> None:
        """End it, and say what there is to say at its end."""
        with _shared.lock:
            is_whole = self.is_whole
            if not is_whole:
                self._words, self._end_ns = words, end_ns
        if not is_whole:
            ended = _new(EndedSpan)
            ended._span, ended.is_whole, ended.context, ended.end_time = self, False, self.context, end_ns
            if self._count_end is not None:
                self._count_end()
            direct = self._direct
            heard = hearers(direct.tracer.span_processor)
            if heard.has_ending and direct.tells_ending:
                direct.tell_ending(self)
            for processor in heard.of_end:
                processor.on_end(ended)
        elif self.is_recording():  # nobody else has ended it
            words.tell(self)
            self.end(end_ns)

    def _make(self) -> None:
        with _shared.lock:
            if self.is_whole:
                return
            if self._words is None:
                whole = self.whole(self._direct.ending, self._count_end)
            else:
                whole = self.whole(SpanProcessor())
                self.retell(whole)
            vars(self).update(vars(whole))
            self.is_whole = True

    def retell(self, whole: Span) -> None:
        """Say all that was said at the end to a span of the SDK, and end it."""
        if self._words is not None:
            self._words.tell(whole)
            whole.end(self._end_ns)

    def fill(self, ended: ReadableSpan) -> bool:
        """Say all that was said to what the SDK makes of an ended span; False where the SDK itself has to look at it."""
        direct, words = self._direct, self._words
        attributes = None if words is None else words.plain(self._said)
        if attributes is None or (bounded := bounded_attributes(attributes, direct.limits)) is None:
            return False
        ReadableSpan.__init__(
            ended, name=self._title, context=self.context, parent=self.parent, resource=self.resource,
            attributes=bounded, instrumentation_info=direct.tracer.instrumentation_info, start_time=self.start_time,
            end_time=self._end_ns, instrumentation_scope=direct.scope,
        )  # fmt: skip
        return True

    def whole(self, processor: SpanProcessor, count_end: Callable[[], None] | None = None) -> Span:
        """Make the SDK's span as it was after its start; `processor` hears of its end."""
        direct = self._direct
        tracer = direct.tracer
        span = _Whole(
            name=self._title, context=self.context, parent=self.parent, sampler=tracer.sampler, resource=self.resource,
            attributes=self._said, span_processor=processor, kind=SpanKind.INTERNAL, links=(),
            instrumentation_info=tracer.instrumentation_info, limits=direct.limits, instrumentation_scope=direct.scope,
            **direct.details(count_end),
        )  # fmt: skip
        Span.start(span, self.start_time)
        return span


_sample = _Whole("", INVALID_SPAN_CONTEXT, resource=Resource.get_empty())
_make_later(EndedSpan, ReadableSpan("", resource=Resource.get_empty()), EndedSpan.make)
_make_later(LazySpan, _sample, LazySpan._make)


def start(
    direct: DirectTracer, name: str, context: Context, attributes: Mapping[str, Any], start_ns: int
) -> AnySpan | None:
    """Start a span as `Tracer.start_span()` does; the caller announces it, if it is a `LazySpan`.

    None: the tracer starts spans in another way now.
    """
    tracer = direct.tracer
    if type(tracer).start_span is not direct.start_span or "start_span" in direct.patches:
        return None
    around: AnySpan | None = context.get(SPAN_KEY)  # type: ignore[assignment] # as the SDK believes it
    above: SpanContext | None = None if around is None else around.get_span_context()
    if direct.is_enabled is not None and not direct.is_enabled():
        return NonRecordingSpan(INVALID_SPAN_CONTEXT if above is None else above)
    ids, sampler = tracer.id_generator, tracer.sampler
    # nobody has put another generator there, or patched this one
    is_random = (
        type(ids) is RandomIdGenerator
        and DRAWS_BITS
        and RandomIdGenerator.generate_trace_id is DRAW_TRACE
        and RandomIdGenerator.generate_span_id is DRAW_SPAN
    )
    if above is not None and (trace := trace_of(above))[3]:
        trace_id, flags, state, _ = trace
        flags &= _BOTH if direct.flags_random else _SAMPLED
    else:
        above, state = None, NO_STATE
        trace_id = (getrandbits(128) or 1) if is_random else ids.generate_trace_id()
        flags = _BOTH if direct.flags_random and (is_random or ids.is_trace_id_random()) else _SAMPLED
    count_end = None
    # the SDK's default needs not be asked: it samples what is sampled above, and every root
    if flags & _SAMPLED and (sampler is DEFAULT_ON or (type(sampler) is OutcomeSampler and sampler.root is DEFAULT_ON)):
        is_sampled, decision = True, _SAMPLE
    else:
        result = sampler.should_sample(context, trace_id, name, SpanKind.INTERNAL, attributes, ())
        decision, attributes, state = result.decision, result.attributes, result.trace_state or NO_STATE
        is_sampled = decision is _SAMPLE
        flags = flags | _SAMPLED if is_sampled else flags & _RANDOM
    if is_random:
        span_id = getrandbits(64) or 1
        made = new_context((trace_id, span_id, False, _FLAGS[flags], state, True))
    else:
        span_id = ids.generate_span_id()
        made = SpanContext(trace_id, span_id, False, _FLAGS[flags], state)
    if direct.count_start is not None:
        count_end = direct.count_start(above, decision)
    if decision is _DROP:
        return NonRecordingSpan(made)
    span = _new(LazySpan)
    span._direct, span._title, span._said, span._count_end, span._words = direct, name, attributes, count_end, None
    span.context, span.parent, span.resource, span.start_time = made, above, tracer.resource, start_ns
    span.ids, span.is_sampled, span.is_whole = (trace_id, span_id), is_sampled, False
    return span
