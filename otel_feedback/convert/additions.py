"""What somebody says of an action beside its span: an evaluation, an exception in a log record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from otel_feedback.convert.status import OTHER, tail
from otel_feedback.events.model import OutcomeEvent, OutcomeStatus

__all__ = ["Addition", "added"]


class Addition(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What somebody says of an action beside its span."""

    quality_score: float | None = None
    error_type: str | None = None
    error_message: str | None = None
    stack_trace: str | None = None
    metadata: Mapping[str, Any] = {}


def added(event: OutcomeEvent, additions: tuple[Addition, ...]) -> OutcomeEvent:
    """Return the event with what was said beside its span; what the span said itself stays."""
    fields: dict[str, Any] = {}
    metadata = event.metadata
    for addition in additions:
        if addition.metadata:
            metadata = {**metadata, **addition.metadata}
        if addition.quality_score is not None and event.quality_score is None:
            fields["quality_score"] = addition.quality_score
        if event.status is not OutcomeStatus.SUCCESS:
            if addition.error_type is not None and event.error_type in (None, OTHER):
                fields["error_type"] = tail(addition.error_type)
            if addition.error_message is not None and event.error_message is None:
                fields["error_message"] = addition.error_message
            if addition.stack_trace is not None and event.stack_trace is None:
                fields["stack_trace"] = addition.stack_trace
    return msgspec.structs.replace(event, metadata=metadata, **fields)
