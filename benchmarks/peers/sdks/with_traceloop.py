"""Traceloop (OpenLLMetry): a decorated function that sets attributes on the span that it runs in."""
# pyright: basic, reportMissingImports=false

from __future__ import annotations

from opentelemetry import trace
from traceloop.sdk import Traceloop
from traceloop.sdk.decorators import agent
from traceloop.sdk.tracing.tracing import TracerWrapper

from benchmarks.peers.sdks.ready import Ready

__all__ = ["start"]


def start(url: str) -> Ready:
    """Set up Traceloop."""
    Traceloop.init(app_name="support-bot", api_endpoint=url, api_key="none", telemetry_enabled=False)
    return Ready(call, TracerWrapper().flush)


@agent(name="react_agent")
def call() -> None:
    """Record one action."""
    span = trace.get_current_span()
    span.set_attribute("action_type", "reasoning")
    span.set_attribute("gen_ai.agent.name", "react_agent")
    span.set_attribute("agent_type", "react")
    span.set_attribute("workflow_id", "wf-1")
    span.set_attribute("tags", ["customer"])
    span.set_attribute("client", "acme")
    span.set_attribute("gen_ai.request.model", "gpt-4o")
    span.set_attribute("gen_ai.usage.input_tokens", 900)
    span.set_attribute("gen_ai.usage.output_tokens", 120)
    span.set_attribute("status", "success")
