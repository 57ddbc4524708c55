"""What others read and change by names that are not public, since there is no other way: vendors' SDKs do it.

OpenInference reads `_attributes` of a live span; Traceloop unfreezes those of an ended one and changes them in place;
scrubbing processors put others in their place.
"""

from __future__ import annotations

import weakref
from typing import Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import ReadableSpan

import otel_feedback as feedback
from tests.conformance.wire.cases import Cases
from tests.conformance.wire.compare import attributes_of, look_at_context
from tests.conformance.wire.making import Processor, Stage
from tests.conformance.wire.others_cases import meddle

__all__ = ["CASES"]

CASES = Cases()


def hidden(span: Any) -> dict[str, Any]:
    """Return what a span keeps under the names that its public ones are made of."""
    bounded = span._attributes
    return {
        "_name": span._name,
        "_context": look_at_context(span._context),
        "_parent": look_at_context(span._parent),
        "_kind": str(span._kind),
        "_status": str(span._status.status_code),
        "_times": [span._start_time, span._end_time],
        "_attributes": [
            isinstance(bounded, BoundedAttributes), attributes_of(bounded), bounded.maxlen, bounded.max_value_len,
            bounded.dropped, bounded._immutable,
        ],
        "_events": [[event.name for event in span._events], span._events.dropped],
        "_links": [len(span._links), span._links.dropped],
        "_resource": attributes_of(span._resource.attributes),
        "_scope": span._instrumentation_scope.name,
    }  # fmt: skip


@CASES()
def names_that_are_not_public(stage: Stage) -> None:
    with feedback.action("tool", agent="searcher", tags=["x"], metadata={"n": 1}) as act:
        span = stage.span
        act.add_usage(input_tokens=1)
        stage.note("live", hidden(span))
        meddle(span, "then")
        stage.note("after that", hidden(span))
    stage.note("ended", hidden(span))
    stage.note("readable", hidden(stage.ended[-1]))
    limits: Any = span._limits
    stage.note("limits", [limits.max_span_attributes, limits.max_events, limits.max_links])
    stage.note("readable again", hidden(span._readable_span()))


@CASES()
def names_that_are_not_public_and_read_after_the_end_only(stage: Stage) -> None:
    with feedback.action("tool", agent="searcher", tags=["x"]):
        span = stage.span
    stage.note("readable", hidden(stage.ended[-1]))
    stage.note("ended", hidden(span))


@CASES()
def attributes_that_are_changed_in_a_live_span(stage: Stage) -> None:
    with feedback.action("tool", agent="searcher", metadata={"client": "acme"}) as act:
        inner: Any = stage.span._attributes
        inner["hidden"] = 1
        inner["outcome.metadata.client"] = "***"
        del inner["gen_ai.agent.name"]
        stage.look("after that")
        act.tag("x")


@CASES()
def something_hung_on_a_span(stage: Stage) -> None:
    """Instrumentation keeps what belongs to a span on it, or in a mapping by it."""
    with feedback.action("tool"):
        span = stage.span
        span.theirs = 1
        kept = {span: 1}
        by_weak_reference: Any = weakref.WeakKeyDictionary(kept)
        stage.note("live", [span.theirs, kept[span], by_weak_reference[span], hash(span) == hash(span), span == span])  # noqa: PLR0124
    stage.note("ended", [span.theirs, kept[span], by_weak_reference[span]])


class Replacing(Processor):
    """Puts other attributes in the place of those that a span has."""

    def on_end(self, span: ReadableSpan) -> None:
        ended: Any = span
        ended._attributes = {key: value for key, value in (span.attributes or {}).items() if "client" not in key}
        ended._name = span.name.upper()


class Unfreezing(Processor):
    """Changes the attributes that a span has in place."""

    def on_end(self, span: ReadableSpan) -> None:
        ended: Any = span
        attributes = ended._attributes
        attributes._immutable = False
        attributes["outcome.metadata.client"] = "***"
        attributes["added"] = [1, 2]
        attributes.pop("outcome.severity", None)
        attributes._immutable = True


def two_actions(stage: Stage) -> None:
    with feedback.action("plan", metadata={"client": "acme"}) as act, feedback.action("tool"):
        act.set_metadata(n=1)


for _processor in (Replacing, Unfreezing):
    for _where in ("before", "after"):
        CASES.put(
            f"{_processor.__name__.lower()} {_where} ours",
            two_actions,
            actions=2,
            **{_where: lambda processor=_processor: [processor()]},  # type: ignore[arg-type]
        )
