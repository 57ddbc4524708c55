"""An action whose process died before it ended becomes an event, too: made of what its start said. Pure."""

from __future__ import annotations

import re
from datetime import datetime

import msgspec

from otel_feedback import semconv
from otel_feedback.convert.conventions.own import OwnConvention
from otel_feedback.convert.span import FinishedSpan, SpanError
from otel_feedback.events.model import OutcomeEvent, OutcomeStatus, Severity
from otel_feedback.events.started import StartedAction

__all__ = ["ERROR_TYPE", "lost_action"]

ERROR_TYPE = "process_lost"

_convention = OwnConvention()
_OF_TRACE = re.compile(r"([0-9a-f]{32})-([0-9a-f]{16})")


def lost_action(action: StartedAction, died: datetime) -> OutcomeEvent:
    """Return the final event: failure, critical, `process_lost`.

    Args:
        died: The last sign of life of the process. When exactly the action ended nobody knows, so the event has no
            end and no duration.
    """
    ids = _OF_TRACE.fullmatch(action.event_id)
    attributes = {
        **action.attributes,
        semconv.OUTCOME_STATUS: OutcomeStatus.FAILURE.value,
        semconv.OUTCOME_SEVERITY: Severity.CRITICAL.value,
        semconv.ERROR_TYPE: ERROR_TYPE,
    }
    span = FinishedSpan(
        action.event_id, ids and ids[1], ids and ids[2], action.start_ns, action.start_ns, attributes,
        SpanError(ERROR_TYPE, "the process ended before the action did", None), None,
    )  # fmt: skip
    event = _convention.to_event(span)
    # a file's time is some milliseconds coarse
    seen = died if event.start_time is None else max(died, event.start_time)
    return msgspec.structs.replace(event, timestamp=seen, end_time=None, duration_ms=None, latency_ms=None)
