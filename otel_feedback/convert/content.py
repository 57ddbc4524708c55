"""Prompts, answers, and what tools got and gave: read where a setting asks for it, field by field, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from otel_feedback.redaction.limits import cut

__all__ = ["read_content"]

_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "system_instructions": ("gen_ai.system_instructions", "llm.system_instructions"),
    "input": (
        "gen_ai.input.messages", "input.value", "gen_ai.prompt", "langfuse.observation.input", "mlflow.spanInputs",
        "traceloop.entity.input", "pydantic_ai.all_messages",
    ),
    "output": (
        "gen_ai.output.messages", "output.value", "gen_ai.completion", "langfuse.observation.output", "mlflow.spanOutputs",
        "traceloop.entity.output", "final_result",
    ),
    "tool_arguments": (
        "gen_ai.tool.call.arguments", "tool_arguments", "input.value", "langfuse.observation.input", "mlflow.spanInputs",
        "traceloop.entity.input",
    ),
    "tool_result": (
        "gen_ai.tool.call.result", "tool_response", "output.value", "langfuse.observation.output", "mlflow.spanOutputs",
        "traceloop.entity.output",
    ),
}  # fmt: skip
"""Field of the setting to the attributes that may hold it, of all conventions."""

_OF_TOOLS: Final = frozenset({"tool_arguments", "tool_result"})
MAX_CONTENT: Final = 16_384


def read_content(attributes: Mapping[str, Any], kind: str, wanted: Iterable[str]) -> dict[str, str]:
    """Return the wanted fields as `content.<field>`, cut to 16,384 characters."""
    found: dict[str, str] = {}
    for field in wanted:
        if (field in _OF_TOOLS) is not (kind == "tool"):
            continue
        for name in _NAMES[field]:
            value = attributes.get(name)
            if value is None:
                continue
            text = value if isinstance(value, str) else _as_json(value)
            if text:
                found[f"content.{field}"] = cut(text, MAX_CONTENT)
                break
    return found


def _as_json(value: object) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError, OverflowError, RecursionError):
        return ""
