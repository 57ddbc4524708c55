"""What was said of the actions in memory: of each the mean of its raters and how many there are, as columns of `hot`.

    manifest ──new files of feedback──► kept.given: by each rater the newest
                                            │ what is new in it, or in hot
                                            └──► hot: feedback_score, feedback_count

What counts for which action is as in `tables/given/`, which looks at all; here only at what is new, and at its runs. In the
mirror's transaction, for its thread. Where there is no feedback it costs nothing.
"""

from __future__ import annotations

from datetime import datetime

import duckdb

from otel_feedback.downstream.store.folder import FEEDBACK, StoreFolder
from otel_feedback.downstream.store.manifest import Manifest
from otel_feedback.downstream.tables.stored import feedback_rows

__all__ = ["GIVEN_COLUMNS", "Given"]

GIVEN_COLUMNS = {
    "is_outermost": "coalesce(root_event_id, event_id) = event_id", "feedback_score": "NULL::DOUBLE",
    "feedback_count": "0::INTEGER", "given": "0::INTEGER",
}  # fmt: skip
"""By column of `hot`: what it is of a row of a store. `given` is the number of the change that brought the feedback on it."""
_KEPT = """
SELECT feedback_id, tenant_id, target, CASE target WHEN 'event' THEN event_id ELSE run_id END AS about, "timestamp" AS said_at, score
FROM {records}
QUALIFY row_number() OVER (PARTITION BY feedback_id, tenant_id ORDER BY said_at DESC, score DESC NULLS LAST) = 1
"""
_SAME = "k.feedback_id = n.feedback_id AND k.tenant_id IS NOT DISTINCT FROM n.tenant_id"
_NEWER = "k.said_at > n.said_at OR (k.said_at = n.said_at AND coalesce(k.score, -1) >= coalesce(n.score, -1))"
_OF_NEW_ROWS = """
SELECT target, about FROM kept.given SEMI JOIN (SELECT event_id FROM kept.hot WHERE seen = {number}) AS h ON about = h.event_id
WHERE target = 'event'
UNION SELECT target, about FROM kept.given SEMI JOIN (SELECT run_id FROM kept.hot WHERE seen = {number}) AS h ON about = h.run_id
WHERE target = 'run'
"""
# by a number, not by 49 characters; and of what is said of a run all of it, of which one action has it
_ROWS = """
WITH named AS (SELECT run_id FROM kept.hot WHERE key IN (SELECT hash(about) FROM touched WHERE target = 'event')),
runs AS (
    SELECT about FROM touched WHERE target = 'run'
    UNION SELECT about FROM kept.given SEMI JOIN named ON about = named.run_id WHERE target = 'run'
)
SELECT h.rowid AS place, h.event_id, h.run_id, h.is_outermost, h.event_time, k.tenant_id
FROM kept.hot AS h JOIN kept.kinds AS k USING (kind)
WHERE h.key IN (SELECT hash(about) FROM touched WHERE target = 'event') OR h.run_id IN (FROM runs)
"""
_COUNTED = """
WITH named AS (
    SELECT k.*, a.place FROM kept.given AS k JOIN touched_rows AS a ON k.about = a.event_id
    WHERE k.target = 'event' AND (k.tenant_id IS NULL OR k.tenant_id IS NOT DISTINCT FROM a.tenant_id)
),
of_runs AS (
    SELECT k.*, a.place FROM kept.given AS k JOIN touched_rows AS a ON k.about = a.run_id
    WHERE k.target = 'run' AND (k.tenant_id IS NULL OR k.tenant_id IS NOT DISTINCT FROM a.tenant_id)
    QUALIFY row_number() OVER (
        PARTITION BY k.feedback_id, k.tenant_id ORDER BY a.is_outermost DESC, a.event_time DESC, a.event_id DESC
    ) = 1
),
raters AS (
    FROM (FROM named UNION ALL FROM of_runs)
    QUALIFY row_number() OVER (PARTITION BY feedback_id, place ORDER BY said_at DESC, tenant_id NULLS LAST) = 1
)
SELECT place, avg(score) AS score, count(*)::INTEGER AS raters FROM raters GROUP BY place
"""


