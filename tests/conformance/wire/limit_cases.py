"""Limits of spans, and what is dropped of which."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from opentelemetry.sdk.trace import SpanLimits

import otel_feedback as feedback
from tests.conformance.wire.cases import Cases
from tests.conformance.wire.making import Stage
from tests.conformance.wire.others_cases import OTHER, meddle
from tests.conformance.wire.said_cases import everything

__all__ = ["CASES"]

CASES = Cases()

LIMITS: dict[str, dict[str, int]] = {
    "no limit": dict.fromkeys(
        (
            "max_attributes",
            "max_events",
            "max_links",
            "max_span_attributes",
            "max_event_attributes",
            "max_attribute_length",
        ),
        SpanLimits.UNSET,
    ),
    "0 attributes": {"max_span_attributes": 0},
    "1 attribute": {"max_span_attributes": 1},
    "2 attributes": {"max_span_attributes": 2},
    "5 attributes": {"max_span_attributes": 5},
    "12 attributes": {"max_span_attributes": 12},
    "values of 0": {"max_attribute_length": 0},
    "values of 3": {"max_attribute_length": 3},
    "values of spans of 3": {"max_span_attribute_length": 3},
    "values of 3, those of spans of 20": {"max_attribute_length": 3, "max_span_attribute_length": 20},
    "0 events": {"max_events": 0},
    "2 events": {"max_events": 2},
    "0 links": {"max_links": 0},
    "1 link": {"max_links": 1},
    "1 attribute of an event": {"max_event_attributes": 1},
    "0 attributes of an event": {"max_event_attributes": 0},
    "1 attribute of a link": {"max_link_attributes": 1},
    "1 attribute of anything": {"max_attributes": 1},
    "all at once": {"max_span_attributes": 7, "max_events": 1, "max_links": 1, "max_attribute_length": 5},
}

VARIABLES: dict[str, dict[str, str]] = {
    "attributes": {"OTEL_ATTRIBUTE_COUNT_LIMIT": "4"},
    "attributes of spans": {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "6"},
    "lengths": {"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "4"},
    "lengths in spans": {"OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": "4"},
    "events": {"OTEL_SPAN_EVENT_COUNT_LIMIT": "2"},
    "links": {"OTEL_SPAN_LINK_COUNT_LIMIT": "1"},
    "attributes of events": {"OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT": "1"},
    "attributes of links": {"OTEL_LINK_ATTRIBUTE_COUNT_LIMIT": "1"},
    "no limit, said by nothing": {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": ""},
}


def said(stage: Stage) -> None:
    everything(stage)


def meddled_with(stage: Stage) -> None:
    with contextlib.suppress(RuntimeError), feedback.action("tool", agent="searcher", metadata={"n": 1}) as act:
        meddle(stage.span, "first")
        stage.look("after that")
        act.set_metadata(late=1)
        stage.span.set_attribute("outcome.action_type", "theirs")
        stage.span.add_event("many", {f"k{n}": "x" * n for n in range(5)})
        stage.span.add_link(OTHER, {f"k{n}": "x" * n for n in range(5)})
        act.tag("x")
        raise RuntimeError("broken")


def many(stage: Stage) -> None:
    """More than the SDK's own limits of 128."""
    with feedback.action("tool", metadata={f"m{n}": n for n in range(64)}):
        for number in range(140):
            stage.span.set_attribute(f"k{number}", number)
            stage.span.add_event(f"e{number}", {f"k{n}": n for n in range(130)} if number == 139 else None)
            stage.span.add_link(OTHER, {"n": number})
        stage.look("after that")


def _limited(limits: dict[str, int]) -> Callable[[], Any]:
    return lambda: SpanLimits(**limits)


PROGRAMS = {"said": said, "meddled with": meddled_with}
for _limit, _limits in LIMITS.items():
    for _name, _program in PROGRAMS.items():
        CASES.put(f"{_limit}, {_name}", _program, counts_warnings=False, limits=_limited(_limits))
for _limit, _variables in VARIABLES.items():
    CASES.put(f"limit by the environment: {_limit}", meddled_with, counts_warnings=False, variables=_variables)
CASES.put("more than the default limits", many, counts_warnings=False)
