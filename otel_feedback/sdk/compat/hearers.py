"""Which processors of a tracer hear of a span: those inside the SDK's own, which hands on and keeps them under a private name."""

from __future__ import annotations

from typing import NamedTuple

from opentelemetry.sdk.trace import SpanProcessor, SynchronousMultiSpanProcessor

__all__ = ["Hearers", "hearers"]


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
