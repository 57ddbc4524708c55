"""The bare SDK span that says what the action of `workload` says: what everything here is compared with.

It is made as OpenTelemetry's documentation says: current while it lasts, with the ten attributes that the action's own
span gets from the same facts. Nothing of this package is imported: peers are measured where it is not installed.
"""

from __future__ import annotations

import contextlib
from typing import Final

from opentelemetry.trace import Tracer

__all__ = [
    "METADATA", "SPAN_NAME", "TEN", "ask_a_tool", "attributes_at_start", "failing_set_attributes", "ten_set_attributes",
]  # fmt: skip

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


METADATA: Final = {"client": "acme", "region": "north", "attempt": 2, "is_cached": False, "prompt_version": "v7"}


def ask_a_tool() -> None:
    """Fail as a tool does, some calls deep, so that the stack trace has the length of a small one."""
    _search("customers in the north")


def _search(query: str) -> None:
    _request(f"/search?q={query}")


def _request(path: str) -> None:
    raise ConnectionError(f"HTTP 503 from {path}")


def failing_set_attributes(tracer: Tracer) -> None:
    """Do nothing, as a span with two tags and five keys of metadata, on which the SDK records an exception."""
    with contextlib.suppress(ConnectionError), tracer.start_as_current_span(SPAN_NAME) as span:
        span.set_attribute("outcome.action_type", "reasoning")
        span.set_attribute("gen_ai.agent.name", "react_agent")
        span.set_attribute("outcome.agent_type", "react")
        span.set_attribute("outcome.workflow_id", "wf-1")
        span.set_attribute("outcome.tags", ["customer", "north"])
        for name, value in METADATA.items():
            span.set_attribute(f"outcome.metadata.{name}", value)
        span.set_attribute("gen_ai.request.model", "gpt-4o")
        span.set_attribute("gen_ai.usage.input_tokens", 900)
        span.set_attribute("gen_ai.usage.output_tokens", 120)
        ask_a_tool()
