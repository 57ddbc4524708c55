"""Refused records out of a quarantine, back into journals: what was refused may be taken now.

    quarantine/<name>.jsonl ──► quarantine/again/<name>.jsonl ──► quarantine/again/<producer id>/  a journal as of a dead
              ▲                                                                │               process, to be adopted
              └──── what is not delivered, and what is none of our business ◄──┘

Guarantee: a line is removed when its record was delivered; an interruption at any moment costs repeats. Records keep
their producer's id and sequence. One process at a time, by a lock; others may add to the quarantine meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from otel_feedback.events.record import Origin
from otel_feedback.journal.cursor import CursorState
from otel_feedback.journal.files import append, make_private, open_private, read_private
from otel_feedback.journal.folder import LOCK, QUARANTINE, Folder, folders, is_producer, lock_file
from otel_feedback.journal.frames import FEEDBACK, SAMPLED, Frame, Kind, event_body, frame
from otel_feedback.journal.reading import record_of
from otel_feedback.journal.segments import SegmentWriter
from otel_feedback.journal.sequences import SequenceSet
from otel_feedback.journal.state import VERSION, JournalState, encode_state, load_state, save_state

__all__ = ["Requeued", "requeue"]

AGAIN = "again"
_NOBODY = Origin("", "")


class _Line(msgspec.Struct):
    """A line of a quarantine, as far as it matters here."""

    kind: str
    producer_id: str = ""
    service_name: str = ""
    exporter: str = ""
    sequence: int = -1
    key: str = ""
    sampled: bool = False
    record: str = "event"
    event: msgspec.Raw = msgspec.Raw(b"")


_line = msgspec.json.Decoder(_Line)


class _Refused(NamedTuple):
    """A refused record: its line as it stands, what it says, and the file that it is from."""

    raw: bytes
    said: _Line
    name: str


class Requeued:
    """Refused records that are in journals again; made by `requeue`. `finish()` puts back what is left."""

    def __init__(self, quarantine: Path, lock: int, exporters: Mapping[str, tuple[str, str]]) -> None:
        self.root = quarantine / AGAIN
        """The directory of the journals."""
        self.not_ours: dict[str, int] = {}
        """Records that exporters refused which are not ours, by exporter."""
        self._quarantine = quarantine
        self._lock = lock
        self._exporters = exporters
        self._refused: dict[tuple[str, str, int], _Refused] = {}
        self._kept: list[tuple[str, bytes]] = []  # lines that stay, and the file that each is from

    def take(self, only: str | None) -> None:
        """Take the files out of the quarantine, and make journals of what is in them."""
        for path in folders(self.root):  # an interruption's: all that is in it is in the files, too
            shutil.rmtree(path)
        shutil.rmtree(self.root / QUARANTINE, ignore_errors=True)
        for path in sorted(self._quarantine.glob(f"{only or '*'}.jsonl")):
            path.rename(self.root / f"{path.stem}.{secrets.token_hex(4)}.jsonl")
        for path in self._files():
            for raw in read_private(path).splitlines():
                self._sort(raw, f"{path.name.partition('.')[0]}.jsonl")
        for producer_id in {said.producer_id for _, said, _ in self._refused.values()}:
            self._write([refused.said for refused in self._refused.values() if refused.said.producer_id == producer_id])

    def _files(self) -> list[Path]:
        return sorted(self.root.glob("*.jsonl"))

    def _sort(self, raw: bytes, name: str) -> None:
        said = _said(raw)
        if not _is_record(said) or said.exporter not in self._exporters:
            if said.kind == "refused":
                self.not_ours[said.exporter] = self.not_ours.get(said.exporter, 0) + 1
            self._kept.append((name, raw))
            return
        self._refused[said.producer_id, said.exporter, said.sequence] = _Refused(raw, said, name)

    def _write(self, lines: Collection[_Line]) -> None:
        """Make the journal of one producer, in which nothing is pending but these."""
        by_sequence = {said.sequence: said for said in sorted(lines, key=lambda said: said.sequence)}
        first, end = min(by_sequence), max(by_sequence) + 1
        cursors: list[CursorState] = []
        for exporter in {said.exporter for said in lines}:
            pending = sorted(said.sequence for said in lines if said.exporter == exporter)
            others = SequenceSet()
            for before, after in zip([first - 1, *pending], [*pending, end], strict=True):
                others.add(before + 1, after)
            low, settled = others.pop_from(first), end - first - len(pending)
            cursors.append(
                CursorState(exporter, self._exporters[exporter][0], first, low, others.runs, settled, {},
                            self._exporters[exporter][1])
            )  # fmt: skip
        producer_id, service_name = next((said.producer_id, said.service_name) for said in lines)
        state = JournalState(VERSION, producer_id, service_name or "unknown_service", end, 1, cursors)
        folder = Folder.create(self.root, producer_id)
        try:
            writer = SegmentWriter.create(folder.path, first, frame(Kind.HEAD, first, encode_state(state)))
            try:
                for sequence, said in by_sequence.items():
                    writer.append(_frame(sequence, said))
            finally:
                os.close(writer.file)
            save_state(folder.path, state)
        finally:
            folder.release()

    def finish(self) -> int:
        """Put back what was not delivered, and let go of the quarantine; return how many were refused again.

        Raises:
            OSError: It cannot be written; everything is still there, and the next one finds it.
        """
        try:
            left = [(refused.name, refused.raw) for key, refused in self._refused.items() if self._is_left(*key)]
            again = [
                (f"{_said(raw).producer_id or path.stem}.jsonl", raw)
                for path in (self.root / QUARANTINE).glob("*.jsonl")
                for raw in read_private(path).splitlines()
            ]
            by_name: dict[str, list[bytes]] = {}
            for name, raw in [*self._kept, *left, *again]:
                by_name.setdefault(name, []).append(raw)
            for name, lines in by_name.items():
                _append_lines(self._quarantine / name, lines)
            shutil.rmtree(self.root)
            return sum(_said(raw).kind == "refused" for _, raw in again)
        finally:
            os.close(self._lock)

    def _is_left(self, producer_id: str, exporter: str, sequence: int) -> bool:
        path = self.root / producer_id
        if not path.is_dir():
            return False
        state = load_state(path)
        for cursor in () if state is None else state.cursors:
            if cursor.exporter == exporter:
                return sequence >= cursor.low and sequence not in SequenceSet(cursor.ahead)
        return True


def requeue(root: Path, exporters: Mapping[str, tuple[str, str]], only: str | None = None) -> Requeued | None:
    """Take what was refused out of a directory's quarantine into journals.

    Args:
        root: The directory of a service's journals.
        exporters: The destination and the address of each exporter whose refused records are to be sent once more.
        only: The one producer whose file is meant.

    Returns:
        None where there is no quarantine.

    Raises:
        BlockingIOError: Another process is at it.
        OSError: It cannot be read or written; nothing is lost.
    """
    quarantine = root / QUARANTINE
    if not quarantine.is_dir():
        return None
    make_private(quarantine / AGAIN)
    lock = open_private(quarantine / AGAIN / LOCK, os.O_RDWR | os.O_CREAT)
    try:
        lock_file(lock)
        requeued = Requeued(quarantine, lock, exporters)
        requeued.take(only)
    except BaseException:
        os.close(lock)
        raise
    return requeued


def _said(raw: bytes) -> _Line:
    try:
        return _line.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Line("unknown")


def _is_record(said: _Line) -> bool:
    is_named = said.kind == "refused" and is_producer(said.producer_id) and said.sequence >= 0
    frame_of = Frame(0, Kind.EVENT, _flags(said), said.sequence, _body(said))
    return is_named and record_of(frame_of, _NOBODY) is not None


def _flags(said: _Line) -> int:
    return (SAMPLED if said.sampled else 0) | (FEEDBACK if said.record == "feedback" else 0)


def _frame(sequence: int, said: _Line) -> bytes:
    return frame(Kind.EVENT, sequence, _body(said), _flags(said))


def _body(said: _Line) -> bytes:
    return event_body(said.key, bytes(said.event))


def _append_lines(path: Path, lines: Iterable[bytes]) -> None:
    file = open_private(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    try:
        size = os.fstat(file).st_size
        try:
            append(file, b"".join(line + b"\n" for line in lines))
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(file, size)  # half a line would spoil the next one
            raise
    finally:
        os.close(file)
