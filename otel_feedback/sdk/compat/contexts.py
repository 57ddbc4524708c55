"""What a context holds and where it is held, and what stands where in a span's context: of all that the API says nothing.

Looked for once, when this is imported, in contexts that are made for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import partial
from operator import attrgetter, itemgetter
from typing import Any, cast

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext
from opentelemetry.trace import SpanContext, TraceState

__all__ = ["NO_STATE", "SPAN_KEY", "Ids", "current_variable", "flags_of", "ids_of", "new_context", "trace_of"]

_PROBE = object()
_SPAN_KEYS = [key for key, value in trace.set_span_in_context(cast(Any, _PROBE), Context()).items() if value is _PROBE]
"""The key under which a context holds its span. There is one, found by putting a span in; the API has no name for it."""

SPAN_KEY = _SPAN_KEYS[0]

_LIKE = SpanContext(1, 2, is_remote=False)
Ids = tuple[int, int]
ids_of: Callable[[SpanContext], Ids] = (
    itemgetter(0, 1) if itemgetter(0, 1)(_LIKE) == (1, 2) else attrgetter("trace_id", "span_id")
)
"""Return trace and span id of a context. It is a tuple by its public type, but what stands where is not said."""

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


def current_variable() -> ContextVar[Context] | None:
    """Return the variable that holds the current context, where that is all there is to it."""
    runtime: Any = vars(context_api).get("_RUNTIME_CONTEXT")
    variable = getattr(runtime, "_current_context", None)
    is_known = type(runtime) is ContextVarsRuntimeContext and isinstance(variable, ContextVar)
    return cast("ContextVar[Context]", variable) if is_known else None
