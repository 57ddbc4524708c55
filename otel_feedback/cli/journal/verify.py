"""`otel-feedback journal verify`: is every byte of the journals still what was written?

Read-only, and safe beside living processes. Exit code 0 when all is whole, 1 when something is damaged, 2 where there
is nothing to look at.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from otel_feedback.cli.console import count, failed, number_of, open_console, progress_console, size, write
from otel_feedback.cli.journal.check import CheckedJournal, CheckedSegment, check_journal
from otel_feedback.cli.journal.inspect import heading
from otel_feedback.cli.journal.place import Place, PlaceError, find_places, others_beside
from otel_feedback.journal.segments import list_segments
from otel_feedback.version import VERSION

__all__ = ["run"]

MOST_ROWS = 20
"""Segments of a journal that a table has one by one; of more than that, only those that are damaged."""
SHOWN_RUNS = 3
"""Damaged runs of a segment that a table names."""


def run(*, path: str | None, as_json: bool) -> int:
    """Read everything and return the exit code: 0, 1 when something is damaged, 2 when PATH cannot be used.

    Args:
        path: Where to look; default: where the settings have the journals.
        as_json: Write one JSON object and nothing else.
    """
    try:
        places = find_places(path)
    except PlaceError as exc:
        failed(exc.found, exc.todo)
        return 2
    checked = _check(places)
    is_whole = all(journal.is_whole for _, journals in checked for journal in journals)
    if as_json:
        services = [
            {"directory": str(place.directory), "journals": [_as_data(journal) for journal in journals]}
            for place, journals in checked
        ]
        print(json.dumps({"version": VERSION, "whole": is_whole, "services": services}, indent=2))
    else:
        console = open_console()
        for place, journals in checked:
            _write(console, place, journals)
        write(console, _verdict([journal for _, journals in checked for journal in journals]))
        for place, journals in checked:
            if not journals and (beside := others_beside(place.directory)) is not None:
                write(console, Text(beside, "yellow"))
    return 0 if is_whole else 1


def _check(places: Sequence[Place]) -> list[tuple[Place, list[CheckedJournal]]]:
    shown_on = progress_console()
    bars = TextColumn("reading journals"), BarColumn(), DownloadColumn(binary_units=True)
    with Progress(*bars, console=shown_on, transient=True, disable=shown_on is None) as progress:
        task = progress.add_task("", total=sum(_size(place) for place in places))

        def read(more: int) -> None:
            progress.advance(task, more)

        return [
            (place, [seen for folder in place.folders() if (seen := check_journal(folder, read)) is not None])
            for place in places
        ]


def _size(place: Place) -> int:
    total = 0
    for folder in place.folders():
        try:
            total += sum(segment.size for segment in list_segments(folder))
        except OSError:  # gone, or not to be read, which the check says
            continue
    return total


def _as_data(journal: CheckedJournal) -> dict[str, Any]:
    return {
        "producer_id": journal.path.name,
        "path": str(journal.path),
        "service_name": journal.service_name,
        "owner": journal.owner.value,
        "whole": journal.is_whole,
        "cursors_file": journal.cursors_file._asdict(),
        "segments": [
            {
                **segment._asdict(),
                "whole": segment.is_whole,
                "damaged": [{"offset": offset, "bytes": length} for offset, length in segment.damaged],
            }
            for segment in journal.segments
        ],
        "missing": [gap._asdict() for gap in journal.missing],
        "problem": journal.problem,
    }


def _write(console: Console, place: Place, journals: Sequence[CheckedJournal]) -> None:
    write(console, Text("Journals in ", "bold").append(str(place.directory)), "")
    for journal in journals:
        write(console, *(Padding(part, (0, 0, 0, 2)) for part in _parts(journal)), "")


def _parts(journal: CheckedJournal) -> Iterator[RenderableType]:
    yield heading(journal.path.name, journal.owner, journal.service_name)
    if journal.problem is not None:
        yield Text(journal.problem, "bold red")
    state, version = journal.cursors_file
    told = "missing, so the newest segment tells the state" if state == "missing" else state
    of_version = "" if version is None else f", version {version}"
    yield Text(f"cursors file: {told}{of_version}", "" if journal.cursors_file.is_whole else "bold red")
    if journal.segments:
        yield _segments(journal.segments)
    for gap in journal.missing:
        which = f"{gap.first:,}" if gap.first == gap.last else f"{gap.first:,} to {gap.last:,}"
        waited = f"{gap.pending:,} undelivered" if gap.pending else "delivered, or counted as lost"
        yield Text(f"missing sequences: {which} ({waited})", "bold red" if gap.pending else "dim")


def _segments(segments: Sequence[CheckedSegment]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("segment", no_wrap=True)
    for title in ("size", "events", "starts", "forgets"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("damaged")
    whole = [segment for segment in segments if segment.is_whole] if len(segments) > MOST_ROWS else []
    for segment in segments:
        if not (whole and segment.is_whole):
            table.add_row(segment.name, *_sums([segment]), _wrong_with(segment))
    if whole:
        table.add_row(f"{len(whole):,} others", *_sums(whole), Text("-", "dim"))
    return table


def _sums(segments: Sequence[CheckedSegment]) -> tuple[str, ...]:
    frames = [count(sum(segment.frames[kind] for segment in segments)) for kind in ("event", "start", "forget")]
    return size(sum(segment.bytes for segment in segments)), *frames


def _wrong_with(segment: CheckedSegment) -> Text:
    if segment.is_whole:
        unfinished = segment.unfinished_bytes
        return Text(f"- ({size(unfinished)} being written)" if unfinished else "-", "dim")
    told: list[str] = []
    if segment.damaged:
        runs = [f"{length:,} at {offset:,}" for offset, length in segment.damaged[:SHOWN_RUNS]]
        more = ", …" if len(segment.damaged) > SHOWN_RUNS else ""
        told.append(f"{segment.damaged_bytes:,} bytes: {', '.join(runs)}{more}")
    if segment.problem is not None:
        told.append(segment.problem)
    elif segment.version is None:
        told.append("its first frame is missing")
    elif not segment.is_version_known:
        told.append(f"its version, {segment.version}, is unknown")
    return Text("; ".join(told), "bold red")


def _verdict(journals: Sequence[CheckedJournal]) -> Text:
    segments = sum(len(journal.segments) for journal in journals)
    all_of_it = f"{number_of(len(journals), 'journal')}, {number_of(segments, 'segment')}"
    damaged = sum(not journal.is_whole for journal in journals)
    if not damaged:
        return Text(f"{all_of_it}: whole", "green")
    return Text(f"{all_of_it}: {number_of(damaged, 'journal')} damaged", "bold red")
