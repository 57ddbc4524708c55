"""`otel-feedback journal inspect`: what is in the journals, whose they are, and how far each destination is.

Read-only, and safe beside living processes. Exit code 0; 2 where there is nothing to look at.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from otel_feedback.cli.console import count, failed, moment, number_of, open_console, size, write
from otel_feedback.cli.journal.place import Place, PlaceError, find_places, others_beside
from otel_feedback.cli.journal.survey import Kept, Owner, Survey, kept_in, survey
from otel_feedback.pipeline.destinations import shown
from otel_feedback.version import VERSION

__all__ = ["OWNER_STYLES", "heading", "lost_text", "run"]

OWNER_STYLES = {Owner.ALIVE: "green", Owner.DEAD: "yellow", Owner.UNKNOWN: "bold red"}


class _Service(NamedTuple):
    """What one directory holds."""

    place: Place
    journals: Sequence[Survey]
    kept: Kept


def run(*, path: str | None, as_json: bool) -> int:
    """Show what is there and return the exit code: 0, or 2 when PATH cannot be used.

    Args:
        path: Where to look; default: where the settings have the journals.
        as_json: Write one JSON object and nothing else.
    """
    try:
        services = [_read(place) for place in find_places(path)]
    except PlaceError as exc:
        failed(exc.found, exc.todo)
        return 2
    if as_json:
        document = {"version": VERSION, "services": [_as_data(service) for service in services]}
        print(json.dumps(document, indent=2))
        return 0
    console = open_console()
    for service in services:
        _write(console, service)
    return 0


def _read(place: Place) -> _Service:
    journals = [seen for folder in place.folders() if (seen := survey(folder)) is not None]
    return _Service(place, journals, kept_in(place.directory, place.only))


def _as_data(service: _Service) -> dict[str, Any]:
    return {
        "directory": str(service.place.directory),
        "journals": [_journal_as_data(journal) for journal in service.journals],
        "quarantine": service.kept._asdict(),
    }


def _journal_as_data(journal: Survey) -> dict[str, Any]:
    cursors = journal.cursors
    return {
        "producer_id": journal.producer_id,
        "path": str(journal.path),
        "service_name": journal.service_name,
        "owner": journal.owner.value,
        "segments": journal.segments,
        "bytes": journal.bytes,
        "first_sequence": journal.first,
        "last_sequence": journal.last,
        "oldest_undelivered": None if journal.oldest is None else journal.oldest.isoformat(),
        "open_actions": journal.open_actions,
        "cursors": None
        if cursors is None
        else [
            {"exporter": cursor.exporter, "destination": cursor.destination, **cursor.account._asdict()}
            for cursor in cursors
        ],
        "problem": journal.problem,
    }


def _write(console: Console, service: _Service) -> None:
    write(console, Text("Journals in ", "bold").append(str(service.place.directory)))
    for journal in service.journals:
        write(console, "", *(Padding(part, (0, 0, 0, 2)) for part in _parts(journal)))
    write(console, "", *(Padding(part, (0, 0, 0, 2)) for part in _summary(service)), "")


def heading(producer_id: str, owner: Owner, service_name: str | None) -> Text:
    """Return the line that a journal begins with."""
    line = Text(producer_id, "bold").append("  ").append(owner.value, OWNER_STYLES[owner])
    return line.append(f"  {service_name}" if service_name else "", "not bold dim")


def _parts(journal: Survey) -> Iterator[RenderableType]:
    yield heading(journal.producer_id, journal.owner, journal.service_name)
    if journal.problem is not None:
        yield Text(journal.problem, "bold red")
    held = f"{number_of(journal.segments, 'segment')}, {size(journal.bytes)}"
    if journal.first is not None:
        held += f", sequences {journal.first:,} to {journal.last:,}"
    yield Text(held)
    if journal.oldest is not None:
        yield Text(f"the oldest undelivered event is of {moment(journal.oldest)}")
    if journal.ended_spans:
        yield Text(f"{number_of(journal.ended_spans, 'span')} of others ended, and will become outcomes")
    if open_actions := journal.open_actions - journal.ended_spans:
        actions = number_of(open_actions, "action")
        ends = "under way" if journal.owner is Owner.ALIVE else "never ended; at delivery an outcome says so"
        yield Text(f"{actions} {ends}")
    if journal.cursors:
        yield _cursors(journal)
    elif journal.cursors is None and journal.segments:
        yield Text("its account is lost: who delivers begins at the first event", "yellow")


def _cursors(journal: Survey) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("exporter", no_wrap=True)
    table.add_column("destination", overflow="fold")
    for title in ("appended", "delivered", "pending"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("lost")
    for cursor in journal.cursors or ():
        account = cursor.account
        table.add_row(
            cursor.exporter, shown(cursor.destination, cursor.address), count(account.appended), count(account.delivered),
            Text(count(account.pending), "yellow" if account.pending else ""), lost_text(account.lost),
        )  # fmt: skip
    return table


def lost_text(lost: Mapping[str, int]) -> Text:
    """Return losses by reason."""
    told = ", ".join(f"{number:,} {reason}" for reason, number in lost.items() if number)
    return Text(told or "-", "bold red" if told else "")


def _summary(service: _Service) -> Iterator[Text]:
    journals = service.journals
    dead = sum(journal.owner is Owner.DEAD for journal in journals)
    if journals:
        total = size(sum(journal.bytes for journal in journals))
        yield Text(f"{number_of(len(journals), 'journal')}, {dead} of dead processes; {total}")
    else:
        yield Text("no journal: nothing is waiting")
        if (beside := others_beside(service.place.directory)) is not None:
            yield Text(beside, "yellow")
    if dead:
        yield Text("a new process of the service delivers them, or: otel-feedback journal replay")
    kept = service.kept
    if kept.files:
        held = f"{number_of(kept.files, 'file')}, {number_of(kept.lines, 'line')}, {size(kept.bytes)}"
        yield Text(f"quarantine: {held}", "yellow")
        yield Text("to send what was refused once more: otel-feedback journal replay --quarantine")
