"""The one action that everything here measures, the event that comes of it, and the bare SDK span that says the same.

The bare span is made as OpenTelemetry's documentation says: current while it lasts, with the ten attributes that the
action's own span gets from the same facts.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Final

from opentelemetry.trace import Tracer

from otel_feedback import OutcomeEvent, OutcomeStatus, action

__all__ = [
    "EVENTS_A_RUN", "SPAN_NAME", "attributes_at_start", "one_action", "one_event", "run_of", "same_events",
    "ten_set_attributes",
]  # fmt: skip

SPAN_NAME: Final = "reasoning react_agent"

EVENTS_A_RUN: Final = 10
"""Actions that share a run where events are sent, and so a key and a partition."""


def run_of(number: int) -> str:
    """Return the run to which the action of this number belongs."""
    return f"run-{number // EVENTS_A_RUN}"


def one_action(run_id: str | None = None) -> None:
    """Do nothing, as an action of an agent that used a model."""
    with action(
        "reasoning",
        agent="react_agent",
        agent_type="react",
        workflow_id="wf-1",
        run_id=run_id,
        tags=["customer"],
        metadata={"client": "acme"},
    ) as act:
        act.add_usage(model="gpt-4o", input_tokens=900, output_tokens=120)


def one_event(run_id: str, now: datetime, trace_id: str, span_id: str) -> OutcomeEvent:
    """Return an event like the one that comes of `one_action`."""
    event_id = f"{trace_id}-{span_id}"
    return OutcomeEvent(
        event_id=event_id, action_type="reasoning", status=OutcomeStatus.SUCCESS, agent_name="react_agent",
        agent_type="react", service_name="unknown_service", run_id=run_id, workflow_id="wf-1", trace_id=trace_id,
        span_id=span_id, root_event_id=event_id, depth=0, timestamp=now, start_time=now, end_time=now,
        duration_ms=0.01, latency_ms=0.01, llm_calls=1, tokens_used=1_020, own_tokens=1_020, input_tokens=900,
        output_tokens=120, model="gpt-4o", memory_used_mb=50.0, cpu_time_ms=0.01, tags=("customer",),
        metadata={"client": "acme"},
    )  # fmt: skip


def same_events(count: int, began_s: float) -> Iterator[OutcomeEvent]:
    """Yield events, one every 100 microseconds from `began_s` on (since 1970): the same ones in every process."""
    bits = random.Random(began_s).getrandbits
    began = datetime.fromtimestamp(began_s, timezone.utc)
    for number in range(count):
        moment = began + timedelta(microseconds=100 * number)
        yield one_event(run_of(number), moment, f"{bits(128):032x}", f"{bits(64):016x}")


def ten_set_attributes(tracer: Tracer) -> None:
    """Do nothing, as a span that gets its attributes one by one, as they become known."""
    with tracer.start_as_current_span(SPAN_NAME) as span:
        span.set_attribute("outcome.action_type", "reasoning")
        span.set_attribute("gen_ai.agent.name", "react_agent")
        span.set_attribute("outcome.agent_type", "react")
        span.set_attribute("outcome.workflow_id", "wf-1")
        span.set_attribute("outcome.tags", ["customer"])
        span.set_attribute("outcome.metadata.client", "acme")
        span.set_attribute("gen_ai.request.model", "gpt-4o")
        span.set_attribute("gen_ai.usage.input_tokens", 900)
        span.set_attribute("gen_ai.usage.output_tokens", 120)
        span.set_attribute("outcome.status", "success")


def attributes_at_start(tracer: Tracer) -> None:
    """Do nothing, as a span that knows all its attributes when it starts: the cheapest that the SDK offers."""
    with tracer.start_as_current_span(
        SPAN_NAME,
        attributes={
            "outcome.action_type": "reasoning",
            "gen_ai.agent.name": "react_agent",
            "outcome.agent_type": "react",
            "outcome.workflow_id": "wf-1",
            "outcome.tags": ["customer"],
            "outcome.metadata.client": "acme",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.usage.input_tokens": 900,
            "gen_ai.usage.output_tokens": 120,
            "outcome.status": "success",
        },
    ):
        pass
