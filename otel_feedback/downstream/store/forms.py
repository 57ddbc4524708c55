"""What the tables of a store are, as SQL: their columns, how lines are read as them, and what they say of their time.

Pure; safe on any thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from otel_feedback.downstream.store.folder import ERASED, EVENTS, FEEDBACK
from otel_feedback.downstream.store.rows import READ_COLUMNS
from otel_feedback.downstream.tables.columns import (
    EVENT_COLUMNS,
    FEEDBACK_COLUMNS,
    PIPELINE_COLUMNS,
    PLACE_COLUMNS,
    struct_of,
)

__all__ = ["FORMS", "Form"]


class Form(NamedTuple):
    """What the rows of a table are, as SQL: `read` as columns of `read_json`, `fields` of those, `time` of a row."""

    columns: Mapping[str, str]
    read: str
    fields: str
    time: str

    @property
    def day(self) -> str:
        """The day of a row."""
        return f"CAST({self.time} AS DATE)"

    @property
    def told(self) -> str:
        """How many rows, and the first and the last time of them."""
        return f"count(*), epoch_us(min({self.time})), epoch_us(max({self.time}))"

    @property
    def nothing(self) -> str:
        """All columns of a row of which nothing is known."""
        return ", ".join(f'CAST(NULL AS {kind}) AS "{name}"' for name, kind in self.columns.items())


def _plain(columns: Mapping[str, str]) -> Form:
    return Form(columns, struct_of(columns), "*", "timestamp")


FORMS: Mapping[str, Form] = {
    EVENTS: Form(
        {**EVENT_COLUMNS, **PLACE_COLUMNS}, READ_COLUMNS,
        ", ".join((*(f"e.{name}" for name in EVENT_COLUMNS), *PLACE_COLUMNS)), "coalesce(end_time, timestamp)",
    ),
    FEEDBACK: _plain(FEEDBACK_COLUMNS),
    # `timestamp` is when it was erased
    ERASED: _plain({"timestamp": "TIMESTAMP WITH TIME ZONE", "event_md5": "VARCHAR", "run_md5": "VARCHAR"}),
    **{table: _plain(PIPELINE_COLUMNS[table]) for table in ("accounts", "dead_letters")},
}  # fmt: skip
