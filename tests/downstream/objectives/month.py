"""A month of made-up traffic with known incidents, as a store's folder of Parquet files."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

import duckdb

from tests.downstream.generated import write_days

BEGIN = datetime(2026, 3, 1, tzinfo=timezone.utc)
DAYS = 30
EVERY_S = 10
"""Between two actions of an agent: 360 an hour."""


class Incident(NamedTuple):
    """Whose share of failures is how high, from when to when, in days of the month."""

    agent: str
    share: float
    begin_d: float
    end_d: float


OUTAGE = Incident("planner", 1.0, 5.013, 5.013 + 12 / 1_440)
SURGE = Incident("planner", 0.06, 12.4, 12.4 + 5 / 24)
LEAK = Incident("planner", 0.012, 18.0, 22.0)
DECLINE = Incident("writer", 0.08, 10.0, 30.0)
USUAL = 0.001
USUAL_OF_WRITER = 0.01


def write_store(folder: Path) -> Path:
    """Write the store; return its folder."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET threads = 1")  # so that the same seed is the same month
    connection.execute("SELECT setseed(0.25)")
    cases = " ".join(
        f"WHEN agent = '{each.agent}' AND day >= {each.begin_d!r} AND day < {each.end_d!r} THEN {each.share}"
        for each in (OUTAGE, SURGE, LEAK, DECLINE)
    )
    connection.execute(
        f"""
        CREATE TABLE made AS SELECT
            'event-' || n || agent AS event_id, 1 AS revision, '1' AS schema_version, 'answer' AS action_type, agent AS agent_name,
            TIMESTAMPTZ '{BEGIN.isoformat()}' + to_seconds(n * {EVERY_S}) AS "timestamp", "timestamp" AS end_time,
            CASE WHEN random() < CASE {cases} WHEN agent = 'writer' THEN {USUAL_OF_WRITER} ELSE {USUAL} END
                THEN 'failure' ELSE 'success' END AS status,
            'run-' || n AS run_id
        FROM (SELECT n, n * {EVERY_S} / 86400.0 AS day, agent
            FROM range({DAYS * 86_400 // EVERY_S}) AS r(n), (VALUES ('planner'), ('writer')) AS a(agent) ORDER BY n, agent)
        """
    )
    with connection:
        return write_days(connection, folder, BEGIN, DAYS)
