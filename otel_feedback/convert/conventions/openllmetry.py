"""OpenLLMetry (Traceloop): `traceloop.span.kind` on what its SDK and its framework instrumentors make, and up to 0.40
`llm.request.type` on model calls. Its newer model calls are plain GenAI spans, and read as such.
"""

from __future__ import annotations

import re
from typing import Final

from otel_feedback.convert.conventions import common
from otel_feedback.convert.conventions.genai import KINDS as OPERATIONS
from otel_feedback.convert.conventions.genai import OPERATION, READS, TELLING, kind_of_operation, read_genai
from otel_feedback.convert.reading import Reading
from otel_feedback.convert.span import FinishedSpan
from otel_feedback.convert.usage import TokenUsage
from otel_feedback.convert.values import text

__all__ = ["OpenLlmetryConvention"]

_KIND: Final = "traceloop.span.kind"
_REQUEST: Final = "llm.request.type"

KINDS: Final = {"agent": "agent", "workflow": "workflow", "task": "step", "tool": "tool", "handoff": "handoff"}
_ASSOCIATIONS: Final = "traceloop.association.properties."
_CREW_USAGE: Final = "crewai.crew.token_usage"  # a text: total_tokens=240 prompt_tokens=200 …
_COUNTS: Final = re.compile(r"(\w+)=(\d{1,15})\b")
_CHUNKS: Final = ("gen_ai.content.completion.chunk", "llm.content.completion.chunk")


def _is_unmarked_workflow(span: FinishedSpan) -> bool:
    """Tell whether it is a framework's workflow, of which only the name says so."""
    return "gen_ai.system" in span.attributes and span.name.endswith(".workflow")


class OpenLlmetryConvention:
    """Spans with a kind of Traceloop's, or with an old request type."""

    name = "openllmetry"
    markers = frozenset({_KIND, _REQUEST})
    telling = frozenset({*TELLING, _KIND, _REQUEST, "traceloop.entity.name"})
    reads = READS._replace(values=READS.values | telling | {_CREW_USAGE}, prefixes=(_ASSOCIATIONS,))

    def matches(self, span: FinishedSpan) -> bool:
        attributes = span.attributes
        if _KIND in attributes:
            return True
        return OPERATION not in attributes and (_REQUEST in attributes or _is_unmarked_workflow(span))

    def read(self, span: FinishedSpan) -> Reading:
        attributes = span.attributes
        word = attributes.get(_KIND)
        kind = KINDS.get(str(word).lower(), "step") if word is not None else None
        if kind is None and _is_unmarked_workflow(span):
            kind = "workflow"
        elif kind in (None, "step"):
            operation = OPERATIONS.get(str(attributes.get(OPERATION, "")))
            # a task that says that it is a model call or a retrieval is one
            if operation not in (None, "agent", "workflow"):
                kind = operation
            elif kind is None:
                kind = kind_of_operation(str(attributes.get(_REQUEST)))
        reading = read_genai(span, kind)
        entity = text(attributes.get("traceloop.entity.name"))
        if kind == "agent":
            reading.agent_name = reading.agent_name or common.agent_name_of(entity)
        elif kind == "workflow":
            reading.agent_name = common.agent_name_of(entity or common.stripped(span.name))
            if entity is not None and reading.workflow_id is None:
                reading.workflow_id = entity
            if reading.usage is None and isinstance(told := attributes.get(_CREW_USAGE), str):
                used = {name: int(number) for name, number in _COUNTS.findall(told[:1_000])}
                reading.usage = TokenUsage(
                    *map(used.get, ("prompt_tokens", "completion_tokens", "cached_prompt_tokens"))
                )
        elif kind == "tool":
            reading.tool_name = text(attributes.get("gen_ai.tool.name")) or entity or reading.tool_name
        common.add_associations(reading, attributes, _ASSOCIATIONS)
        for event in span.events:
            if event.name in _CHUNKS:
                reading.first_token_ms = (event.at_ns - span.start_ns) / 1e6
                reading.is_stream = True
                break
        return reading
