"""What questions about outcomes are asked of: `Tables`, or any connection to DuckDB that has a view `outcomes`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

__all__ = ["Asks", "columns_there", "with_feedback"]


class Asks(Protocol):
    """Answers SQL, for one thread. What is left in it is temporary, and of this connection alone."""

    def query(self, text: str, parameters: Sequence[object] = (), /) -> list[tuple[Any, ...]]:
        """Return the rows of a query; of what is none, anything."""
        ...


def columns_there(tables: Asks) -> set[str]:
    """Return the columns that `outcomes` has."""
    return {name for (name,) in tables.query("SELECT column_name FROM (DESCRIBE outcomes)")}


def with_feedback(tables: Asks, text: str) -> str:
    """Return a SELECT on `outcomes` with feedback in the place of the first `quality_score`, where these outcomes have any.

    So quality is what people said of an outcome, and else its score, as a reward has it.
    """
    return (
        text.replace("quality_score", "coalesce(feedback_score, quality_score)", 1)
        if "feedback_score" in columns_there(tables)
        else text
    )
