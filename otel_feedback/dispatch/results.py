"""What `dispatch()` returns, and what post hooks are given, from how an action ended."""

from __future__ import annotations

from typing import Any, NamedTuple

from otel_feedback.capture.declaration import Declaration
from otel_feedback.capture.ending import judge
from otel_feedback.capture.handle import Action
from otel_feedback.events.ended import EndedAction
from otel_feedback.events.model import OutcomeEvent
from otel_feedback.redaction.limits import Problems

__all__ = ["Measured", "outcome_of", "result_of"]


class Measured(NamedTuple):
    """What was counted beside the action, for when nobody recorded it."""

    duration_ms: float
    latency_ms: float


def outcome_of(
    act: Action, declared: Declaration, error: BaseException | None, measured: Measured
) -> EndedAction | OutcomeEvent:
    """Return what was recorded of the action; where nothing was, an event that says the most important all the same."""
    if act.recorded is not None:
        return act.recorded
    ending, info = act.ending, act.error
    if ending is None:  # switched off: it did not even begin
        ending, info, _ = judge(error, Problems(), is_root=True, elapsed_ns=0, deadline_ns=None)
    return OutcomeEvent(
        event_id=act.event_id,
        action_type=declared.action_type,
        agent_name=declared.agent,
        agent_type=declared.agent_type,
        status=ending.status,
        severity=ending.severity,
        duration_ms=measured.duration_ms,
        latency_ms=measured.latency_ms,
        error_type=None if info is None else info.type.rpartition(".")[2],
        error_message=None if info is None else info.message or None,
        tags=declared.tags or (),
    )


def result_of(outcome: EndedAction | OutcomeEvent, output: Any, attempts: int, error: BaseException | None) -> dict[str, Any]:
    """Return the dict that `dispatch()` promises."""
    return {
        "status": outcome.status.value,
        "output": output,
        "error": outcome.error_message or (None if error is None else type(error).__name__),
        "error_type": outcome.error_type,
        "duration_ms": outcome.duration_ms,
        "latency_ms": outcome.latency_ms,
        "event_id": outcome.event_id,
        "trace_id": outcome.trace_id,
        "attempts": attempts,
    }
