"""A week of generated traffic with known incidents, as a store's folder of Parquet files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

import duckdb

from tests.downstream.generated import write_days

BEGIN = datetime(2026, 3, 2, tzinfo=timezone.utc)
AGENTS = ("planner", "researcher", "writer")
TENANTS = ("acme", "globex")
EVERY_S = 10
"""Between two actions of an agent for a tenant: 30 in a window of five minutes."""


class Incident(NamedTuple):
    """What goes wrong, for whom, from when to when, in hours of the week."""

    kind: str
    agent: str
    tenant: str
    begin_h: float
    end_h: float


INCIDENTS = (
    Incident("errors", "planner", "acme", 30.05, 31.0),  # of 2 % to 50 %
    Incident("errors", "writer", "globex", 75.5, 75.75),  # three windows of 40 % timeouts
    Incident("latency", "researcher", "acme", 50.0, 51.0),  # eight times as slow
    Incident("cost", "writer", "acme", 100.2, 103.0),  # ten times as dear
    Incident("quality", "researcher", "globex", 120.1, 122.0),  # of 0.8 to 0.4
    Incident("stuck", "planner", "globex", 140.0, 140.5),  # begins and never ends
)


def write_store(folder: Path, *, days: int = 7, incidents: Sequence[Incident] = INCIDENTS, seed: float = 0.5) -> Path:
    """Write the store; return its folder."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SELECT setseed(?)", [seed])
    connection.execute("SET threads = 1")  # so that the same seed is the same week
    connection.execute(
        "CREATE TABLE incidents (kind VARCHAR, agent VARCHAR, tenant VARCHAR, begin_h DOUBLE, end_h DOUBLE)"
    )
    for incident in incidents:
        connection.execute("INSERT INTO incidents VALUES (?, ?, ?, ?, ?)", list(incident))
    connection.execute(_MADE.format(begin=BEGIN.isoformat(), rows=days * 86_400 // EVERY_S, every=EVERY_S))
    with connection:
        return write_days(connection, folder, BEGIN, days)


_MADE = """
CREATE TABLE made AS
WITH actions AS (
    SELECT
        n, agent, tenant, n * {every} / 3600.0 AS hour, random() AS fate, random() AS kind_of, random() AS dear, random() AS good,
        exp(6 + 0.5 * sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random())) AS took,
        row_number() OVER () - 1 AS sequence
    FROM range({rows}) AS r(n), (VALUES ('planner'), ('researcher'), ('writer')) AS a(agent), (VALUES ('acme'), ('globex')) AS t(tenant)
    ORDER BY n, agent, tenant
),
told AS (
    SELECT
        actions.*, coalesce(bool_or(i.kind = 'errors'), false) AS errs, coalesce(bool_or(i.kind = 'latency'), false) AS slow,
        coalesce(bool_or(i.kind = 'cost'), false) AS costs, coalesce(bool_or(i.kind = 'quality'), false) AS bad,
        coalesce(bool_or(i.kind = 'stuck'), false) AS stuck
    FROM actions LEFT JOIN incidents AS i
        ON i.agent = actions.agent AND i.tenant = actions.tenant AND hour >= i.begin_h AND hour < i.end_h
    GROUP BY ALL
)
SELECT
    'event-' || sequence AS event_id, CASE WHEN stuck AND fate < 0.1 THEN 0 ELSE 1 END AS revision, '1' AS schema_version,
    TIMESTAMPTZ '{begin}' + to_milliseconds(CAST(n * {every} * 1000 + kind_of * 9000 AS BIGINT)) AS "timestamp",
    "timestamp" - to_milliseconds(CAST(took AS BIGINT)) AS start_time,
    CASE WHEN NOT (stuck AND fate < 0.1) THEN "timestamp" END AS end_time, 'step' AS action_type,
    CASE
        WHEN stuck AND fate < 0.1 THEN 'pending'
        WHEN errs AND fate < 0.5 THEN CASE WHEN kind_of < 0.5 THEN 'failure' ELSE 'timeout' END
        WHEN fate < 0.02 THEN 'failure'
        ELSE 'success'
    END AS status,
    agent AS agent_name, tenant AS tenant_id, 'run-' || (n // 6) || '-' || tenant AS run_id,
    took * CASE WHEN slow THEN 8 ELSE 1 END AS latency_ms,
    0.02 * dear * CASE WHEN costs THEN 30 ELSE 1 END AS own_cost,
    CASE WHEN bad THEN 0.4 ELSE 0.8 END + (good - 0.5) * 0.3 AS quality_score, 'support-bot' AS service_name,
    'producer-1' AS producer_id, sequence
FROM told
"""
