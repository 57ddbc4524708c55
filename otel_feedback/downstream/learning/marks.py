"""How good an outcome was: the feedback on it where there is some, else its `quality_score`, as a reward has it."""

from __future__ import annotations

from otel_feedback.downstream.tables.tables import Tables

__all__ = ["with_feedback"]


def with_feedback(tables: Tables, text: str) -> str:
    """Return a SELECT on `outcomes` with feedback in the place of the first `quality_score`, where these outcomes have any."""
    if "feedback_score" not in tables.ask("SELECT * FROM outcomes LIMIT 0").names:
        return text
    return text.replace("quality_score", "coalesce(feedback_score, quality_score)", 1)
