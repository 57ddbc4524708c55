"""A store of so many made-up records over some days, written by DuckDB itself: ten million take a minute and no memory.

Of 100 records 8 are revisions, 4 repeats, 5 of actions under way. By agents, tenants, models, statuses and errors as a fleet has
them, with ids of real length.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import duckdb

from otel_feedback.downstream.store import manifest as manifests
from otel_feedback.downstream.store.folder import StoreFolder, free_name, publish
from otel_feedback.downstream.store.manifest import DataFile, Manifest
from otel_feedback.downstream.tables.columns import EVENT_COLUMNS, PLACE_COLUMNS

__all__ = ["fill"]

FILE_ROWS = 200_000
_MADE = {
    "schema_version": "'1.0'",
    "event_id": "md5((n - back)::VARCHAR) || '-' || left(md5('s' || n - back), 16)",
    "revision": "CASE WHEN kind < 5 THEN 0 WHEN back > 0 AND kind < 13 THEN 2 ELSE 1 END",
    "timestamp": "moment", "start_time": "moment - to_milliseconds(took)", "end_time": "CASE WHEN kind >= 5 THEN moment END",
    "action_type": "['plan', 'search', 'fetch_page', 'write', 'evaluate'][1 + n % 5]",
    "status": "CASE WHEN kind < 5 THEN 'pending' WHEN lot % 100 < 7 THEN 'failure' WHEN lot % 100 < 9 THEN 'timeout'"
    " WHEN lot % 100 < 10 THEN 'cancelled' WHEN lot % 100 < 12 THEN 'partial' ELSE 'success' END",
    "severity": "'info'", "agent_name": "'agent-' || (n // 5) % 12", "service_name": "'service-' || (n // 60) % 3",
    "run_id": "'run-' || md5((n // 9)::VARCHAR)", "tenant_id": "'tenant-' || (n // 9) % 20",
    "user_id": "'user-' || (n // 9) % 5000", "session_id": "'session-' || (n // 9) % 40000",
    "workflow_id": "'workflow-' || (n // 9) % 6", "trace_id": "md5((n // 9)::VARCHAR)",
    "model": "CASE WHEN lot % 3 > 0 THEN ['gpt-4o', 'claude-sonnet', 'gpt-4o-mini'][1 + lot % 3] END",
    "duration_ms": "CASE WHEN kind >= 5 THEN took END", "latency_ms": "CASE WHEN kind >= 5 THEN took END",
    "own_tokens": "CASE WHEN lot % 3 > 0 THEN 100 + lot % 9000 END",
    "own_cost": "CASE WHEN lot % 3 > 0 THEN (100 + lot % 9000) * 4e-6 END",
    "quality_score": "CASE WHEN lot % 4 = 0 THEN (lot % 1000) / 1000.0 END",
    "error_type": "CASE WHEN lot % 100 < 7 THEN ['RateLimitError', 'ValueError', 'CrmError'][1 + lot % 3] END",
    "error_message": "CASE WHEN lot % 100 < 7 THEN 'HTTP 429 from the service ' || lot % 50 END",
    "tags": "['support', ['beta', 'paid', 'eu'][1 + lot % 3]]", "metadata": "'{\"attempt\": 1, \"topic\": \"parcel\"}'::JSON",
    "producer_id": "md5('p' || n % 4)", "sequence": "n // 4", "source": "'agent-outcomes'", "source_partition": "n % 6",
    "source_position": "n // 6",
}  # fmt: skip


def fill(folder: StoreFolder, rows: int, length: timedelta, until: datetime | None = None) -> None:
    """Write so many records that are spread over a time, which ends now or at another moment."""
    until = until or datetime.now(timezone.utc)
    begin = until - length
    columns = {**EVENT_COLUMNS, **PLACE_COLUMNS}
    told = ", ".join(f"({_MADE.get(name, 'NULL')})::{kind} AS {name}" for name, kind in columns.items())
    us = int(length / timedelta(microseconds=1))
    files: list[DataFile] = []
    with folder.writing(), duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        start = 0
        while start < rows:
            first = begin + length * (start / rows)
            midnight = (first + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
            whole = int(rows * ((midnight - begin) / length)) + 1
            end = min(rows, start + FILE_ROWS, max(start + 1, whole))
            name = free_name(".parquet")
            made = folder.unfinished / name
            database.execute(
                f"COPY (SELECT {told} FROM (SELECT *, (hash(n - back) % 1000003)::BIGINT AS lot, exp(6 + 1.2 * (((hash(n, 7) % 1000)"
                f" + (hash(n, 8) % 1000) + (hash(n, 9) % 1000)) / 500.0 - 3)) AS took,"
                f" TIMESTAMPTZ '{begin.isoformat()}' + to_microseconds((n * {us}::HUGEINT // {rows})::BIGINT) AS moment"
                f" FROM (SELECT n, hash(n, 1) % 100 AS kind, CASE WHEN hash(n, 1) % 100 BETWEEN 5 AND 16 AND n > 50"
                f" THEN 1 + hash(n, 2) % 40 ELSE 0 END AS back FROM range({start}, {end}) AS r(n))))"
                f" TO '{made}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 30720)"
            )
            day = first.strftime("%Y-%m-%d")
            place = folder.day(day) / name
            publish(made, place)
            last = begin + length * ((end - 1) / rows)
            path = str(place.relative_to(folder.path))
            files.append(DataFile(path, end - start, place.stat().st_size, first, last))
            start = end
        manifests.save(folder, Manifest(files=files, counts={"written": rows}))
