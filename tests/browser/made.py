"""Single actions, for tests that say themselves what happened."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from otel_feedback import OutcomeEvent, OutcomeStatus

NOW = datetime.now(timezone.utc)
RUN = "run-1"


def minutes_ago(number: int, **fields: Any) -> OutcomeEvent:
    """Return an answer of the planner that ended so many minutes ago."""
    at = datetime.now(timezone.utc) - timedelta(
        minutes=number
    )  # and not of when the tests began, which may be long ago
    given: dict[str, Any] = {
        "event_id": f"event-{number}", "action_type": "answer", "agent_name": "planner", "status": OutcomeStatus.SUCCESS,
        "start_time": at - timedelta(seconds=2), "end_time": at, "timestamp": at, "duration_ms": 2_000.0, **fields,
    }  # fmt: skip
    return OutcomeEvent(**given)
