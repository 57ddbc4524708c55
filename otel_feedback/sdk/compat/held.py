"""What spans of others hold, asked of each that starts and ends, without a call for each of their names.

Their public names are functions: of a span that starts and ends twenty calls, some of which take locks, views and copies. So
spans of the SDK's own classes are asked for what they hold, by names that it marks as private, where that is what the
public names tell; others are asked by these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, Status, StatusCode

__all__ = ["Begun", "Ended", "attributes_of", "begun_of", "ended_of"]

Begun: TypeAlias = tuple[SpanContext, SpanContext | None, str, int | None, dict[str, Any]]
"""Its ids, those of the span above it, the name of its scope, when it began, and its attributes, which are not to be changed."""

Ended: TypeAlias = tuple[
    str, int | None, int | None, dict[str, Any], Sequence[sdk.Event], str, str | None, str, Resource
]  # fmt: skip
"""The name of its scope, when it began and ended, attributes, events, its status (unset, ok or error) and what is said of that,
its name, and its resource."""

_READABLE = frozenset({sdk.ReadableSpan, sdk.Span, getattr(sdk, "_Span", sdk.Span)})
_UNSET, _ERROR = StatusCode.UNSET, StatusCode.ERROR
_NO_EVENTS: Sequence[sdk.Event] = ()


def attributes_of(span: sdk.ReadableSpan) -> dict[str, Any]:
    """Return a span's attributes, which are not to be changed: the very dict that it has, or a copy."""
    if span.__class__ in _known:  # others may tell others than they have
        own: Any = span
        held = own._attributes
        if held.__class__ is BoundedAttributes:
            known: dict[str, Any] = held._dict
            return known
    return dict(span.attributes or {})


def begun_of(span: sdk.Span) -> Begun:
    """Return what is asked of a span that starts."""
    if span.__class__ in _known:
        own: Any = span
        held, scope = own._attributes, own._instrumentation_scope
        if held.__class__ is BoundedAttributes and scope.__class__ is InstrumentationScope:
            return own._context, own._parent, scope._name, own._start_time, held._dict
    return _begun_as_told(span)


def ended_of(span: sdk.ReadableSpan) -> Ended:
    """Return what is asked of a span that has ended."""
    if span.__class__ in _known:
        own: Any = span
        held, scope, events, status = own._attributes, own._instrumentation_scope, own._events, own._status
        if (
            held.__class__ is BoundedAttributes
            and scope.__class__ is InstrumentationScope
            and events.__class__ is BoundedList
            and status.__class__ is Status
        ):
            code = status._status_code
            return (
                scope._name, own._start_time, own._end_time, held._dict, own.events if events._dq else _NO_EVENTS,
                "unset" if code is _UNSET else "error" if code is _ERROR else "ok", status._description, own._name,
                own._resource,
            )  # fmt: skip
    return _ended_as_told(span)


def _begun_as_told(span: sdk.ReadableSpan) -> Begun:
    scope, context = span.instrumentation_scope, span.context
    assert context is not None
    return context, span.parent, "" if scope is None else scope.name, span.start_time, dict(span.attributes or {})


def _ended_as_told(span: sdk.ReadableSpan) -> Ended:
    scope, status = span.instrumentation_scope, span.status
    code = status.status_code
    return (
        "" if scope is None else scope.name, span.start_time, span.end_time, dict(span.attributes or {}), span.events,
        "unset" if code is _UNSET else "error" if code is _ERROR else "ok", status.description, span.name, span.resource,
    )  # fmt: skip


def _holds_what_it_tells() -> bool:
    """Tell whether a span of this SDK holds what it tells under the names that are known here."""
    events = BoundedList(2)
    events.append(sdk.Event("e"))
    for held in (events, BoundedList(2)):
        span: Any = sdk.ReadableSpan(
            "n", SpanContext(1, 2, is_remote=False), SpanContext(1, 3, is_remote=True), Resource.get_empty(),
            BoundedAttributes(attributes={"a": 1}), held, status=Status(StatusCode.ERROR, "d"), start_time=4, end_time=5,
            instrumentation_scope=InstrumentationScope("s"),
        )  # fmt: skip
        try:
            is_so = begun_of(span) == _begun_as_told(span) and ended_of(span) == _ended_as_told(span)
            is_so = is_so and ended_of(span)[3].__class__ is dict
        except AttributeError:
            return False
        if not is_so:
            return False
    return True


_known: frozenset[type] = _READABLE
if not _holds_what_it_tells():
    _known = frozenset()
