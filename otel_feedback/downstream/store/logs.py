"""Log files as a source: followed through rotation by rename, by copy and cut, and by gzip; also what was rotated before.

    candidates ──changed since?──► which file is it? ──► lines after its place ──► rows.py ──► batch
                                                           └ torn: waits          └ neither event nor feedback: counted and said

For one thread. What is written to a log between the copy and the cut of `copytruncate` is lost before anybody can read it.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from otel_feedback.downstream.store.batch import Batch
from otel_feedback.downstream.store.folder import FEEDBACK
from otel_feedback.downstream.store.places import WAITS, FilePlace, block_after, candidates, head_of, open_log, which
from otel_feedback.downstream.store.rows import row_of_line
from otel_feedback.downstream.store.source import Say
from otel_feedback.downstream.topic.given import MARK, feedback_of_line, row_of_feedback
from otel_feedback.errors import SchemaError

__all__ = ["LogSource"]

BLOCK_BYTES = 1024 * 1024
MOST_LINE_BYTES = 16 * 1024 * 1024
MOST_PLACES = 500
"""Of one log that are remembered; those of files that are gone are forgotten first."""
HELD_S = 60.0
"""How long a file is kept open that was moved away: who wrote to it may have some lines more, and it may be deleted."""
LOOK_S = 0.2

Signature = tuple[int, int]


class _Log:
    """One log, with all its files."""

    def __init__(self, path: Path, kept: Sequence[FilePlace]) -> None:
        self.path = path
        self.source = msgspec.json.encode(str(path))
        self.places = list(kept)
        self.seen: dict[tuple[int, int], Signature] = {}  # by device and inode
        self.held: dict[tuple[int, int], tuple[BinaryIO, float]] = {}  # open, and until when it is kept so; 0: for now
        self.torn: dict[tuple[int, int], int] = {}

    def changed(self) -> Iterator[tuple[BinaryIO, tuple[int, int], Signature]]:
        """Yield the files that have changed since they were read, the oldest first, with what tells them and their state."""
        for key, (file, _) in list(self.held.items()):
            signature = _signature(os.fstat(file.fileno()))
            if self.seen.get(key) != signature:
                yield file, key, signature
        for path in candidates(self.path):
            with contextlib.suppress(OSError):  # moved meanwhile, or not there yet
                yield from self._opened(path)
        self._let_go()

    def _opened(self, path: Path) -> Iterator[tuple[BinaryIO, tuple[int, int], Signature]]:
        seen = path.stat()
        key, signature = _key(seen), _signature(seen)
        is_live = path == self.path
        if key in self.held or (self.seen.get(key) == signature and not is_live):
            return
        file = open_log(path)
        if is_live and path.suffix != ".gz":
            self.held[_key(os.fstat(file.fileno()))] = file, 0.0
        try:
            yield file, key, signature
        finally:
            if key not in self.held:
                file.close()

    def _let_go(self) -> None:
        live: tuple[int, int] | None = None
        with contextlib.suppress(OSError):
            live = _key(self.path.stat())
        now_s = time.monotonic()
        for key, (file, until_s) in list(self.held.items()):
            if key == live:
                self.held[key] = file, 0.0
            elif not until_s:
                self.held[key] = file, now_s + HELD_S
            elif now_s > until_s:
                file.close()
                del self.held[key]

    def remember(self, place: FilePlace) -> None:
        """Take note of a place, the newest last."""
        self.places = [*(other for other in self.places if other is not place), place][-MOST_PLACES:]


class LogSource:
    """Reads log files.

    Args:
        paths: Of the logs, as they are written now; each with what was rotated beside it.
        positions: Of the manifest.
        stop: Set when it is to end.
        say: Told what stands in its way, by kind.
    """

    def __init__(self, paths: Sequence[Path], positions: Mapping[str, Any], stop: threading.Event, say: Say) -> None:
        self._stop = stop
        self._say = say
        self._logs = [
            _Log(path, msgspec.convert(positions.get(f"log {path}", []), list[FilePlace]))
            for path in dict.fromkeys(path.absolute() for path in paths)
        ]
        self._lines: Iterator[tuple[_Log, FilePlace, int, bytes]] | None = None
        self.name = ", ".join(str(log.path) for log in self._logs)
        self.is_at_end = False
        self.behind: int | None = None
        self.until: datetime | None = None
        self._began = datetime.now(timezone.utc)

    @property
    def torn_bytes(self) -> int:
        """How much there is of lines that are not complete."""
        return sum(sum(log.torn.values()) for log in self._logs)

    def read(self, batch: Batch, rows: int, timeout_s: float) -> None:
        """Add the rows of the next lines."""
        wanted = len(batch.lines) + max(rows, 1)
        if self._lines is None:
            self._lines = self._all_lines()
            self._began = datetime.now(timezone.utc)
            self.is_at_end = True
        until_s = time.monotonic() + timeout_s
        for log, place, start, line in self._lines:
            self.is_at_end = False
            self._take(batch, log, start, line)
            place.advance(start + len(line), line)
            if len(batch.lines) >= wanted or time.monotonic() > until_s or self._stop.is_set():
                return
        self._lines = None
        self.until = self._began
        if self.is_at_end:
            self._stop.wait(min(LOOK_S, timeout_s))

    def _take(self, batch: Batch, log: _Log, start: int, line: bytes) -> None:
        if line.isspace():
            return
        try:
            batch.add(row_of_line(line, log.source, start))
        except SchemaError as exc:
            if self._take_feedback(batch, log, start, line):
                return
            batch.count("no_events")
            self._say(
                f"line of {log.path}", f"{log.path}: the line at byte {start:,} is no event, and is left out: {exc}"
            )

    def _take_feedback(self, batch: Batch, log: _Log, start: int, line: bytes) -> bool:
        """Add a line as feedback, and tell whether it is some."""
        if MARK not in line:
            return False
        try:
            batch.add_notice(FEEDBACK, row_of_feedback(feedback_of_line(line), str(log.path), start))
        except SchemaError as exc:
            batch.count("no_events")
            self._say(
                f"feedback of {log.path}",
                f"{log.path}: the line at byte {start:,} is no feedback, and is left out: {exc}",
            )
        return True

    def _all_lines(self) -> Iterator[tuple[_Log, FilePlace, int, bytes]]:
        for log in self._logs:
            for file, key, signature in log.changed():
                if log.seen.get(key) == signature:
                    continue
                with contextlib.suppress(OSError):  # of the disk: tried again, since it was not seen
                    yield from self._lines_of(log, file, key)
                    log.seen[key] = signature

    def _lines_of(
        self, log: _Log, file: BinaryIO, key: tuple[int, int]
    ) -> Iterator[tuple[_Log, FilePlace, int, bytes]]:
        log.torn.pop(key, None)
        head = head_of(file)
        found = None if head is None else which(file, head, reversed(log.places))
        if head is None or found == WAITS:
            return
        place = found if isinstance(found, FilePlace) else FilePlace(head)
        log.remember(place)
        size = BLOCK_BYTES
        while block := block_after(file, place, size):
            lines = _split(block)
            torn = b"" if lines[-1].endswith(b"\n") or _is_whole(lines[-1]) else lines.pop()
            if not lines and len(torn) == size:  # a long one
                if size < MOST_LINE_BYTES:
                    size *= 4
                    continue
                lines = [torn]
            for line in lines:
                yield log, place, place.end, line
            if not lines:
                log.torn[key] = len(torn)
                return
            size = BLOCK_BYTES

    def position(self) -> Mapping[str, Any]:
        """Return the place of each file of each log."""
        return {f"log {log.path}": msgspec.to_builtins(log.places) for log in self._logs}

    def committed(self, positions: Mapping[str, Any]) -> None:
        """There is nobody to tell."""

    def close(self, positions: Mapping[str, Any]) -> None:
        """Close the files."""
        self._lines = None
        for log in self._logs:
            for file, _ in log.held.values():
                file.close()


def _key(seen: os.stat_result) -> tuple[int, int]:
    return seen.st_dev, seen.st_ino


def _signature(seen: os.stat_result) -> Signature:
    return seen.st_size, seen.st_mtime_ns


def _split(block: bytes) -> list[bytes]:
    """Return the lines of a block, each with its line feed."""
    *whole, last = block.split(b"\n")
    return [*(line + b"\n" for line in whole), *([last] if last else [])]


def _is_whole(line: bytes) -> bool:
    """Tell whether a line without an end is complete all the same: an object is not before its last brace."""
    if not line.endswith(b"}"):
        return False
    try:
        msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return True
