"""OpenLIT: a trace with metadata."""
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import tempfile
from typing import Any

import openlit
from opentelemetry import trace

from benchmarks.peers.sdks.ready import Ready

__all__ = ["start"]


def start(url: str) -> Ready:
    """Set up OpenLIT, with a table of prices of its own: it would fetch one."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as prices:
        prices.write("{}")
        prices.flush()
        openlit.init(application_name="support-bot", otlp_endpoint=url, pricing_json=prices.name)
    provider: Any = trace.get_tracer_provider()
    return Ready(call, provider.force_flush)


def call() -> None:
    """Record one action."""
    with openlit.start_trace("reasoning react_agent") as span:
        span.set_metadata(
            {
                "action_type": "reasoning",
                "gen_ai.agent.name": "react_agent",
                "agent_type": "react",
                "workflow_id": "wf-1",
                "tags": ["customer"],
                "client": "acme",
                "gen_ai.request.model": "gpt-4o",
                "gen_ai.usage.input_tokens": 900,
                "gen_ai.usage.output_tokens": 120,
                "status": "success",
            }
        )
