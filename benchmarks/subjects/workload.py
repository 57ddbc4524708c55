"""The one action that everything here measures, and the bare SDK span that says the same.

The bare span is made as OpenTelemetry's documentation says: current while it lasts, with the ten attributes that the
action's own span gets from the same facts.
"""

from __future__ import annotations

from typing import Final

from opentelemetry.trace import Tracer

from otel_feedback import action

__all__ = ["EVENTS_A_RUN", "SPAN_NAME", "attributes_at_start", "one_action", "run_of", "ten_set_attributes"]

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
