"""What there is of days that are not in memory: their sums by the day, which are, and files of their sums by the hour.

    day=…/NAME.rollup, or a file of ours where the store has none ──┬──► kept.days, one of two dozen
                                                                    └──► hours: read for the days of which they are asked for

For the mirror's thread; `hours` may be read on any.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb

from otel_feedback.downstream.store.folder import StoreFolder
from otel_feedback.downstream.store.manifest import Manifest, Rollup
from otel_feedback.downstream.store.rollups import DAY_MS, current, day_after, day_sums, joined_sums, rows_by_day
from otel_feedback.downstream.tables.stored import rows_of
from otel_feedback.downstream.tables.tables import quoted
from otel_feedback.logger import number_of

__all__ = ["Days"]

AGAIN_S = 60.0
"""A day of which rows come late, one by one, is not added up anew each time."""
PACKED = "COMPRESSION zstd, ROW_GROUP_SIZE 8192"


class Days:
    """Keeps `kept.days` of a connection, with a row for each day and KEYS.

    Args:
        folder: The store.
        connection: Where the table is.
        aside: Where our own files go.
    """

    def __init__(self, folder: StoreFolder, connection: duckdb.DuckDBPyConnection, aside: Path) -> None:
        self.hours: Mapping[str, Path] = {}
        """By day: the file of its sums by the hour. Replaced as a whole."""
        self._folder = folder
        self._connection = connection
        self._aside = aside
        self._summed: dict[str, int] = {}  # by day: of how many rows
        self._late: dict[str, float] = {}  # by day: when it may be added up again

    def clear(self) -> None:
        """Forget all days, the table aside."""
        self._summed = {}
        self._forget(list(self.hours))

    def take(self, manifest: Manifest, last: str) -> str | None:
        """Take in one of the days before `last`, if there is one left; say so while more are.

        Raises:
            OSError, duckdb.Error: It cannot be read; the next call tries again.
        """
        rows = {day: number for day, number in rows_by_day(manifest).items() if day < last}
        left = [day for day in sorted(rows, reverse=True) if self._summed.get(day) != rows[day]]
        gone = self._summed.keys() - rows.keys()
        made = {rollup.day: rollup for rollup in current(manifest)}
        for day in [*gone, *left[:1]]:
            # the store's own cost nothing, and the file of those that they replace is soon gone
            if day not in made and time.monotonic() < self._late.get(day, 0.0):
                continue
            self._put(day, None if day in gone else self._hours_of(day, manifest, made.get(day)))
            self._late[day] = time.monotonic() + AGAIN_S
            self._summed.pop(day, None)
            if day not in gone:
                self._summed[day] = rows[day]
        count = sum(self._summed.get(day) is None for day in rows)
        return f"{number_of(count, 'day')} of long ago are still to be added up" if count else None

    def _put(self, day: str, place: Path | None) -> None:
        """Have the sums of a file, or none, in the place of what there is of a day."""
        self._run("BEGIN")
        try:
            self._run(f"DELETE FROM kept.days WHERE day = '{day}'")
            if place is not None:
                hours = f"read_parquet({quoted(str(place))}, hive_partitioning = false)"
                sums = joined_sums(hours, step=DAY_MS)
                self._run(f"INSERT INTO kept.days BY NAME SELECT '{day}' AS day, * FROM ({sums})")
            self._run("COMMIT")
        except BaseException:
            self._run("ROLLBACK")
            raise
        self._forget([day])
        if place is not None:
            self.hours = {**self.hours, day: place}

    def _hours_of(self, day: str, manifest: Manifest, made: Rollup | None) -> Path:
        if made is not None:
            return self._folder.path / made.path
        days = (day, day_after(day))
        paths = [self._folder.path / file.path for file in manifest.files if file.day in days]
        sums = day_sums(f"({rows_of(self._connection, paths)})", day)
        place = self._aside / f"{day}-{secrets.token_hex(4)}.parquet"
        self._run(f"COPY ({sums}) TO {quoted(str(place))} (FORMAT parquet, {PACKED})")
        return place

    def _forget(self, days: Sequence[str]) -> None:
        gone = [self.hours[day] for day in days if day in self.hours]
        self.hours = {day: place for day, place in self.hours.items() if day not in days}
        for place in gone:
            if place.parent == self._aside:
                place.unlink()

    def _run(self, text: str) -> None:
        self._connection.execute(text)
