"""An action as the page has it: a row of the feed, and all there is to say of it within its run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from otel_feedback import semconv
from otel_feedback.events.model import epoch_us

__all__ = ["ROW", "detail_of", "milliseconds", "row_of"]

LOST = "process_lost"
"""The error type of an action whose process died before it ended."""
_MOST_ERROR = 500
ROW: Mapping[str, str] = {
    "event_id": "event_id", "revision": "revision", "run_id": "run_id", "parent_event_id": "parent_event_id",
    "trace_id": "trace_id", "tenant": "tenant_id", "service": "service_name", "agent": "agent_name",
    "action": "action_type", "name": "coalesce(tool_name, action_type)", "tool": "tool_name", "model": "model",
    "status": "status", "severity": "severity", "start": "(epoch_us(start_time) // 1000)",
    "end": "CASE WHEN status <> 'pending' THEN (epoch_us(event_time) // 1000) END", "duration": "duration_ms",
    "tokens": "own_tokens", "cost": "own_cost", "quality": "quality_score", "error_type": "error_type",
    "error": f"left(error_message, {_MOST_ERROR})", "tags": "coalesce(tags, [])",
}  # fmt: skip
"""By name in a row of the feed: what it is of an action. Tokens and cost are its own, without those inside it."""
_FLAGS = {semconv.METADATA_TRUNCATED: "cut", semconv.METADATA_REDACTED: "redacted", semconv.METADATA_INVALID: "invalid"}


def milliseconds(moment: datetime | None) -> int | None:
    """Return a moment as the page has it."""
    return None if moment is None else epoch_us(moment) // 1_000


def row_of(row: Mapping[str, Any], columns: Mapping[str, str] = ROW) -> dict[str, Any]:
    """Return what the page gets of a row that was selected by `ROW`."""
    return {name: row[name] for name in columns}


def detail_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return an action of a run: its row, and the fields of its event that the row has not."""
    metadata: dict[str, Any] = msgspec.json.decode(row["metadata"]) if row["metadata"] else {}
    flags = [
        f"{said}: {', '.join(map(str, told)) if isinstance(told, list) else told}"
        for key, said in _FLAGS.items()
        if (told := metadata.get(key))
    ]
    if row["usage_complete"] is False:
        flags.append("incomplete: tokens and cost of what was still open inside it")
    return {
        **row_of(row), "error": row["error_message"], "depth": row["depth"], "own_tokens": row["own_tokens"],
        "own_cost": row["own_cost"], "inclusive_tokens": row["tokens_used"], "inclusive_cost": row["cost_estimate"],
        "stack": row["stack_trace"], "scores": _scores(row, metadata), "attempt": row["attempt"],
        "retries": max(0, (row["attempt"] or 1) - 1), "flags": flags,
        "lost": LOST if row["error_type"] == LOST else None,
        "metadata": {name: value for name, value in metadata.items() if name not in _FLAGS},
    }  # fmt: skip


def _scores(row: Mapping[str, Any], metadata: Mapping[str, Any]) -> list[dict[str, Any]]:
    told = [("quality", row["quality_score"]), ("confidence", row["confidence_score"])]
    scores = [{"name": name, "value": value, "comment": None} for name, value in told if value is not None]
    for key, value in metadata.items():
        if key.startswith("evaluation.") and key.endswith(".score"):
            comment = metadata.get(f"{key.removesuffix('.score')}.label")
            name = key.removeprefix("evaluation.").removesuffix(".score")
            scores.append({"name": name, "value": value, "comment": comment})
    return scores
