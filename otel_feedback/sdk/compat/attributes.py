"""The attributes of a span in what the SDK holds them in, without its cleaning each of them once more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import SpanLimits

__all__ = ["bounded_attributes"]


def bounded_attributes(clean: Mapping[str, Any], limits: SpanLimits) -> Mapping[str, Any] | None:
    """Return what a span of the SDK holds these attributes in, which need no cleaning; None where limits would cut them."""
    most = limits.max_span_attributes
    if (most is not None and len(clean) > most) or limits.max_span_attribute_length is not None:
        return None
    made = BoundedAttributes(most, immutable=False)
    known = vars(made).get("_dict")
    if not isinstance(known, dict):
        return None
    known.update(clean)
    vars(made)["_immutable"] = True
    return made
