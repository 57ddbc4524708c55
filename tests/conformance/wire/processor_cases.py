"""Processors of others that do something with a span when it starts and when it ends, before ours and after."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import StatusCode

import otel_feedback as feedback
from tests.conformance.wire.cases import Cases
from tests.conformance.wire.making import Processor, Stage
from tests.conformance.wire.others_cases import OTHER

__all__ = ["CASES"]

CASES = Cases()


class Stamping(Processor):
    """Sets attributes when a span starts, as those do that copy baggage."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        span.set_attribute("stamp", f"on {span.name}")
        span.set_attributes({"outcome.metadata.stamp": "event has it, too", "outcome.tenant_id": "stamped"})
        span.add_event("started")
        span.add_link(OTHER)


class Renaming(Processor):
    """Changes what a span is, when it starts."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        span.update_name(f"{span.name}, renamed")
        span.set_status(StatusCode.OK)


class Reading(Processor):
    """Looks at a span when it starts and while it ends, and keeps a view of its attributes."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        attributes = span.attributes or {}
        self.seen += [dict(attributes), len(attributes), attributes.get("outcome.action_type"), span.is_recording()]
        span.set_attribute("seen at the start", sorted(attributes))

    def _on_ending(self, span: Span) -> None:
        self.seen += [sorted(span.attributes or {}), span.is_recording(), span.end_time is not None]
        span.set_attribute("too late", True)  # the SDK's span has ended by now


class Raising(Processor):
    """Fails at every call."""

    def __init__(self, where: str) -> None:
        self._where = where

    def _fail(self, where: str) -> None:
        if where == self._where:
            raise RuntimeError(f"in {where}")

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self._fail("on_start")

    def _on_ending(self, span: Span) -> None:
        self._fail("_on_ending")

    def on_end(self, span: ReadableSpan) -> None:
        self._fail("on_end")


class Ending(Processor):
    """Ends spans as soon as they start."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        span.end()


def two_actions(stage: Stage) -> None:
    with feedback.action("plan", metadata={"client": "acme"}) as act, feedback.action("tool"):
        act.set_metadata(n=1)
        stage.look("in the middle")


PROCESSORS: dict[str, Callable[[], list[SpanProcessor]]] = {
    "stamping": lambda: [Stamping()],
    "renaming": lambda: [Renaming()],
    "reading": lambda: [Reading()],
    "stamping and reading": lambda: [Stamping(), Reading()],
    "ending": lambda: [Ending()],
    "raising in on_start": lambda: [Raising("on_start")],
    "raising in _on_ending": lambda: [Raising("_on_ending")],
    "raising in on_end": lambda: [Raising("on_end")],
}
for _name, _made in PROCESSORS.items():
    for _where in ("before", "after"):
        CASES.put(
            f"processor {_where} ours, {_name}",
            two_actions,
            actions=None if "raising" in _name else 2,
            shares_times=_name != "ending",
            **{_where: _made},  # type: ignore[arg-type]
        )
