"""Made-up traffic of a support team's agents, as it would be on the topic: a day with its hours, runs with trees, and a bad hour at its end.

What the pictures of the page show, and what its tests in the browser look at. The same for the same seed and moment.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from otel_feedback import OutcomeEvent, OutcomeStatus

__all__ = ["run", "traffic"]

PRICES = {"gpt-4o": 4e-6, "claude-sonnet-4": 6e-6, "gpt-4o-mini": 3e-7, "house-7b": None}
TENANTS = ("acme", "acme", "acme", "globex", "initech")
WORKFLOWS = ("refund", "refund", "order-status", "weekly-report")


class Does(NamedTuple):
    """What an agent does in a run."""

    agent: str
    action: str
    tool: str | None
    model: str | None
    took_ms: float
    error_rate: float
    below: int = 0  # the place of the action that calls it


STEPS = (
    Does("planner", "plan", None, "gpt-4o", 900, 0.01),
    Does("researcher", "research", None, "claude-sonnet-4", 2_400, 0.01),
    Does("researcher", "tool", "web_search", None, 700, 0.03, 2),
    Does("researcher", "tool", "order_lookup", None, 180, 0.01, 2),
    Does("coder", "generate", None, "claude-sonnet-4", 3_100, 0.03),
    Does("coder", "tool", "sql", None, 240, 0.05, 5),
    Does("writer", "generate", None, "gpt-4o", 1_900, 0.01),
    Does("reviewer", "review", None, "gpt-4o-mini", 600, 0.02),
    Does("translator", "generate", None, "house-7b", 420, 0.004),
)
ERRORS = {
    "web_search": ("RateLimitError", "HTTP 429, retry after 30 s"),
    "sql": ("ProgrammingError", 'column "refund_state" does not exist'),
    "order_lookup": ("ConnectionError", "orders.internal:443 refused the connection"),
}
STACK = """Traceback (most recent call last):
  File "agents/{agent}.py", line 118, in {action}
    answer = await self.tools[name](**arguments)
  File "agents/tools/{tool}.py", line 64, in __call__
    response.raise_for_status()
{error}: {message}
"""


def traffic(until: datetime, hours: float, a_minute: float, seed: int = 7) -> Iterator[OutcomeEvent]:
    """Yield the events of runs that started in the hours before a moment, in the order of their starts.

    Args:
        until: The last moment; runs that would end after it are under way, and so some of their actions pending.
        hours: How far back it goes.
        a_minute: Runs a minute, on average over a day: by night there are a third as many.
        seed: Other traffic for another one.
    """
    lot = random.Random(seed)  # noqa: S311  # pictures, no secrets
    at, number = until - timedelta(hours=hours), 0
    while at < until:
        hour = (until - at) / timedelta(hours=1) % 24  # whatever the time is when a picture is taken
        pace = a_minute * (0.45 + 1.1 * max(0.0, 1 - abs(hour - 6) / 9))
        at += timedelta(minutes=lot.uniform(0.5, 1.5) / pace)
        number += 1
        yield from run(lot, number, at, until)


def run(lot: random.Random, number: int, at: datetime, until: datetime) -> list[OutcomeEvent]:
    """Return the events of one run, those under way at `until` as pending ones."""
    trace = f"{lot.getrandbits(128):032x}"
    left_h = (until - at).total_seconds() / 3_600
    is_bad = left_h < 3  # search is rate limited
    is_dear = left_h < 9  # and the coder writes longer answers since this morning
    chosen = [STEPS[0], *(step for step in STEPS[1:] if step.below or lot.random() < 0.8)]
    common: dict[str, Any] = {
        "run_id": f"run-{trace[:12]}", "trace_id": trace, "service_name": "support-bot",
        "tenant_id": lot.choice(TENANTS), "user_id": f"u-{lot.randrange(40)}", "session_id": f"conv-{number // 3}",
        "workflow_id": lot.choice(WORKFLOWS), "root_event_id": f"{trace}-{0:016x}",
    }  # fmt: skip
    events: list[OutcomeEvent] = []
    placed: dict[str, tuple[str, datetime]] = {}
    now = at
    for place, step in enumerate(chosen, 1):
        caller = STEPS[step.below - 1] if step.below else None
        if caller is not None and caller.agent not in placed:
            continue
        parent, begins = placed[caller.agent] if caller else (f"{trace}-{0:016x}", now)
        span = f"{trace}-{place:016x}"
        event = _action(lot, step, span, parent, begins, common, is_bad=is_bad, is_dear=is_dear)
        assert event.duration_ms is not None
        ended = begins + timedelta(milliseconds=event.duration_ms)
        if caller:
            placed[caller.agent] = (parent, ended + timedelta(milliseconds=40))
        else:
            placed[step.agent] = (span, begins + timedelta(milliseconds=120))
            now = ended + timedelta(milliseconds=30)
        events.append(event)
    failed = any(event.status is OutcomeStatus.FAILURE and event.depth == 1 for event in events)
    root = _ending(common["root_event_id"], at, max(event.end_time or at for event in events), failed=failed)
    if failed:
        root |= {"error_type": "StepFailed", "error_message": "a step failed twice; the run was given up"}
    spent = [event.own_cost for event in events if event.own_cost is not None]
    all_of_it = [OutcomeEvent(
        **root, **common, action_type="workflow", agent_name="planner", depth=0,
        tokens_used=sum(event.own_tokens or 0 for event in events), cost_estimate=sum(spent) if spent else None,
        quality_score=round(min(1.0, lot.betavariate(9, 2)), 3) if lot.random() < 0.4 else None,
        tags=("beta",) if lot.random() < 0.2 else (),
    ), *events]  # fmt: skip
    return [_as_of(event, until) for event in all_of_it if event.start_time and event.start_time <= until]


def _action(
    lot: random.Random,
    step: Does,
    span: str,
    parent: str,
    begins: datetime,
    common: dict[str, Any],
    *,
    is_bad: bool,
    is_dear: bool,
) -> OutcomeEvent:
    rate = 0.55 if is_bad and step.tool == "web_search" else step.error_rate
    failed, late = lot.random() < rate, lot.random() < rate / 4 and not step.below
    took_ms = 30_000.0 if late else step.took_ms * lot.lognormvariate(0, 0.4)
    tokens = None
    if step.model:
        tokens = int(lot.lognormvariate(7.2, 0.5) * (2.6 if is_dear and step.agent == "coder" else 1))
    price = PRICES[step.model] if step.model else None
    fields = _ending(span, begins, begins + timedelta(milliseconds=took_ms), failed=failed and not late)
    if late:
        fields |= {
            "status": OutcomeStatus.TIMEOUT,
            "error_type": "TimeoutError",
            "error_message": "no answer within 30 s",
        }
    elif failed:
        kind, message = ERRORS.get(step.tool or "", ("ValidationError", "the answer is not JSON: line 1, column 1"))
        stack = STACK.format(
            agent=step.agent, action=step.action, tool=step.tool or "model", error=kind, message=message
        )
        fields |= {"error_type": kind, "error_message": message, "stack_trace": stack}
    elif lot.random() < 0.012:
        fields["status"] = lot.choice([OutcomeStatus.PARTIAL, OutcomeStatus.CANCELLED])
    return OutcomeEvent(
        **fields, **common, parent_event_id=parent, depth=2 if step.below else 1, agent_name=step.agent, action_type=step.action,
        tool_name=step.tool, model=step.model, own_tokens=tokens, tokens_used=tokens, attempt=2 if lot.random() < 0.03 else 1,
        own_cost=None if tokens is None or price is None else tokens * price,
        cost_estimate=None if tokens is None or price is None else tokens * price,
        quality_score=round(lot.betavariate(9, 2), 3) if step.agent == "reviewer" else None,
    )  # fmt: skip


def _ending(event_id: str, begins: datetime, ends: datetime, *, failed: bool) -> dict[str, Any]:
    took_ms = (ends - begins) / timedelta(milliseconds=1)
    return {
        "event_id": event_id, "timestamp": ends, "start_time": begins, "end_time": ends, "duration_ms": took_ms,
        "latency_ms": took_ms, "status": OutcomeStatus.FAILURE if failed else OutcomeStatus.SUCCESS,
    }  # fmt: skip


def _as_of(event: OutcomeEvent, now: datetime) -> OutcomeEvent:
    if event.end_time is None or event.end_time <= now:
        return event
    return OutcomeEvent(
        event_id=event.event_id, revision=0, timestamp=event.start_time or now, start_time=event.start_time,
        status=OutcomeStatus.PENDING, action_type=event.action_type, agent_name=event.agent_name, tool_name=event.tool_name,
        model=event.model, run_id=event.run_id, trace_id=event.trace_id, service_name=event.service_name,
        tenant_id=event.tenant_id, user_id=event.user_id, session_id=event.session_id, workflow_id=event.workflow_id,
        root_event_id=event.root_event_id, parent_event_id=event.parent_event_id, depth=event.depth,
    )  # fmt: skip
