"""What times must be among each other: they are not compared between two runs, so here is what they owe each other."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan

import otel_feedback as feedback
from tests.conformance.wire.compare import context_of

__all__ = ["check_times"]


def check_times(
    spans: Sequence[ReadableSpan], events: Sequence[feedback.OutcomeEvent], window_ns: tuple[int, int]
) -> None:
    """Hold spans, and the events that came of them, against the time in which the program ran.

    Args:
        window_ns: when the program began and was done. Moments outside of it were given by hand, and are what they are.
    """
    began_ns, done_ns = window_ns
    by_id = {context_of(span).span_id: span for span in spans}
    for span in spans:
        start_ns, end_ns = span.start_time, span.end_time
        assert start_ns is not None
        assert end_ns is not None
        assert began_ns <= start_ns <= done_ns
        if not began_ns <= end_ns <= done_ns:
            continue
        assert start_ns <= end_ns
        moments = [event.timestamp for event in span.events if event.timestamp >= began_ns]
        # the exception that ends an action is noted after its time has been taken
        assert all(start_ns <= moment <= done_ns for moment in moments)
        assert moments == sorted(moments)
        parent = None if span.parent is None else by_id.get(span.parent.span_id)
        if parent is not None:
            assert context_of(parent).trace_id == context_of(span).trace_id
            assert (parent.start_time or 0) <= start_ns
    for event in events:
        span = by_id.get(int(event.span_id or "0", 16))
        if span is None or event.end_time is None or not began_ns <= (span.end_time or 0) <= done_ns:
            continue
        start_ns, end_ns = span.start_time or 0, span.end_time or 0
        assert event.start_time is not None
        assert abs(event.start_time.timestamp() * 1e9 - start_ns) <= MICROSECOND_NS
        assert abs(event.end_time.timestamp() * 1e9 - end_ns) <= MICROSECOND_NS
        said = (span.attributes or {}).get("outcome.duration_ms", (end_ns - start_ns) / 1e6)
        assert event.duration_ms == said


MICROSECOND_NS = 1_000
"""What an event's times are good for."""
