"""What an ended action writes on its span: attributes, the exception as an event, and the span's own status."""

from __future__ import annotations

from typing import Any

from opentelemetry.trace import Span, Status, StatusCode

from otel_feedback import semconv
from otel_feedback.capture.ending import Ending, ErrorInfo
from otel_feedback.events.model import OutcomeStatus
from otel_feedback.redaction.limits import MAX_TEXT

__all__ = ["tell_end"]

_ERROR_STATUSES = frozenset({OutcomeStatus.FAILURE, OutcomeStatus.TIMEOUT, OutcomeStatus.CANCELLED})


def tell_end(
    span: Span, final: dict[str, Any], ending: Ending, error: ErrorInfo | None, reason: str | None, *, escaped: bool
) -> None:
    """Write how the action ended on its span, which is still to be ended.

    Args:
        escaped: An exception left the action's code, rather than being named by hand.
    """
    span.set_attributes(final)
    if error is not None:
        span.add_event(semconv.EXCEPTION_EVENT, _exception_attributes(error, escaped=escaped))
        if ending.status is not OutcomeStatus.PARTIAL:
            span.set_status(Status(StatusCode.ERROR, f"{error.type}: {error.message}"[:MAX_TEXT]))
    elif ending.status in _ERROR_STATUSES:
        span.set_status(Status(StatusCode.ERROR, reason or ending.status.value))


def _exception_attributes(error: ErrorInfo, *, escaped: bool) -> dict[str, Any]:
    attributes = {
        semconv.EXCEPTION_TYPE: error.type,
        semconv.EXCEPTION_MESSAGE: error.message,
        semconv.EXCEPTION_ESCAPED: str(escaped),
    }
    if error.stack_trace is not None:
        attributes[semconv.EXCEPTION_STACKTRACE] = error.stack_trace
    return attributes
