"""What a replay came to: for each producer what was delivered, lost, and is left; and what was not touched."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from otel_feedback.cli.console import count, number_of, open_console, write
from otel_feedback.cli.journal.delivery import Foreign, Outcome, Plan
from otel_feedback.cli.journal.inspect import lost_text
from otel_feedback.cli.journal.ours import Ours
from otel_feedback.cli.journal.place import Place, others_beside
from otel_feedback.pipeline.destinations import shown
from otel_feedback.version import VERSION

__all__ = ["Report", "write_json", "write_reports"]


class Report:
    """The end of a replay, for people and as data.

    Args:
        ours: The destinations of the settings.
        taken: Journals whose cursors were redirected from the destination `take`.
        notes: What the journal itself had to say.
    """

    def __init__(
        self,
        place: Place,
        ours: Ours,
        plan: Plan,
        outcome: Outcome,
        taken: int,
        take: str | None,
        notes: Sequence[str] = (),
    ) -> None:
        self._place = place
        self._ours = ours
        self._plan = plan
        self._outcome = outcome
        self._taken = taken
        self._take = take
        self.notes = list(notes)
        self.refused_again = 0
        self.is_interrupted = outcome.is_interrupted
        self.left = sum(row.left for row in outcome.rows)
        self._delivered = sum(row.delivered for row in outcome.rows)

    @property
    def is_done(self) -> bool:
        """Whether nothing is left that was to be sent."""
        return not (self.left or self.refused_again or self._plan.unknown)

    def as_data(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "directory": str(self._place.directory),
            "interrupted": self._outcome.is_interrupted,
            "delivered": self._delivered,
            "left": self.left,
            "destinations": [
                {"exporter": name, "destination": there, "last_error": self._outcome.errors.get(name)}
                for name, there in self._ours.names.items()
            ],
            "producers": [row._asdict() for row in self._outcome.rows],
            "taken": self._taken,
            "not_touched": [
                {"exporter": each.exporter, "destination": each.destination, "journals": each.journals, "events": each.events}
                for each in self._plan.foreign
            ],
            "living": self._plan.living,
            "unknown": [
                {"producer_id": seen.producer_id, "problem": seen.problem} for seen in self._plan.unknown
            ],
            "notes": self.notes,
        }  # fmt: skip

    def write(self, console: Console) -> None:
        """Write it for people."""
        write(console, Text("Replay of ", "bold").append(str(self._place.directory)), "")
        if self._outcome.rows:
            write(console, Padding(self._table(), (0, 0, 0, 2)), "")
        for line in (self._verdict(), *self._lines()):
            console.print(Text("  ").append_text(line), soft_wrap=True)  # a command must stay in one piece

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("producer", no_wrap=True)
        table.add_column("exporter", no_wrap=True)
        table.add_column("delivered", justify="right", no_wrap=True)
        table.add_column("lost")
        table.add_column("left", justify="right", no_wrap=True)
        for row in self._outcome.rows:
            left = Text(count(row.left), "yellow" if row.left else "")
            table.add_row(row.producer_id, row.exporter, count(row.delivered), lost_text(row.lost), left)
        return table

    def _verdict(self) -> Text:
        delivered = f"{self._delivered:,} delivered"  # an event counts for each of its destinations
        if self._outcome.is_interrupted:
            return Text(f"{delivered}; stopped by Ctrl-C, {self.left:,} left in the journals", "yellow")
        if self.left:
            return Text(f"{delivered}; time is up, {self.left:,} left in the journals", "yellow")
        return Text(f"{delivered}; nothing is left for these destinations", "green")

    def _lines(self) -> Iterator[Text]:
        for name, there in self._ours.names.items():
            error = self._outcome.errors.get(name)
            held_up = f": {error}" if error and self.left else ""
            yield Text(f"to {name} {there}{held_up}", "yellow" if held_up else "dim")
        for row in self._outcome.rows:
            if row.note is not None:
                yield Text(f"{row.producer_id}: {row.note}")
        if self._take is not None:
            journals = number_of(self._taken, "journal")
            hint = "" if self._taken else "; otel-feedback journal inspect shows who waits for what"
            yield Text(f"taken from {self._take}: {journals}{hint}", "" if self._taken else "yellow")
        for foreign in self._plan.foreign:
            yield from self._not_touched(foreign)
        if self._plan.living:
            yield Text(f"{number_of(self._plan.living, 'journal')} of living processes: not touched", "dim")
        for seen in self._plan.unknown:
            yield Text(f"{seen.producer_id}: not touched: {seen.problem}", "bold red")
        for note in self.notes:
            yield Text(note, "yellow")
        if not self._place.folders() and not self._outcome.rows and (beside := others_beside(self._place.directory)):
            yield Text(beside, "yellow")

    def _not_touched(self, foreign: Foreign) -> Iterator[Text]:
        waiting = f"{number_of(foreign.events, 'event')} in {number_of(foreign.journals, 'journal')}"
        there = shown(foreign.destination, foreign.address)
        yield Text(f"for {foreign.exporter} {there}: {waiting}, not touched", "yellow")
        here = self._ours.names.get(foreign.exporter)
        if here is None:
            yield Text(f"  {foreign.exporter} is not switched on here")
        else:
            yield Text(f"  --take {shlex.quote(foreign.destination)} delivers them to {here}")


def write_json(reports: Sequence[Report]) -> None:
    """Write one JSON object: of events, and in it of feedback."""
    first, *of_feedback = (report.as_data() for report in reports)
    print(json.dumps({"version": VERSION, **first, "feedback": next(iter(of_feedback), None)}, indent=2))


def write_reports(reports: Sequence[Report]) -> None:
    """Write them for people."""
    console = open_console()
    for number, report in enumerate(reports):
        if number:
            write(console, "")
        report.write(console)
