"""What an ended action says on its span: attributes, the exception as an event, and the span's own status.

Input: the event that was built from what the action knows, and what an event does not say. Output: attributes, when
somebody asks for them, which is mostly the exporter's thread. Holds nothing of the program that ran.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from opentelemetry.trace import Span, Status, StatusCode

from otel_feedback import semconv
from otel_feedback.capture.ending import ErrorInfo
from otel_feedback.capture.usage import Usage
from otel_feedback.events.model import MetadataValue, OutcomeEvent, OutcomeStatus, Severity
from otel_feedback.redaction.limits import MAX_TEXT

__all__ = ["Told"]

_ERROR_STATUSES = frozenset({OutcomeStatus.FAILURE, OutcomeStatus.TIMEOUT, OutcomeStatus.CANCELLED})
# an enum's `.value` costs 0.14 µs
_WORD: dict[str, str] = {member: member.value for kind in (OutcomeStatus, Severity) for member in kind}
_PREFIX = semconv.OUTCOME_METADATA_PREFIX


class Told(msgspec.Struct, gc=False):
    """What one action says at its end.

    `started` are the attributes that its span began with; `metadata` is what the event's was before prices, None where
    it is as it began; `noted` are attributes that whoever drives the action knows better. `escaped`: an exception left
    the action's code, rather than being named by hand. `happened_ns`: when, in nanoseconds since 1970.
    """

    started: Mapping[str, Any]
    event: OutcomeEvent
    usage: Usage | None
    metadata: dict[str, MetadataValue] | None
    error: ErrorInfo | None
    reason: str | None
    noted: Mapping[str, Any] | None
    escaped: bool
    happened_ns: int

    def attributes(self) -> dict[str, Any]:
        """Return the attributes that are new or other than at the start."""
        event, started = self.event, self.started
        final = {} if self.noted is None else dict(self.noted)
        latency_ms = final.pop(semconv.OUTCOME_LATENCY_MS, None)
        final[semconv.OUTCOME_STATUS] = _WORD[event.status]
        final[semconv.OUTCOME_SEVERITY] = _WORD[event.severity]
        if event.cpu_time_ms is not None:
            final[semconv.OUTCOME_CPU_TIME_MS] = event.cpu_time_ms
        if event.memory_used_mb is not None:
            final[semconv.OUTCOME_MEMORY_USED_MB] = event.memory_used_mb
        if self.usage is not None:
            final.update(self.usage.attributes())
        if event.quality_score is not None:
            final[semconv.OUTCOME_QUALITY_SCORE] = event.quality_score
        if event.confidence_score is not None:
            final[semconv.OUTCOME_CONFIDENCE_SCORE] = event.confidence_score
        if self.error is not None:
            final[semconv.ERROR_TYPE] = self.error.type
        if event.tags and started.get(semconv.OUTCOME_TAGS) is not event.tags:
            final[semconv.OUTCOME_TAGS] = event.tags
        if self.metadata is not None:
            for key, value in self.metadata.items():
                if started.get(_PREFIX + key) is not value:
                    final[_PREFIX + key] = value
        if latency_ms is not None:
            final[semconv.OUTCOME_LATENCY_MS] = latency_ms
        return final

    def plain(self, begun: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return all attributes, if these are those that it began with, no error is to be told and no list to be copied."""
        event = self.event
        if begun is not self.started or self.error is not None or event.status in _ERROR_STATUSES:
            return None
        if any(value.__class__ is list for value in event.metadata.values()):
            return None
        new = self.attributes()
        # what is said again stands last
        return {**{name: value for name, value in begun.items() if name not in new}, **new}

    def tell(self, span: Span) -> None:
        """Write it on a span, which is still to be ended."""
        span.set_attributes(self.attributes())
        error, status = self.error, self.event.status
        if error is not None:
            span.add_event(
                semconv.EXCEPTION_EVENT, _exception_attributes(error, escaped=self.escaped), self.happened_ns
            )
            if status is not OutcomeStatus.PARTIAL:
                span.set_status(Status(StatusCode.ERROR, f"{error.type}: {error.message}"[:MAX_TEXT]))
        elif status in _ERROR_STATUSES:
            span.set_status(Status(StatusCode.ERROR, self.reason or status.value))


def _exception_attributes(error: ErrorInfo, *, escaped: bool) -> dict[str, Any]:
    attributes = {
        semconv.EXCEPTION_TYPE: error.type,
        semconv.EXCEPTION_MESSAGE: error.message,
        semconv.EXCEPTION_ESCAPED: str(escaped),
    }
    if error.stack_trace is not None:
        attributes[semconv.EXCEPTION_STACKTRACE] = error.stack_trace
    return attributes
