"""What a gap is made of, as JSON lines for a data set: of each action that lost more than those elsewhere do on average, its
ids and its metadata.

What was said to an agent and by it is in there only where it is recorded, which is then in the metadata (`content.…`). To be
called after `find()`, on the same tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from otel_feedback.downstream.learning.asking import Asks
from otel_feedback.downstream.learning.gaps.gap import Gap

__all__ = ["MOST_ACTIONS", "lines"]

MOST_ACTIONS = 1_000
"""Of one gap: those that lost most, of which the newest."""
_FIELDS = (
    "event_id", "run_id", "trace_id", "span_id", "tenant_id", "agent_name", "action_type", "tool_name", "model", "status",
    "error_type", "quality_score", "start_time", "end_time", "tags", "metadata",
)  # fmt: skip
_TEXT = f"""\
SELECT {", ".join(_FIELDS)}
FROM outcomes
JOIN (
    SELECT event_id, loss, event_time AS ended
    FROM gap_facts
    WHERE metric = $1 AND explained_by = $2 AND loss > $3
    ORDER BY loss DESC, ended DESC, event_id
    LIMIT {MOST_ACTIONS}
) USING (event_id)
ORDER BY loss DESC, ended DESC, event_id
"""


def lines(tables: Asks, gaps: Sequence[Gap]) -> Iterator[bytes]:
    """Yield a line for each action: `gap` (its metric and slices), and of the event what it has of these fields.

    Raises:
        duckdb.Error: The events cannot be read.
    """
    for gap in gaps:
        said = {"metric": gap.metric, "slices": msgspec.to_builtins(gap.slices)}
        for row in tables.query(_TEXT, [gap.metric, gap.number, 1 - gap.elsewhere]):
            fields = {name: value for name, value in zip(_FIELDS, row, strict=True) if value is not None}
            if "metadata" in fields:
                fields["metadata"] = msgspec.json.decode(fields["metadata"])
            yield msgspec.json.encode({"gap": said, **fields}) + b"\n"
