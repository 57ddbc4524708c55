"""The conventions that come with this package, in the order in which they are asked."""

from __future__ import annotations

from typing import Final

from otel_feedback.convert.conventions.genai import GenAiConvention
from otel_feedback.convert.conventions.langfuse import LangfuseConvention
from otel_feedback.convert.conventions.mlflow import MlflowConvention
from otel_feedback.convert.conventions.openinference import OpenInferenceConvention
from otel_feedback.convert.conventions.openllmetry import OpenLlmetryConvention
from otel_feedback.convert.conventions.pydantic_ai import PydanticAiConvention
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
