"""A finished span as conversion sees it: plain values, whatever made them.

Made by the span processor from an SDK span, or by the recorder from an action whose span nobody recorded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from otel_feedback.events.model import OutcomeEvent

__all__ = ["Convention", "FinishedSpan"]


class FinishedSpan(msgspec.Struct, gc=False):
    """What a convention may read of a span that has ended.

    `attributes` belongs to the reader. `error` is (type, message, stack trace) of the last exception event.
    """

    event_id: str
    trace_id: str | None
    span_id: str | None
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Any]
    error: tuple[str | None, str | None, str | None] | None
    service_name: str | None


class Convention(Protocol):
    """A family of span attributes that says how an agent action ended."""

    name: str

    def matches(self, attributes: Mapping[str, Any]) -> bool:
        """Tell whether a span with these attributes is an action in this convention."""
        ...

    def to_event(self, span: FinishedSpan) -> OutcomeEvent:
        """Return the outcome of a span that matches; values that do not fit are left out, never raised."""
        ...
