"""The manifest: which files the store has, and how far its sources were read. Replacing it is the commit.

What is in a file that it names, and the position after it, become true at the same moment; so whatever a writer was at
when it was killed, no row is lost and none is there twice.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from otel_feedback.downstream.store.folder import StoreError, StoreFolder, replace_file

__all__ = ["NEWEST", "OUTDATED", "RECORDS", "DataFile", "Manifest", "Reading", "Rollup", "load", "save"]

VERSION = 1
RECORDS, NEWEST, OUTDATED = "records", "newest", "outdated"
"""What a file holds: records as they came; of each event one row, and none of an event of another such file; rows of which
another file has the same again, or a higher revision. So outcomes are the newest, but where there are records of their events."""


class DataFile(msgspec.Struct, frozen=True):
    """One Parquet file: its path below the store, rows, size, the first and last time of its events, what it holds, and
    whether each of its rows has KEY_COLUMNS: what was sorted out and is not outdated, but by older versions."""

    path: str
    rows: int
    bytes: int
    first: datetime
    last: datetime
    holds: Literal["records", "newest", "outdated"] = RECORDS
    has_keys: bool = False

    @property
    def day(self) -> str:
        """The day of its events, such as `2026-03-02`."""
        return self.path.split("/")[1].removeprefix("day=")

    @property
    def table(self) -> str:
        """What its rows are: `events`, `feedback`, `accounts` …: one of TABLES."""
        return self.path.split("/")[0]


class Reading(msgspec.Struct, frozen=True):
    """How far a source is read, as of a moment: all that was there at `until` is in the store, `behind` records are not.

    None: nobody knows.
    """

    source: str
    at: datetime
    until: datetime | None
    behind: int | None


class Rollup(msgspec.Struct, frozen=True):
    """The sums of a day: their file below the store, and how many rows the day had of which they were made."""

    day: str
    path: str
    rows: int


class Manifest(msgspec.Struct, kw_only=True):
    """What the store is at a moment. A value: who changes it makes another by `msgspec.structs.replace`.

    `files`: of events; `notices`: of feedback, of what is erased, and of what is told of the pipeline. `positions`: by source, how far it was read, in that
    source's own form. `counts`: what became of the records so far that are no rows. `erasures`: ids of the rules that
    every file obeys. `reading`: how far the writer was when it looked last, also where there was nothing to write.
    `rollups`: sums of days, see `rollups.py`.
    """

    version: int = VERSION
    files: list[DataFile] = msgspec.field(default_factory=list[DataFile])
    positions: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    counts: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    erasures: list[str] = msgspec.field(default_factory=list[str])
    notices: list[DataFile] = msgspec.field(default_factory=list[DataFile])
    reading: Reading | None = None
    rollups: list[Rollup] = msgspec.field(default_factory=list[Rollup])

    @property
    def named(self) -> set[str]:
        """The paths of all files, below the store."""
        return {file.path for file in (*self.files, *self.notices, *self.rollups)}

    @property
    def rows(self) -> int:
        """How many rows of events there are."""
        return sum(file.rows for file in self.files)

    @property
    def bytes(self) -> int:
        """How much the files take."""
        return sum(file.bytes for file in (*self.files, *self.notices))


_decode = msgspec.json.Decoder(Manifest).decode
_encode = msgspec.json.Encoder().encode


def load(folder: StoreFolder) -> Manifest:
    """Return the manifest; an empty one where there is none yet.

    Raises:
        StoreError: It cannot be read, or is of a newer version.
        OSError: The disk does not give it.
    """
    try:
        manifest = _decode(folder.manifest.read_bytes())
    except FileNotFoundError:
        return Manifest()
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise StoreError(f"{folder.manifest} is no manifest: {exc}") from exc
    if manifest.version > VERSION:
        raise StoreError(f"{folder.manifest} has version {manifest.version}; a newer otel-feedback reads it")
    return manifest


def save(folder: StoreFolder, manifest: Manifest) -> None:
    """Commit.

    Raises:
        OSError: It cannot be written; the old one stands.
    """
    replace_file(folder.manifest, _encode(manifest))
