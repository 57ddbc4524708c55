"""The conventions that come with this package, in the order in which they are asked."""

from __future__ import annotations

from typing import Final

from otel_feedback.convert.genai import GenAiConvention
from otel_feedback.convert.langfuse import LangfuseConvention
from otel_feedback.convert.mlflow import MlflowConvention
from otel_feedback.convert.openinference import OpenInferenceConvention
from otel_feedback.convert.openllmetry import OpenLlmetryConvention
from otel_feedback.convert.pydantic_ai import PydanticAiConvention
from otel_feedback.convert.span import Convention

__all__ = ["CONVENTIONS"]

CONVENTIONS: Final[tuple[Convention, ...]] = (
    PydanticAiConvention(),
    OpenLlmetryConvention(),
    GenAiConvention(),
    OpenInferenceConvention(),
    LangfuseConvention(),
    MlflowConvention(),
)
"""Our own comes before all; the first that matches reads a span, and no other. More special ones come first."""
