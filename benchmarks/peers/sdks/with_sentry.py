"""Sentry: a transaction with data."""
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import functools

import sentry_sdk

from benchmarks.peers.sdks.ready import Ready
from benchmarks.subjects.otlp import PORTION

__all__ = ["start"]


def start(url: str) -> Ready:
    """Set up Sentry, with a queue that holds what comes between two flushes: its own of 100 would drop most of it."""
    sentry_sdk.init(dsn=url.replace("://", "://key@") + "/1", traces_sample_rate=1.0, transport_queue_size=2 * PORTION)
    return Ready(call, functools.partial(sentry_sdk.flush, timeout=60))


def call() -> None:
    """Record one action."""
    with sentry_sdk.start_transaction(op="task", name="reasoning react_agent") as transaction:
        transaction.set_data("action_type", "reasoning")
        transaction.set_data("gen_ai.agent.name", "react_agent")
        transaction.set_data("agent_type", "react")
        transaction.set_data("workflow_id", "wf-1")
        transaction.set_data("tags", ["customer"])
        transaction.set_data("client", "acme")
        transaction.set_data("gen_ai.request.model", "gpt-4o")
        transaction.set_data("gen_ai.usage.input_tokens", 900)
        transaction.set_data("gen_ai.usage.output_tokens", 120)
        transaction.set_status("ok")
