"""Logfire: a span with what is known at its start, and what becomes known."""
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import logfire

from benchmarks.peers.sdks.ready import Ready

__all__ = ["start"]


def start(url: str) -> Ready:
    """Set up Logfire."""
    logfire.configure(
        service_name="support-bot",
        send_to_logfire=True,
        token="none",
        console=False,
        advanced=logfire.AdvancedOptions(base_url=url),
    )
    return Ready(call, logfire.force_flush)


def call() -> None:
    """Record one action."""
    with logfire.span(
        "reasoning {agent}",
        action_type="reasoning",
        agent="react_agent",
        agent_type="react",
        workflow_id="wf-1",
        tags=["customer"],
        client="acme",
    ) as span:
        span.set_attribute("gen_ai.request.model", "gpt-4o")
        span.set_attribute("gen_ai.usage.input_tokens", 900)
        span.set_attribute("gen_ai.usage.output_tokens", 120)
        span.set_attribute("status", "success")
