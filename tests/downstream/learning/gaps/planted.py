"""Made-up outcomes in which gaps are planted, or none: a thousand of them in some milliseconds, the same for a seed each time."""

from __future__ import annotations

from otel_feedback.downstream.tables.tables import Tables

__all__ = ["fill", "uniform"]


def uniform(salt: str, of: str = "i") -> str:
    """Return SQL of a number from 0 to 1 that depends on the seed, on this salt and on a column."""
    return (
        f"((hash(concat_ws(' ', seed, '{salt}', {of})) >> 11)::DOUBLE / 9007199254740992)"  # of several it does not mix
    )


def _one_of(salt: str, *values: str, of: str = "i") -> str:
    return f"[{', '.join(map(repr, values))}][1 + ({uniform(salt, of)} * {len(values)})::INTEGER % {len(values)}]"


def fill(tables: Tables, seed: int, number: int, failing: str, quality: str = "NULL") -> None:
    """Make `outcomes` so many actions, six of a run, which has one tenant; nearly all are in the region eu.

    Args:
        tables: Whose they are; those of before are gone.
        seed: Another one makes others.
        number: How many.
        failing: SQL of how likely an action fails, over its columns, `plan`, `retries`, `run` and `seed`.
        quality: SQL of its quality, over the same.
    """
    tables.connection.execute("DELETE FROM lines")
    tables.connection.execute(f"""
        INSERT INTO lines BY NAME
        SELECT * EXCLUDE (i, seed, run, plan, retries),
            CASE WHEN {uniform("fails")} < {failing} THEN 'failure' ELSE 'success' END AS status,
            least(greatest({quality}, 0), 1) AS quality_score
        FROM (
            SELECT i, seed, i // 6 AS run, 'event-' || i AS event_id, 'run-' || (i // 6) AS run_id, 1 AS revision, true AS is_event,
                TIMESTAMPTZ '2026-03-02 09:00:00Z' + to_seconds(i) AS event_time,
                {_one_of("agent", "planner", "researcher", "writer", "critic")} AS agent_name,
                {_one_of("action", "plan", "search", "write")} AS action_type,
                {_one_of("model", "large", "small", "old")} AS model,
                {_one_of("tenant", "acme", "globex", "initech", of="run")} AS tenant_id,
                CASE WHEN {uniform("tag")} < 0.3 THEN ['beta'] WHEN {uniform("tag")} < 0.6 THEN ['eu', 'paid'] ELSE [] END AS tags,
                {_one_of("plan", "free", "pro")} AS plan, ({uniform("retries")} * 4)::INTEGER AS retries,
                json_object('plan', plan, 'retries', retries, 'request', 'q-' || i, 'region', CASE WHEN {uniform("region")} < 0.98 THEN 'eu' ELSE 'us' END) AS metadata,
                0.01 AS own_cost, 100.0 AS latency_ms
            FROM range({number}) AS made(i), (SELECT {seed} AS seed)
        )
    """)
