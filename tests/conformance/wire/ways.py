"""The ways by which an action gets its span, on providers that differ in nothing else.

    sdk        the SDK's own tracer
    wrapper    an object of another class that passes everything on to the SDK's tracer
    subclass   a subclass of the SDK's tracer
    patched    the SDK's tracer, whose class has another `start_span` by now
    one patched    the SDK's tracer, and this one object has another `start_span`

But for the first one an action has to ask `start_span` for its span, and `Started` remembers that it did.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from typing import Any, cast

from opentelemetry import trace
from opentelemetry.sdk.trace import Tracer, TracerProvider

__all__ = ["FALLBACKS", "SDK", "WAYS", "Started", "Way"]

OURS = "otel_feedback"
"""The scope of actions."""

Started = list[str]
"""The names with which `start_span` was called by the scope of actions."""

Way = Callable[[Started], AbstractContextManager[type[TracerProvider]]]


class Wrapper(trace.Tracer):
    """Passes everything on, as wrappers do that others put around a tracer."""

    def __init__(self, tracer: trace.Tracer, started: Started | None) -> None:
        self._tracer = tracer
        self._started = started

    def start_span(self, name: str, *args: Any, **kwargs: Any) -> trace.Span:
        if self._started is not None:
            self._started.append(name)
        return self._tracer.start_span(name, *args, **kwargs)

    def start_as_current_span(self, *args: Any, **kwargs: Any) -> Any:
        return self._tracer.start_as_current_span(*args, **kwargs)


class Subclass(Tracer):
    """What becomes of the SDK's tracer in a program that has one of its own."""

    started: Started

    def start_span(self, name: str, *args: Any, **kwargs: Any) -> trace.Span:
        self.started.append(name)
        return super().start_span(name, *args, **kwargs)


@contextlib.contextmanager
def _sdk(started: Started) -> Generator[type[TracerProvider]]:
    yield TracerProvider


@contextlib.contextmanager
def _wrapper(started: Started) -> Generator[type[TracerProvider]]:
    class Provider(TracerProvider):
        def get_tracer(self, instrumenting_module_name: str, *args: Any, **kwargs: Any) -> trace.Tracer:
            tracer = super().get_tracer(instrumenting_module_name, *args, **kwargs)
            return Wrapper(tracer, started if instrumenting_module_name == OURS else None)

    yield Provider


@contextlib.contextmanager
def _subclass(started: Started) -> Generator[type[TracerProvider]]:
    class Provider(TracerProvider):
        def get_tracer(self, instrumenting_module_name: str, *args: Any, **kwargs: Any) -> trace.Tracer:
            tracer = super().get_tracer(instrumenting_module_name, *args, **kwargs)
            if instrumenting_module_name == OURS:
                # the provider goes on knowing it, and changes its resource after a fork
                tracer.__class__ = Subclass
                cast("Subclass", tracer).started = started
            return tracer

    yield Provider


@contextlib.contextmanager
def _one_patched(started: Started) -> Generator[type[TracerProvider]]:
    class Provider(TracerProvider):
        def get_tracer(self, instrumenting_module_name: str, *args: Any, **kwargs: Any) -> trace.Tracer:
            tracer = super().get_tracer(instrumenting_module_name, *args, **kwargs)
            if instrumenting_module_name == OURS:
                original = tracer.start_span

                def start_span(name: str, *args: Any, **kwargs: Any) -> trace.Span:
                    started.append(name)
                    return original(name, *args, **kwargs)

                tracer.start_span = start_span
            return tracer

    yield Provider


@contextlib.contextmanager
def _patched(started: Started) -> Generator[type[TracerProvider]]:
    original = Tracer.start_span

    @functools.wraps(original)
    def start_span(self: Tracer, name: str, *args: Any, **kwargs: Any) -> trace.Span:
        if self.instrumentation_info.name == OURS:
            started.append(name)
        return original(self, name, *args, **kwargs)

    Tracer.start_span = start_span
    try:
        yield TracerProvider
    finally:
        Tracer.start_span = original


SDK: Way = _sdk
FALLBACKS: dict[str, Way] = {
    "wrapper": _wrapper,
    "subclass": _subclass,
    "patched": _patched,
    "one patched": _one_patched,
}
WAYS: dict[str, Way] = {"sdk": SDK, **FALLBACKS}
