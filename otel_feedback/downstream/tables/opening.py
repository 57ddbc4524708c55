"""From where events are to where they can be asked for: log files, a store's folder, a topic; each gives `Tables`.

What is no event never fails a read nor takes its neighbours with it: it is counted, as `unread`. A value that does not fit
its column is NULL, and counted, as `unfit`. Files of a store are in `stored.py`.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import duckdb

from otel_feedback.downstream.tables.tables import WINDOW_S, SourceError, Tables, first_line

__all__ = ["SourceError", "add_log", "open_log"]


def open_log(paths: Sequence[Path], columns: Iterable[str] | None = None, window_s: int = WINDOW_S) -> Tables:
    """Read log files, plain or as `.gz`, and return the events in them.

    Args:
        paths: The files.
        columns: Those that will be asked for; None: all.
        window_s: How long a window is, in seconds.

    Raises:
        SourceError: A file is not there, or may not be read.
    """
    tables = Tables(columns, window_s)
    try:
        tables.make_table()
        add_log(tables, paths)
    except BaseException:
        tables.close()
        raise
    return tables


def add_log(tables: Tables, paths: Sequence[Path]) -> None:
    """Add the events of log files; of a compressed one that ends early what there is.

    Raises:
        SourceError: A file is not there, or may not be read.
    """
    try:
        tables.add_lines(paths)
    except duckdb.IOException as exc:
        damaged = [path for path in paths if path.suffix == ".gz" and not _is_whole(path)]
        if not damaged:
            raise SourceError(f"cannot read {_said(paths)}: {first_line(exc)}") from exc
        whole = [path for path in paths if path not in damaged]
        if whole:
            tables.add_lines(whole)
        for path in damaged:
            salvaged = tables.folder / f"salvaged-{len(tables.damaged)}"
            with salvaged.open("wb") as file:
                file.writelines(data for data, _ in _unpacked(path))
            tables.add_lines([salvaged], source=path)
            tables.damaged.append(path)
    tables.count_unread()
    tables.join_feedback()


def _is_whole(path: Path) -> bool:
    return not any(is_damaged for _, is_damaged in _unpacked(path))


def _unpacked(path: Path) -> Iterator[tuple[bytes, bool]]:
    """Yield what a compressed file holds, and whether it ends there though it should not."""
    try:
        with gzip.open(path) as file:
            while data := file.read1(2**20):
                yield data, False
    except (EOFError, OSError, zlib.error) as exc:
        if isinstance(exc, OSError) and exc.errno is not None:
            raise SourceError(f"cannot read {path}: {exc.strerror}") from exc
        yield b"", True


def _said(paths: Sequence[Path]) -> str:
    return str(paths[0]) if len(paths) == 1 else f"{len(paths)} files"
