"""What one needs to teach `configure(conventions=[…])` how to read one more family of span attributes.

    class Acme:
        name = "acme"
        markers = frozenset({"acme.kind"})

        def matches(self, span: FinishedSpan) -> bool:
            return "acme.kind" in span.attributes

        def read(self, span: FinishedSpan) -> Reading:
            return TABLE.read(span.attributes, kind="tool")

A convention says what a span is and what it says of itself. How it ended, what it adds up to and who is above it is
decided for all conventions alike.
"""

from __future__ import annotations

from otel_feedback.convert.reading import CallUsage, Reading, Table, Tokens
from otel_feedback.convert.span import Convention, FinishedSpan, SpanError, SpanEvent
from otel_feedback.convert.usage import TokenUsage

__all__ = [
    "CallUsage",
    "Convention",
    "FinishedSpan",
    "Reading",
    "SpanError",
    "SpanEvent",
    "Table",
    "TokenUsage",
    "Tokens",
]
