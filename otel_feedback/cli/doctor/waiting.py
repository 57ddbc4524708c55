"""The doctor's look at what waits: what dead processes left, for whom, and what was refused; with what sends it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from otel_feedback.cli.console import number_of, size
from otel_feedback.cli.doctor.findings import Finding, State
from otel_feedback.cli.journal.delivery import make_plan
from otel_feedback.cli.journal.ours import Ours
from otel_feedback.cli.journal.survey import Owner, kept_in, survey
from otel_feedback.cli.listening import listening
from otel_feedback.errors import ConfigError
from otel_feedback.journal.folder import folders
from otel_feedback.pipeline.destinations import shown, take_command
from otel_feedback.settings.settings import Settings, feedback_settings

__all__ = ["check_waiting"]


def check_waiting(settings: Settings, *, finds_out: bool) -> Iterator[Finding]:
    """Say what waits, and what sends it.

    Args:
        finds_out: Whether to ask Kafka which cluster it is; else that is told by its address.
    """
    yield from _waiting(settings, "journal", "quarantine", finds_out=finds_out)
    of_feedback = feedback_settings(settings)
    if of_feedback.journal_dir.is_dir():
        yield from _waiting(of_feedback, "feedback journal", "feedback quarantine", finds_out=finds_out)


def _waiting(settings: Settings, journal: str, quarantine: str, *, finds_out: bool) -> Iterator[Finding]:
    yield from _left(settings.journal_dir, settings, journal, finds_out=finds_out)
    kept = kept_in(settings.journal_dir, None)
    if kept.files:
        found = f"{number_of(kept.lines, 'line')} of what was refused or damaged, {size(kept.bytes)}"
        todo = (
            "to send what was refused once more: otel-feedback journal replay --quarantine; else look at it, delete it"
        )
        yield Finding(quarantine, State.WARNING, found, todo)


def _left(directory: Path, settings: Settings, journal: str, *, finds_out: bool) -> Iterator[Finding]:
    dead = [seen for path in folders(directory) if (seen := survey(path)) and seen.owner is not Owner.ALIVE]
    if not dead:
        return
    try:
        with listening("kafka"):
            ours = Ours(settings, finds_out=finds_out)
    except ConfigError:  # said by the one whose setting it is
        return
    plan = make_plan(dead, ours)
    left = [*plan.todo, *plan.unknown]
    if left:
        found = f"{number_of(len(left), 'journal')} of dead processes, {size(sum(seen.bytes for seen in left))}"
        todo = "start a process of the service, which delivers them, or: otel-feedback journal replay"
        yield Finding(f"{journal} orphans", State.WARNING, f"{found}, not delivered yet", todo)
    for foreign in plan.foreign:
        waiting = f"{number_of(foreign.events, 'event')} in {number_of(foreign.journals, 'journal')}"
        found = f"{waiting} of dead processes for {foreign.exporter} {shown(foreign.destination, foreign.address)}"
        here = ours.names.get(foreign.exporter)
        if here is None:
            todo = f"{foreign.exporter} is not switched on here; a process that has this destination delivers them"
        else:
            todo = f"to send them to {here}: {take_command(foreign.destination)}"
        yield Finding(f"{journal} elsewhere", State.WARNING, f"{found}, which is none of the destinations here", todo)
