"""A finished span as conversion sees it: plain values, whatever made them.

Made by the span processor from an SDK span, or by the recorder from an action whose span nobody recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import msgspec

from otel_feedback.convert.reading import Reading

__all__ = ["Convention", "FinishedSpan", "Outline", "Reads", "SpanError", "SpanEvent"]


class SpanError(NamedTuple):
    """What is known of an exception."""

    type: str | None
    message: str | None
    stack_trace: str | None


class SpanEvent(NamedTuple):
    """Something that happened in a span."""

    name: str
    at_ns: int
    attributes: Mapping[str, Any]


class FinishedSpan(msgspec.Struct, gc=False):
    """What a convention may read of a span that has ended.

    `attributes` belongs to the reader. `error` is the last exception event, or, of our own actions, what left the code;
    `error_at_ns` is when. `in_flight` is the exception that was passing through when the span ended, if it was none when
    the span began. `status` is unset, ok or error.
    """

    event_id: str
    trace_id: str | None
    span_id: str | None
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Any]
    error: SpanError | None
    service_name: str | None
    name: str = ""
    scope: str = ""
    status: str = "unset"
    description: str | None = None
    events: tuple[SpanEvent, ...] = ()
    error_at_ns: int = 0
    in_flight: SpanError | None = None
    never_ended: bool = False


class Outline(msgspec.Struct, gc=False):
    """What is known of a span that has ended besides its ids and attributes, where it ended as most do; see `FinishedSpan`."""

    start_ns: int
    end_ns: int
    name: str
    scope: str
    status: str
    service_name: str | None

    def span(
        self, attributes: Mapping[str, Any], event_id: str = "", trace_id: str | None = None, span_id: str | None = None
    ) -> FinishedSpan:
        """Return the span that has these attributes."""
        return FinishedSpan(
            event_id, trace_id, span_id, self.start_ns, self.end_ns, attributes, None, self.service_name, self.name,
            self.scope, self.status,
        )  # fmt: skip


class Reads(NamedTuple):
    """Which attributes a convention that comes with this package reads: what it reads of these alone is what it reads of all.

    `values` are read as they are, `lists` may be lists in JSON, `json` other JSON texts; those with one of the `prefixes` are metadata, or, of
    `json_prefixes`, such in JSON. Of `shown` it only matters whether they are there. `unless` are attributes with content,
    which is looked at where a model call has none of the attributes behind it, or they say nothing.
    """

    values: frozenset[str] = frozenset()
    lists: frozenset[str] = frozenset()
    json: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()
    json_prefixes: tuple[str, ...] = ()
    shown: frozenset[str] = frozenset()
    unless: tuple[tuple[str, tuple[str, ...]], ...] = ()


class Convention(Protocol):
    """A family of span attributes that says what an agent did and how it ended.

    Both methods are called on the thread that ends the span: they must be quick, and may not keep what they get.
    """

    name: str

    markers: frozenset[str]
    """A span with none of these attributes is not asked about any further."""

    def matches(self, span: FinishedSpan) -> bool:
        """Tell whether this convention, and no other, is to read the span."""
        ...

    def read(self, span: FinishedSpan) -> Reading:
        """Return what the span says; values that do not fit are left out, never raised."""
        ...
