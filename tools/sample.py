"""One event with every field set, each value found nowhere else: what the generated examples and mappings show."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from otel_feedback import OutcomeEvent, OutcomeStatus
from otel_feedback.events import codec
from otel_feedback.events.record import Origin, Record

__all__ = ["sample_event", "sample_record"]

PRODUCER_ID = "5f1c8a3be07d4d0c9a61f27c0b9e4d58"

_TRACE, _SPAN, _ROOT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "b9c7c989f97918e1"
_END = datetime(2026, 3, 2, 9, 30, 12, 345678, timezone.utc)


def sample_event() -> OutcomeEvent:
    """Return the event; the same each time."""
    return OutcomeEvent(
        event_id=f"{_TRACE}-{_SPAN}",
        timestamp=_END,
        action_type="tool",
        status=OutcomeStatus.FAILURE,
        agent_name="researcher",
        agent_type="react",
        tool_name="web_search",
        service_name="support-bot",
        run_id="run-17",
        workflow_id="wf-1",
        correlation_id="req-8841",
        session_id="conv-5",
        user_id="u-302",
        tenant_id="acme",
        trace_id=_TRACE,
        span_id=_SPAN,
        parent_event_id=f"{_TRACE}-53995c3f42cd8ad8",
        root_event_id=f"{_TRACE}-{_ROOT}",
        depth=2,
        attempt=4,
        start_time=_END - timedelta(milliseconds=1250),
        end_time=_END,
        duration_ms=1250.0,
        latency_ms=1320.5,
        error_type="RateLimitError",
        error_message="HTTP 429, retry after 30 s",
        stack_trace="Traceback (most recent call last): …",
        llm_latency_ms=910.25,
        llm_calls=3,
        tokens_used=1490,
        own_tokens=1020,
        input_tokens=900,
        output_tokens=120,
        cached_input_tokens=512,
        reasoning_tokens=64,
        model="gpt-4o",
        provider="openai",
        cost_estimate=0.0051,
        own_cost=0.0034,
        usage_complete=True,
        memory_used_mb=142.6,
        cpu_time_ms=18.75,
        quality_score=0.4,
        confidence_score=0.8,
        tags=("customer", "beta"),
        metadata={"region": "eu", "pages": 7},
        experiment="prompt-7",
        variant="b",
        propensity=0.25,
        choice_candidates=("researcher", "librarian"),
        choice_policy="thompson:42",
        choice_propensity=0.7,
    )


def sample_record() -> Record:
    """Return the event as it stands in the journal."""
    event = sample_event()
    return Record.of(event, Origin(PRODUCER_ID, "support-bot"), 41, "run-17", codec.encode(event), sampled=True)
