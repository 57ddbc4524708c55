"""The one action that everything here measures, and the event that comes of it; `bare` has the span that says the same."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Final

from benchmarks.subjects.bare import METADATA, ask_a_tool
from otel_feedback import OutcomeEvent, OutcomeStatus, action

__all__ = [
    "EVENTS_A_RUN", "one_action", "one_event", "one_failing", "run_of", "same_events", "tenant_of", "three_nested",
]  # fmt: skip

EVENTS_A_RUN: Final = 10
"""Actions that share a run where events are sent, and so a key and a partition."""


def run_of(number: int) -> str:
    """Return the run to which the action of this number belongs."""
    return f"run-{number // EVENTS_A_RUN}"


def tenant_of(run: int, tenants: int) -> str:
    """Return the tenant of whom a run is, of so many."""
    return f"tenant-{run % tenants}"


def one_action(run_id: str | None = None, tenant_id: str | None = None) -> None:
    """Do nothing, as an action of an agent that used a model."""
    with action(
        "reasoning",
        agent="react_agent",
        agent_type="react",
        workflow_id="wf-1",
        run_id=run_id,
        tenant_id=tenant_id,
        tags=["customer"],
        metadata={"client": "acme"},
    ) as act:
        act.add_usage(model="gpt-4o", input_tokens=900, output_tokens=120)


def three_nested() -> None:
    """Do nothing, as three actions inside each other: the inner ones inherit what the outermost was given."""
    with action(
        "reasoning",
        agent="react_agent",
        agent_type="react",
        workflow_id="wf-1",
        tags=["customer"],
        metadata={"client": "acme"},
    ) as outer:
        with action("planning", agent="react_agent", agent_type="react", metadata={"client": "acme"}) as middle:
            with action("llm", agent="react_agent", agent_type="react", metadata={"client": "acme"}) as inner:
                inner.add_usage(model="gpt-4o", input_tokens=900, output_tokens=120)
            middle.add_usage(model="gpt-4o", input_tokens=900, output_tokens=120)
        outer.add_usage(model="gpt-4o", input_tokens=900, output_tokens=120)


def one_failing() -> None:
    """Do nothing, as an action that has all there is to record, and that an exception ends."""
    with (
        contextlib.suppress(ConnectionError),
        action(
            "reasoning",
            agent="react_agent",
            agent_type="react",
            workflow_id="wf-1",
            tags=["customer", "north"],
            metadata=METADATA,
        ) as act,
    ):
        act.add_usage(model="gpt-4o", input_tokens=900, output_tokens=120)
        ask_a_tool()


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
