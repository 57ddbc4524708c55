"""Generated traffic as a store's folder: what a table of DuckDB has, as a Parquet file a day, and the manifest."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from otel_feedback.downstream.tables.columns import EVENT_COLUMNS, PLACE_COLUMNS

__all__ = ["write_days"]


def write_days(connection: duckdb.DuckDBPyConnection, folder: Path, first: datetime, days: int) -> Path:
    """Write the rows of the table `made` by day, with NULL in the columns that it lacks; return the folder."""
    there = {name for name, *_ in connection.execute("DESCRIBE made").fetchall()}
    columns = ", ".join(
        f'"{name}"' if name in there else f'NULL::{kind} AS "{name}"'
        for name, kind in {**EVENT_COLUMNS, **PLACE_COLUMNS}.items()
    )
    files: list[dict[str, object]] = []
    for day in range(days):
        begin, end = (first + timedelta(days=each) for each in (day, day + 1))
        name = f"events/day={begin.date()}/part-0.parquet"
        path = folder / name
        path.parent.mkdir(parents=True)
        connection.execute(
            f"COPY (SELECT {columns} FROM made WHERE \"timestamp\" >= '{begin}' AND \"timestamp\" < '{end}')"
            f" TO '{path}' (FORMAT parquet)"
        )
        files.append(
            {"path": name, "rows": 1, "bytes": path.stat().st_size, "first": begin.isoformat(), "last": end.isoformat()}
        )
    (folder / "manifest.json").write_text(json.dumps({"version": 1, "files": files, "positions": {}}))
    return folder