class Given:
    """Keeps `kept.given` of a connection, and what follows of it in `kept.hot`.

    Args:
        folder: The store.
        connection: Where the tables are.
    """

    def __init__(self, folder: StoreFolder, connection: duckdb.DuckDBPyConnection) -> None:
        self._folder = folder
        self._connection = connection
        self._known: frozenset[str] | None = None
        columns = (
            "feedback_id VARCHAR, tenant_id VARCHAR, target VARCHAR, about VARCHAR, said_at TIMESTAMPTZ, score DOUBLE"
        )
        self._run(f"CREATE OR REPLACE TABLE kept.given ({columns})")

    def forget(self) -> None:
        """Make all of it anew the next time: what was taken in was not committed."""
        self._known = None

    def take(self, manifest: Manifest, begin: datetime | None, number: int, *, is_less: bool) -> bool:
        """Take in what is new, and tell whether it is of any action that is there.

        Args:
            manifest: What the store has.
            begin: From when on actions are in memory; feedback that is older is of none of them. None: all are.
            number: Of the change: rows with it are new.
            is_less: Rows of `hot` have gone.

        Raises:
            duckdb.Error: A file cannot be read.
        """
        there = frozenset(
            file.path for file in manifest.notices if file.table == FEEDBACK and (begin is None or file.last >= begin)
        )
        if not there and not self._known:
            return False
        known = self._known
        if known is None or is_less or known - there:  # joined, erased, expired: what has gone is not told one by one
            known = frozenset()
            self._run("DELETE FROM kept.given")
            self._run("UPDATE kept.hot SET feedback_score = NULL, feedback_count = 0 WHERE feedback_count > 0")
        self._run("CREATE OR REPLACE TEMP TABLE touched (target VARCHAR, about VARCHAR)")
        new = [self._folder.path / path for path in sorted(there - known)]
        if new:
            self._add(f"({feedback_rows(self._connection, new)})")
        if known:
            self._run(f"INSERT INTO touched {_OF_NEW_ROWS.format(number=number)}")
        self._known = there
        return self._count(number)

    def _add(self, records: str) -> None:
        """Add records of which no newer one is known; what either is about is touched."""
        self._run(f"CREATE OR REPLACE TEMP TABLE news AS {_KEPT.format(records=records)}")
        self._run(f"DELETE FROM news AS n USING kept.given AS k WHERE {_SAME} AND ({_NEWER})")
        self._run(
            "INSERT INTO touched SELECT target, about FROM news"
            f" UNION SELECT k.target, k.about FROM kept.given AS k JOIN news AS n ON {_SAME}"
        )
        self._run(f"DELETE FROM kept.given AS k USING news AS n WHERE {_SAME}")
        self._run("INSERT INTO kept.given FROM news")
        self._run("DROP TABLE news")

    def _count(self, number: int) -> bool:
        """Count for the rows that are touched, and tell whether there is any."""
        self._run(f"CREATE OR REPLACE TEMP TABLE touched_rows AS {_ROWS}")
        self._run("DROP TABLE touched")
        [(found,)] = self._run("SELECT count(*) FROM touched_rows")
        if found:
            self._run(
                f"UPDATE kept.hot SET feedback_score = c.score, feedback_count = coalesce(c.raters, 0), given = {number}"
                f" FROM (FROM touched_rows LEFT JOIN ({_COUNTED}) USING (place)) AS c"
                " WHERE hot.rowid = c.place"
            )
        self._run("DROP TABLE touched_rows")
        return bool(found)

    def _run(self, text: str) -> list[tuple[object, ...]]:
        return self._connection.execute(text).fetchall()
