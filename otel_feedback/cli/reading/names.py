"""What arguments may name: filters, groups, orders. Imports nothing, for --help."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["FILTERS", "GROUPS", "SORTS", "STATUSES"]

FILTERS: Mapping[str, str] = {
    "agent": "agent_name", "action": "action_type", "status": "status", "tenant": "tenant_id", "model": "model",
    "user": "user_id", "session": "session_id", "service": "service_name", "workflow": "workflow_id", "run": "run_id",
}  # fmt: skip
"""By option: the column whose value it names."""
STATUSES = ("success", "failure", "partial", "timeout", "cancelled", "pending")
GROUPS: Mapping[str, str] = {**FILTERS, "tag": "tag", "window": "window_start"}
"""By what can be grouped: the expression for it."""
SORTS: Mapping[str, str] = {
    "actions": "executions", "errors": "error_rate", "p95": "p95_latency_ms", "tokens": "tokens", "cost": "cost",
    "quality": "avg_quality", "feedback": "feedback_score",
}  # fmt: skip
"""What groups can be ordered by: the measure for it."""
