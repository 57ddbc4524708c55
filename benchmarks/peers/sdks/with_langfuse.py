"""Langfuse: a generation with metadata, updated with what the model used."""
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import functools

from langfuse import Langfuse

from benchmarks.peers.sdks.ready import Ready

__all__ = ["start"]


def start(url: str) -> Ready:
    """Set up Langfuse."""
    langfuse = Langfuse(public_key="public", secret_key="secret", base_url=url)
    return Ready(functools.partial(call, langfuse), langfuse.flush)


def call(langfuse: Langfuse) -> None:
    """Record one action."""
    with langfuse.start_as_current_observation(
        as_type="generation",
        name="reasoning react_agent",
        model="gpt-4o",
        metadata={
            "action_type": "reasoning",
            "agent": "react_agent",
            "agent_type": "react",
            "workflow_id": "wf-1",
            "tags": ["customer"],
            "client": "acme",
        },
    ) as generation:
        generation.update(usage_details={"input": 900, "output": 120}, status_message="success")
