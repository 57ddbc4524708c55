"""pydantic-ai 1.x and 2.x, all formats of its instrumentation: GenAI names, and some of its own."""

from __future__ import annotations

from typing import Final

import msgspec

from otel_feedback.convert.conventions import common
from otel_feedback.convert.conventions.genai import OPERATION, READS, TABLE, TELLING, kind_of, read_genai
from otel_feedback.convert.reading import CallUsage, Reading, Tokens
from otel_feedback.convert.span import FinishedSpan

__all__ = ["PydanticAiConvention"]

_AGGREGATED: Final = "gen_ai.aggregated_usage."
_CALLS: Final = "gen_ai.usage."

_AGENT_TABLE: Final = msgspec.structs.replace(
    TABLE,
    texts={**TABLE.texts, "model": ("gen_ai.response.model", "gen_ai.request.model", "model_name")},
    tokens=(Tokens(f"{_AGGREGATED}input_tokens", f"{_AGGREGATED}output_tokens"), *TABLE.tokens),
    cached=(f"{_AGGREGATED}cache_read.input_tokens", *TABLE.cached),
)


class PydanticAiConvention:
    """Spans of the scope `pydantic-ai`, and those that carry the id of one of its runs."""

    name = "pydantic_ai"
    markers = frozenset({OPERATION})
    telling = TELLING
    reads = READS._replace(values=READS.values | _AGENT_TABLE.values)

    def matches(self, span: FinishedSpan) -> bool:
        # beside OpenInference's processor its spans carry both families of names; they are still its own
        return OPERATION in span.attributes and (
            span.scope == "pydantic-ai" or "gen_ai.agent.call.id" in span.attributes
        )

    def read(self, span: FinishedSpan) -> Reading:
        attributes = span.attributes
        kind = kind_of(span)
        reading = read_genai(span, kind, _AGENT_TABLE if kind == "agent" else TABLE)
        reading.agent_name = common.agent_name_of(reading.agent_name)  # `agent` is what one without a name is called
        if kind == "agent" and f"{_AGGREGATED}input_tokens" in attributes:
            reading.usage_of = CallUsage.OWN_CALLS
        return reading
