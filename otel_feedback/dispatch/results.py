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

__all__ = ["result_of", "unrecorded"]

_SUCCESS = OutcomeStatus.SUCCESS  # to find it in its class costs more than to look at it


def unrecorded(act: Action, declared: Declaration, came: Came, requested_ns: int) -> OutcomeEvent:
    """Return an event that says the most important of an action of which nothing was recorded.

    Args:
        requested_ns: When it was asked for, by `time.perf_counter_ns()`.
    """
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
    status, error, error_type = outcome.status, came.error, None
    if error is None and status is _SUCCESS:
        word, said = "success", None
    else:
        word, error_type = str(status), outcome.error_type
        said = outcome.error_message or (None if error is None else type(error).__name__)
    if isinstance(outcome, EndedAction):
        (duration_ms, latency_ms), event_id = outcome.took_ms(), outcome.event_id
        trace_id = event_id[:32] if outcome.has_ids else None
    else:
        duration_ms, latency_ms = outcome.duration_ms, outcome.latency_ms
        event_id, trace_id = outcome.event_id, outcome.trace_id
    return {
        "status": word,
        "output": came.output,
        "error": said,
        "error_type": error_type,
        "duration_ms": duration_ms,
        "latency_ms": latency_ms,
        "event_id": event_id,
        "trace_id": trace_id,
        "attempts": came.attempts,
    }
