"""What is compared: the variants of an experiment, or actions that differ in one thing, as SQL over `outcomes`. Pure.

experiment ──► actions that asked for a variant, which are its exposures; those inside add what they cost elsewhere
by agent, model, tag … ──► all actions of either value; nobody drew who got which
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import msgspec

from otel_feedback import semconv
from otel_feedback.downstream.tables.tables import quoted

__all__ = ["BY", "Question"]

BY: Mapping[str, str] = MappingProxyType({
    "agent": "agent_name", "model": "model", "tool": "tool_name", "service": "service_name", "tenant": "tenant_id",
    "workflow": "workflow_id",
})  # fmt: skip
"""By what one can compare: its column. Besides `tag`, and `metadata.KEY`, for example a version."""

_METADATA = "metadata."
_OF_UNITS = ("tenant_id", "user_id", "session_id", "run_id")
_OF_VALUES = ("status", "quality_score", "cost_estimate", "own_cost", "latency_ms", "duration_ms")
_OF_EXPERIMENT = ("experiment", "variant", "propensity", "metadata", "trace_id", "start_time")


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """Either the name of an `experiment`, or `by` and the two `values` of it. `baseline`: what the others are held against."""

    experiment: str | None = None
    by: str | None = None
    values: tuple[str, ...] = ()
    baseline: str | None = None

    @property
    def column(self) -> str | None:
        """The column of `by`; None of a tag, of metadata and of an experiment."""
        return BY.get(self.by or "")

    @property
    def columns(self) -> set[str]:
        """The columns of events that it looks at."""
        of_group = {"tags"} if self.by == "tag" else {"metadata"} if self.column is None else {self.column}
        balanced = {"tenant_id", "service_name", "agent_name", "workflow_id"}
        of_question = set(_OF_EXPERIMENT) if self.experiment is not None else of_group
        return {"event_id", "root_event_id", "action_type", *_OF_UNITS, *_OF_VALUES, *balanced, *of_question}

    @property
    def which(self) -> str:
        """The condition on `outcomes` for what has a say in it."""
        if self.experiment is not None:
            return f"experiment = {quoted(self.experiment)}"
        if self.by == "tag":
            return f"list_has_any(tags, {_listed(self.values)})"
        return f"{self._value} IN ({', '.join(map(quoted, self.values))})"

    @property
    def is_seen(self) -> str:
        """The condition for what is compared among it: of an experiment the actions that asked."""
        if self.experiment is None:
            return "true"
        return f"coalesce(json_extract_string(metadata, '$.\"{semconv.METADATA_EXPOSURE}\"') = 'true', false) AND variant IS NOT NULL"

    @property
    def group(self) -> str:
        """The expression for what they are compared by; NULL where an action is of both."""
        if self.experiment is not None:
            return "variant"
        if self.by == "tag":
            one, other = self.values
            both = f"list_has_all(tags, {_listed(self.values)})"
            return f"CASE WHEN {both} THEN NULL WHEN list_contains(tags, {quoted(one)}) THEN {quoted(one)} ELSE {quoted(other)} END"
        return self._value

    @property
    def _value(self) -> str:
        if self.column is not None:
            return self.column
        path = '$."' + (self.by or "").removeprefix(_METADATA) + '"'
        return f"json_extract_string(metadata, {quoted(path)})"


def _listed(values: Sequence[str]) -> str:
    return f"[{', '.join(map(quoted, values))}]"
