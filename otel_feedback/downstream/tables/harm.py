"""Whether a Parquet file can be read: a file that is gone, torn or overwritten takes every query on its neighbours with it."""

from __future__ import annotations

from pathlib import Path

import duckdb

__all__ = ["harm_of", "may_be_harm"]


def may_be_harm(exc: duckdb.Error) -> bool:
    """Tell whether a query may have failed because of what it reads; what is wrong with itself is of another class."""
    return type(exc) in (duckdb.Error, duckdb.InvalidInputException, duckdb.IOException)


def harm_of(connection: duckdb.DuckDBPyConnection, path: Path) -> str | None:
    """Return what is wrong with a file that cannot be read, in one line; None where it can be, or where that may pass.

    Reads all of it.
    """
    if not path.exists():
        return "it is gone"
    try:
        connection.execute(
            "SELECT bit_xor(hash(rows)) FROM read_parquet(?, hive_partitioning=false) AS rows", [str(path)]
        )
        connection.fetchall()
    except duckdb.IOException:  # the disk does not give it, which may pass
        return None
    except duckdb.Error as exc:
        return str(exc).partition("\n")[0].removeprefix("Invalid Input Error: ").replace(f" '{path}'", "").strip()
    return None
