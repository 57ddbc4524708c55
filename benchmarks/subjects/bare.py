"""The bare SDK span that says what the action of `workload` says: what everything here is compared with.

It is made as OpenTelemetry's documentation says: current while it lasts, with the ten attributes that the action's own
span gets from the same facts. Nothing of this package is imported: peers are measured where it is not installed.
"""

from __future__ import annotations

from typing import Final

from opentelemetry.trace import Tracer

__all__ = ["SPAN_NAME", "TEN", "attributes_at_start", "ten_set_attributes"]

SPAN_NAME: Final = "reasoning react_agent"

TEN: Final = {
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
}


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
    with tracer.start_as_current_span(SPAN_NAME, attributes={**TEN}):
        pass
