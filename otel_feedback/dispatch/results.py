"""What `dispatch()` returns, and what post hooks are given, from how an action ended."""

from __future__ import annotations

import time
from typing import Any

from otel_feedback.capture.declaration import Declaration
from otel_feedback.capture.ending import judge
from otel_feedback.capture.handle import Action
from otel_feedback.dispatch.attempts import Came
from otel_feedback.events.ended import EndedAction
from otel_feedback.events.model import OutcomeEvent, OutcomeStatus
from otel_feedback.redaction.limits import Problems

__all__ = ["outcome_of", "result_of"]


def outcome_of(act: Action, declared: Declaration, came: Came, requested_ns: int) -> EndedAction | OutcomeEvent:
    """Return what was recorded of the action; where nothing was, an event that says the most important all the same.

    Args:
        requested_ns: When it was asked for, by `time.perf_counter_ns()`.
    """
    if act.recorded is not None:
        return act.recorded
    ending, info = act.ending, act.error
    if ending is None:  # switched off: it did not even begin
        ending, info, _ = judge(came.error, Problems(), is_root=True, elapsed_ns=0, deadline_ns=None)
    return OutcomeEvent(
        event_id=act.event_id,
        action_type=declared.action_type,
        agent_name=declared.agent,
        agent_type=declared.agent_type,
        status=ending.status,
        severity=ending.severity,
        duration_ms=came.duration_ms,
        latency_ms=(time.perf_counter_ns() - requested_ns) / 1e6,
        error_type=None if info is None else info.type.rpartition(".")[2],
        error_message=None if info is None else info.message or None,
        tags=declared.tags or (),
    )


def result_of(outcome: EndedAction | OutcomeEvent, came: Came) -> dict[str, Any]:
    """Return the dict that `dispatch()` promises."""
    error, error_type = None, None
    if came.error is not None or outcome.status is not OutcomeStatus.SUCCESS:
        error = outcome.error_message or (None if came.error is None else type(came.error).__name__)
        error_type = outcome.error_type
    return {
        "status": str(outcome.status),
        "output": came.output,
        "error": error,
        "error_type": error_type,
        "duration_ms": outcome.duration_ms,
        "latency_ms": outcome.latency_ms,
        "event_id": outcome.event_id,
        "trace_id": outcome.trace_id,
        "attempts": came.attempts,
    }
