"""The actions that a request is about, and those of the time before it that they are compared with, counted in groups.

hot, or the store's rows ──time, filters──► chosen ──┬──► sums, by agent, action and status ──► counts of a group
                                                     └──────────────────────────────────────► percentiles, exact
days, hours at their ends, hot ──time, filters──────────► sums with counts of latencies ──────► both, from sums
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from otel_feedback.downstream.store.rollups import DAY_MS, HOUR_MS
from otel_feedback.downstream.ui.asking import Asked
from otel_feedback.downstream.ui.measures import COUNTS, LATENCIES, OF_ROWS, TOOK, sql_of
from otel_feedback.downstream.ui.mirror import HOT
from otel_feedback.downstream.ui.reader import Reader
from otel_feedback.downstream.ui.rows import milliseconds
from otel_feedback.downstream.ui.summed import is_by_day, sums_between

__all__ = ["Chosen"]

_KEPT = ("agent_name", "action_type", "status")
_MEASURED = "own_tokens, own_cost, quality_score, took, feedback_score, feedback_count"
_NOT_SUMMED = "NULL::DOUBLE AS feedback, NULL::BIGINT AS graded, NULL::BIGINT AS rated"


class Chosen:
    """The actions of a request as tables `chosen`, where there are rows of them, and `sums` of its cursor.

    Args:
        reader: What may be seen.
        asked: Which of it.
        compares: With those of the time before.
    """

    def __init__(self, reader: Reader, asked: Asked, *, compares: bool = True) -> None:
        self.reader = reader
        since, until = asked.since_ms, asked.until_ms
        begin = milliseconds(reader.mirror.begin)
        is_in_memory = begin is None or (2 * since - until if compares else since) >= begin
        self.is_of_sums = not is_in_memory and asked.is_of_sums
        self.least_s = 1
        """How long the pieces of its time are at least that can be told apart."""
        if self.is_of_sums:
            since -= since % HOUR_MS
            self.least_s = (DAY_MS if is_by_day(asked) else HOUR_MS) // 1_000
        self.since, self.until, self.before = since, until, 2 * since - until if compares else since
        self.condition = asked.condition
        if self.is_of_sums:
            self._choose_sums(asked)
        elif is_in_memory:
            self._choose_hot()
        else:
            self._choose_stored(asked)

    def _choose_sums(self, asked: Asked) -> None:
        parts = [(self.since, self.until, is_by_day(asked), True)]
        if self.before < self.since:
            parts.append((self.before, self.since, True, False))
        sums = " UNION ALL BY NAME ".join(
            f"SELECT *, {_NOT_SUMMED}, {is_now} AS is_now FROM ({sums_between(self.reader, asked, begin, end, _KEPT, by_day=by_day)})"
            for begin, end, by_day, is_now in parts
        )
        self.reader.cursor.execute(f"CREATE OR REPLACE TEMP TABLE sums AS {sums}")

    def _choose_hot(self) -> None:
        condition = f"t >= {self.before} AND t < {self.until} AND {self.condition}"
        chosen = f"SELECT t, kind, {_MEASURED} FROM hot WHERE {condition}"
        if self.condition == "true":  # a copy of nearly all would take longer than to look again
            self.reader.cursor.execute("BEGIN")  # so that all questions are about the same
            self.reader.cursor.execute(f"CREATE OR REPLACE TEMP VIEW picked AS {chosen}")
        else:
            self.reader.cursor.execute(f"CREATE OR REPLACE TEMP TABLE picked AS {chosen}")
        self._add_up("picked JOIN kinds USING (kind)")

    def _choose_stored(self, asked: Asked) -> None:
        self.reader.open_stored(asked.since - asked.length, asked.until)
        self.reader.open_feedback()
        rows = f"(SELECT *, (epoch_us(event_time) // 1000) AS t, {HOT['took']} AS took FROM outcomes)"
        self.reader.cursor.execute(
            f"CREATE OR REPLACE TEMP TABLE picked AS SELECT t, {', '.join(_KEPT)}, {_MEASURED} FROM {rows}"
            f" WHERE t >= {self.before} AND t < {self.until} AND {self.condition}"
        )
        self._add_up("picked")

    def _add_up(self, picked: str) -> None:
        kept = ", ".join(_KEPT)
        self.reader.cursor.execute(
            f"CREATE OR REPLACE TEMP VIEW chosen AS SELECT t, {kept}, {_MEASURED}, t >= {self.since} AS is_now FROM {picked}"
        )
        self.reader.cursor.execute(sql_of("sums", keys=kept))

    def groups(self, keys: Sequence[str], *, only_now: bool = False) -> list[dict[str, Any]]:
        """Return the measures of each group of `is_now`, `agent_name`, `action_type`."""
        of = {"keys": ", ".join(keys), "condition": "is_now" if only_now else "true"}
        if self.is_of_sums:
            return self.reader.rows(sql_of("grouped", rows="sums", measures=f"{COUNTS}, {LATENCIES}", **of))
        took = self.reader.rows(sql_of("grouped", rows="chosen", measures=TOOK, **of))
        by_key = {tuple(row[key] for key in keys): row["took"] for row in took}
        rows = self.reader.rows(sql_of("grouped", rows="sums", measures=COUNTS, **of))
        return [{**row, "took": by_key[tuple(row[key] for key in keys)]} for row in rows]

    def series(self, bucket_ms: int) -> list[dict[str, Any]]:
        """Return the measures of each piece of now, with its beginning, `bucket`."""
        rows, at, measures = ("sums", "hour", f"{COUNTS}, {LATENCIES}") if self.is_of_sums else ("chosen", "t", OF_ROWS)
        bucket = f"{at} - {at} % {bucket_ms}"
        return self.reader.rows(f"SELECT {bucket} AS bucket, {measures} FROM {rows} WHERE is_now GROUP BY {bucket}")
