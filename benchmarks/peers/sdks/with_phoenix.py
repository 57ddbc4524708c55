"""Phoenix: a span of OpenInference's tracer."""
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import functools
from typing import Any

from opentelemetry.trace import Status, StatusCode
from phoenix.otel import register

from benchmarks.peers.sdks.ready import Ready

__all__ = ["start"]


def start(url: str) -> Ready:
    """Set up Phoenix."""
    provider = register(project_name="support-bot", endpoint=f"{url}/v1/traces", batch=True, verbose=False)
    return Ready(functools.partial(call, provider.get_tracer("agents")), provider.force_flush)


def call(tracer: Any) -> None:
    """Record one action."""
    with tracer.start_as_current_span("reasoning react_agent", openinference_span_kind="agent") as span:
        span.set_attribute("action_type", "reasoning")
        span.set_attribute("agent.name", "react_agent")
        span.set_attribute("agent_type", "react")
        span.set_attribute("workflow_id", "wf-1")
        span.set_attribute("tag.tags", ["customer"])
        span.set_attribute("client", "acme")
        span.set_attribute("llm.model_name", "gpt-4o")
        span.set_attribute("llm.token_count.prompt", 900)
        span.set_attribute("llm.token_count.completion", 120)
        span.set_status(Status(StatusCode.OK))
