"""Which files of a store go, and which are joined. Pure functions of the manifest's list.

Files are joined by size: eight of a day that are about as large become one, of the next size. So a row is written again
once for each size, four times at most, and of what files hold a day has some thirty at most, however often the writer flushes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from otel_feedback.downstream.store.manifest import RECORDS, DataFile

__all__ = ["JOINED", "Limits", "doomed", "to_join", "unsorted"]

JOINED = 8
"""So many files of one size are joined."""
SMALL_BYTES = 256 * 1024
"""All that are smaller are of the first size; each further one is `JOINED` times as large."""
SORTED_ROWS = 100_000
"""Of what is still to be sorted out so many rows are enough: sorting takes memory for each of them."""
LEAST_ROWS = 1_000
"""Fewer of a day are not sorted out before there are enough to be joined."""
LARGE_BYTES = 128 * 1024 * 1024
"""As large as this they stay as they are."""


class Limits(NamedTuple):
    """What a store keeps; None: all."""

    retention_days: float | None = None
    max_bytes: int | None = None


def doomed(files: Sequence[DataFile], limits: Limits, now: datetime | None = None) -> list[DataFile]:
    """Return the files that go: those whose whole day is too old, and then the oldest while they are too much."""
    gone: list[DataFile] = []
    kept = sorted(files, key=lambda file: (file.day, file.last))
    if limits.retention_days is not None:
        oldest = (now or datetime.now(timezone.utc)) - timedelta(days=limits.retention_days)
        day = oldest.strftime("%Y-%m-%d")
        gone = [file for file in kept if file.day < day]
        kept = kept[len(gone) :]
    if limits.max_bytes is not None:
        size = sum(file.bytes for file in kept)
        for file in kept:
            if size <= limits.max_bytes:
                break
            gone.append(file)
            size -= file.bytes
    return gone


def to_join(files: Sequence[DataFile]) -> list[DataFile]:
    """Return files of one table, day and size, which hold the same, to be joined now; none where there are too few."""
    groups: dict[tuple[str, str, int], list[DataFile]] = {}
    for file in files:
        if file.bytes < LARGE_BYTES:
            group = groups.setdefault((file.path.rpartition("/")[0], file.holds, _size_of(file.bytes)), [])
            group.append(file)
            if len(group) == JOINED or (file.holds == RECORDS and _is_enough(group)):
                return group
    return []


def unsorted(files: Sequence[DataFile]) -> list[DataFile]:
    """Return files of one day that hold records, to be sorted out now, of whatever size; none where that is not worth it."""
    days: dict[str, list[DataFile]] = {}
    for file in files:
        if file.holds == RECORDS and file.bytes < LARGE_BYTES:
            group = days.setdefault(file.day, [])
            if not _is_enough(group):
                group.append(file)
    # one alone may be what was left when it was sorted out
    worth = (group for group in days.values() if len(group) > 1 and sum(file.rows for file in group) >= LEAST_ROWS)
    return next(worth, [])


def _is_enough(group: Sequence[DataFile]) -> bool:
    return len(group) > 1 and sum(file.rows for file in group) >= SORTED_ROWS


def _size_of(size_bytes: int) -> int:
    return 0 if size_bytes < SMALL_BYTES else 1 + int(math.log(size_bytes / SMALL_BYTES, JOINED))
