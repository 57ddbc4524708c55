"""Rows of `events`, `outcomes` and `feedback` as what they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from otel_feedback import OutcomeEvent
from otel_feedback.downstream.tables.columns import EVENT_COLUMNS
from otel_feedback.downstream.tables.tables import Answer
from otel_feedback.events.feedback import Feedback

__all__ = ["SELECTED", "events_of", "feedback_of"]

SELECTED = ", ".join(f'"{name}"' for name in EVENT_COLUMNS)
"""What to select, for `events_of`."""


def events_of(answer: Answer) -> Iterator[OutcomeEvent]:
    """Yield the events; a value that its column did not take is absent."""
    for row in answer.rows:
        yield _event(answer.names, row)


def feedback_of(row: Mapping[str, Any]) -> Feedback:
    """Return the feedback that a row is."""
    return msgspec.convert({name: row[name] for name in Feedback.__struct_fields__ if row[name] is not None}, Feedback)


def _event(names: Sequence[str], row: Sequence[Any]) -> OutcomeEvent:
    fields = {name: value for name, value in zip(names, row, strict=True) if value is not None}
    if "metadata" in fields:
        fields["metadata"] = msgspec.json.decode(fields["metadata"])
    fields.setdefault("timestamp", fields.get("end_time"))  # one of them is there, or it is no event
    try:
        return msgspec.convert(fields, OutcomeEvent)
    except msgspec.ValidationError:  # metadata of a form that is none of ours
        fields.pop("metadata", None)
        fields.pop("severity", None)
        return msgspec.convert(fields, OutcomeEvent)
