"""Traces in the form in which Jaeger's query API gives them."""

from __future__ import annotations

from typing import TypedDict


class JaegerTag(TypedDict):
    """One attribute of a span, its resource or an event."""

    key: str
    type: str
    value: str | int | float | bool


class JaegerReference(TypedDict):
    """A span's parent (CHILD_OF) or link (FOLLOWS_FROM)."""

    refType: str
    traceID: str
    spanID: str


class JaegerLog(TypedDict):
    """One event of a span."""

    timestamp: int
    fields: list[JaegerTag]


class JaegerSpan(TypedDict):
    """A span as the query API gives it; times in microseconds."""

    traceID: str
    spanID: str
    operationName: str
    references: list[JaegerReference]
    startTime: int
    duration: int
    tags: list[JaegerTag]
    logs: list[JaegerLog]
    processID: str


class JaegerProcess(TypedDict):
    """The resource that spans of a trace refer to by `processID`."""

    serviceName: str
    tags: list[JaegerTag]


class JaegerTrace(TypedDict):
    """A trace as the query API gives it."""

    traceID: str
    spans: list[JaegerSpan]
    processes: dict[str, JaegerProcess]
