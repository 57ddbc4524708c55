"""What it costs to ask: the windows of a store, and `stats` over a log file, against DuckDB that has less to do.

Method: a log file of a million records as they come, with revisions (8 %), repeats (4 %) and actions under way (5 %), is put into
a store by `otel-feedback store`. In turns the windows are asked for, of the store as its writer left it, and, by the same SELECT,
of a Parquet file that has the outcomes alone, which DuckDB wrote by itself; both in one process, opened anew each time. The
answers must be the same. Then in turns `otel-feedback stats` over the log file, and DuckDB that reads the same columns of it, and
counts them: each a process of its own, from its start to its end.

Fair, because the baselines have what is asked for at hand, and are spared what makes it right: which records count. DuckDB has
as many threads in both, and everything was just written, so all of it is read from the page cache.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.children import BenchmarkError, Child, environment, journal_directory
from benchmarks.progress import say
from benchmarks.report import Goal, Result, row
from benchmarks.subjects.names import DEDUPLICATED, RATED, SAME_COLUMNS, WINDOWS

__all__ = ["measure"]

QUERY = Goal("ratio", 1.5)
STATS = Goal("ratio", 3.0)
READ = """
import sys, duckdb
from otel_feedback.cli.reading.numbers import columns_for
from otel_feedback.downstream.tables.columns import struct_of
from otel_feedback.downstream.tables.tables import ALL_COLUMNS, ESSENTIAL
columns = struct_of({name: ALL_COLUMNS[name] for name in sorted((columns_for(["agent"]) & ALL_COLUMNS.keys()) | set(ESSENTIAL))})
print(duckdb.sql(f"SELECT count(COLUMNS(*)) FROM read_json('{sys.argv[1]}', format='newline_delimited', columns={columns})"))
"""


def measure(*, is_quick: bool) -> Result:
    """Write a log file and a store, and ask both."""
    turns, records = (2, 5_000) if is_quick else (7, 1_000_000)
    windows: dict[str, list[float]] = {WINDOWS: [], RATED: [], DEDUPLICATED: []}
    stats: list[float] = []
    plain: list[float] = []
    with journal_directory() as folder, Child("benchmarks.subjects.viewing", {"folder": str(folder)}) as child:
        log, store = folder / "outcomes.jsonl", folder / "store"
        say(f"views: a log file of {records:,} records, and a store of it")
        told = child.ask(do="fill", records=records)
        _run(folder, "-m", "otel_feedback", "store", "--store", str(store), "--from", str(log), "--once", "--json")
        shutil.copytree(store, folder / "rated")
        feedback = ("--from", str(folder / "feedback.jsonl"), "--once", "--json")
        _run(folder, "-m", "otel_feedback", "store", "--store", str(folder / "rated"), *feedback)
        told |= child.ask(do="deduplicate")
        for turn in range(turns):
            say(f"views: turn {turn + 1} of {turns}, the windows, {turn // 2 + 1} of {(turns + 1) // 2}, stats")
            for name, rounds in sorted(windows.items(), reverse=bool(turn % 2)):
                rounds.append(child.ask(do=name)["ms"])
            if not turn % 2:
                stats.append(_run(folder, "-m", "otel_feedback", "stats", "--json", "--from", str(log)))
                plain.append(_run(folder, "-c", READ, str(log)))
    of = f"{records:,} records"
    rows = [
        *(
            row("views", f"{name}, {of}", DEDUPLICATED, "ms", windows[name], windows[DEDUPLICATED], QUERY)
            for name in (WINDOWS, RATED)
        ),
        row("views", f"stats over a log file, {of}", SAME_COLUMNS, "ms", stats, plain, STATS),
    ]
    return Result(rows, {"records": records, "windows": windows, "stats": stats, "plain": plain, **told})


def _run(folder: Path, *arguments: str) -> float:
    """Run Python, and return for how many milliseconds it ran.

    Raises:
        BenchmarkError: It did not end well.
    """
    began_s = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments], env=environment(folder), capture_output=True, text=True, check=False
    )
    if done.returncode or done.stderr:
        raise BenchmarkError(f"{' '.join(arguments)[:80]} … ended with {done.returncode}: {done.stderr[-500:]}")
    return (time.perf_counter() - began_s) * 1e3
