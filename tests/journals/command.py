"""`otel-feedback journal` run in this process, and journals for it to look at."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from otel_feedback.cli.main import main
from otel_feedback.journal.disk import DiskJournal
from otel_feedback.journal.folder import CURSORS
from otel_feedback.journal.frames import Frame
from otel_feedback.journal.interface import Cursor
from otel_feedback.journal.limits import DiskLimits
from otel_feedback.journal.reading import scan_segment
from otel_feedback.journal.segments import list_segments
from tests.journals.disk import append_many, crash, deliver_all, folder_of, journal_in, segments, started

ROOMY = DiskLimits(min_free_bytes=0)
"""Everything in one segment."""


class Made(NamedTuple):
    """A journal that was made for a test."""

    journal: DiskJournal
    cursors: Sequence[Cursor]
    folder: Path

    @property
    def producer_id(self) -> str:
        return self.folder.name


def living(
    directory: Path,
    *destinations: tuple[str, str],
    events: int = 3,
    size: int = 0,
    open_actions: int = 0,
    addresses: Sequence[str] = (),
    limits: DiskLimits = ROOMY,
) -> Made:
    """Make a journal with so many events, all of them pending, whose owner lives: this process."""
    journal, _ = journal_in(directory, limits)
    where = [*addresses, *[""] * len(destinations)]
    cursors = [
        journal.cursor(*name, durable=True, address=there) for name, there in zip(destinations, where, strict=False)
    ]
    append_many(journal, events, size=size)
    for number in range(open_actions):
        journal.note_start(started(f"open-{number}"))
    journal.tend()
    return Made(journal, cursors, folder_of(journal))


def dead(directory: Path, *destinations: tuple[str, str], delivered: Sequence[int] = (), **given: Any) -> Made:
    """Make a journal whose owner was killed; `delivered` are the numbers of destinations that have everything."""
    made = living(directory, *destinations, **given)
    for number in delivered:
        deliver_all(made.cursors[number])
    made.journal.tend()
    crash(made.journal)
    return made


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    """Run `otel-feedback journal …`; return the exit code, what it wrote, and what it complained of."""
    code = main(["journal", *map(str, arguments)])
    said = capsys.readouterr()
    return code, said.out, said.err


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, dict[str, Any]]:
    """Run it with `--json`; return the exit code and the one object that it wrote."""
    code, out, _ = run(capsys, *arguments, "--json")
    return code, json.loads(out)


def only_journal(shown: dict[str, Any]) -> dict[str, Any]:
    """The only journal of the only service in what `inspect` or `verify` wrote."""
    (service,) = shown["services"]
    (journal,) = service["journals"]
    return journal


def verified(capsys: pytest.CaptureFixture[str], made: Made) -> tuple[int, dict[str, Any]]:
    """Verify one journal; return the exit code, which must agree, and what was found."""
    code, shown = run_json(capsys, "verify", made.folder)
    journal = only_journal(shown)
    assert shown["whole"] is journal["whole"] is (code == 0)
    return code, journal


def snapshot(directory: Path) -> dict[str, tuple[int, bytes]]:
    """Everything below a directory: what is in each file, and when it was written."""
    return {
        path.relative_to(directory).as_posix(): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in sorted(directory.rglob("*"))
    }


def to(log: Path) -> tuple[str, str]:
    """The exporter and destination of a file."""
    return "log", str(log)


def frames_of(path: Path) -> list[Frame]:
    """The whole frames of one segment."""
    (segment,) = [known for known in list_segments(path.parent) if known.path == path]
    return list(scan_segment(segment, lambda *damage: None))


def flip(path: Path, offset: int) -> None:
    """Flip the bits of one byte."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 0xFF
    path.write_bytes(data)


def only_segment(made: Made) -> Path:
    """The segment of a journal that has one."""
    (path,) = segments(made.folder)
    return path


def spoil_event(made: Made, sequence: int) -> Frame:
    """Flip bits of an event in the only segment; return the frame that was hit."""
    _state, *events = frames_of(only_segment(made))
    flip(only_segment(made), events[sequence].offset + 30)
    return events[sequence]


def lose_state(made: Made) -> None:
    """Remove the cursors file, and the first frame of the only segment, which has the same."""
    (made.folder / CURSORS).unlink()
    path = only_segment(made)
    path.write_bytes(path.read_bytes()[frames_of(path)[0].end :])
