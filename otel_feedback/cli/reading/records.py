"""What arrives, one after the other: events, and feedback on them."""

from __future__ import annotations

from datetime import datetime

from otel_feedback import OutcomeEvent
from otel_feedback.downstream.tables.selection import Selection
from otel_feedback.downstream.topic.given import MARK, feedback_of_line
from otel_feedback.errors import SchemaError
from otel_feedback.events.feedback import Feedback

__all__ = ["Record", "id_of", "is_wanted", "record_in", "time_of"]

Record = OutcomeEvent | Feedback

_EPOCH_US = 1_000_000


def record_in(payload: bytes) -> Record | None:
    """Return what a line, or the value of a record, holds; None where that is neither."""
    try:
        return OutcomeEvent.from_json(payload)
    except SchemaError:
        if MARK not in payload:
            return None
    try:
        return feedback_of_line(payload)
    except SchemaError:
        return None


def time_of(record: Record) -> datetime:
    """Return when an action ended, or feedback was given."""
    return record.timestamp if isinstance(record, Feedback) else record.end_time or record.timestamp


def id_of(record: Record) -> tuple[str, int]:
    """Return what tells a repeat, and which of two is the newer one."""
    if isinstance(record, Feedback):
        return record.feedback_id, int(record.timestamp.timestamp() * _EPOCH_US)
    return record.event_id, record.revision


def is_wanted(record: Record, selection: Selection) -> bool:
    """Tell whether a record is selected; feedback is, where what is asked for is told of it."""
    if isinstance(record, OutcomeEvent):
        return selection.matches(record)
    at = record.timestamp
    if (selection.since and at < selection.since) or (selection.until and at >= selection.until):
        return False
    told = {name: getattr(record, name) for name in ("tenant_id", "service_name", "run_id")}
    return not (selection.tags or selection.texts) and all(
        name in told and told[name] in wanted for name, wanted in selection.values.items()
    )
