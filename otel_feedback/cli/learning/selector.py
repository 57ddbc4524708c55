"""`otel-feedback selector show|export|reset`: what is in a selector's file, and how it is begun anew."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import msgspec
from rich.table import Table
from rich.text import Text

from otel_feedback.cli.console import failed, moment, number_of, open_console, write
from otel_feedback.learning.selector.state import (
    FOLLOWER,
    PROGRAMS,
    State,
    StateError,
    StateFile,
    new_epoch,
    read_state,
)
from otel_feedback.shares import percent

__all__ = ["export", "known_of", "reset", "show"]


def show(file: str, *, as_json: bool) -> int:
    """Show what is in it, and return the exit code."""
    state = known_of(file)
    if state is None:
        return 1
    if as_json:
        sys.stdout.write(state.to_json().decode())
        return 0
    console = open_console()
    halves = "nothing is forgotten" if state.half_life_s is None else f"half-life {_length(state.half_life_s)}"
    worth = ["success x quality"]
    worth += [f"- {state.objective.cost_weight:g} x $"] if state.objective.cost_weight else []
    worth += [f"- {state.objective.latency_weight:g} x s"] if state.objective.latency_weight else []
    whose = "a follower of events" if state.learned_from == FOLLOWER else "programs"
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("Agent", overflow="fold")
    for title in ("Chosen", "Reward", "95 %", "Outcomes", "Feedback"):
        table.add_column(title, justify="right", no_wrap=True)
    for name, known in sorted(state.agents.items(), key=lambda each: (-each[1].probability, each[0])):
        low, high = known.interval
        table.add_row(
            Text(name), percent(known.probability), f"{known.mean:.3f}", f"{low:.2f}-{high:.2f}", f"{known.outcomes:,}",
            f"{known.feedback:,}",
        )  # fmt: skip
    write(
        console,
        Text(f"{file}, version {state.version}, {moment(state.at)}", "bold"),
        Text(f"worth: {' '.join(worth)}; {halves}; floor {percent(state.floor, 0)}; learned by {whose}"),
        "",
        table if state.agents else Text("nothing is known yet: all agents are alike"),
    )
    return 0


def export(file: str, *, only_weights: bool) -> int:
    """Write it to stdout, and return the exit code."""
    state = known_of(file)
    if state is None:
        return 1
    if only_weights:
        print(json.dumps({name: known.probability for name, known in state.agents.items()}, indent=2))
    else:
        sys.stdout.write(state.to_json().decode())
    return 0


def reset(file: str, to: str | None) -> int:
    """Begin anew, and return the exit code."""
    if not os.path.lexists(file):  # what is there and harmed may go; a name that was mistyped is not to be a file
        _failed_to_find(file)
        return 1
    try:
        kept = None if to is None else read_state(Path(to).read_bytes(), to)
    except StateError as exc:
        failed(str(exc), "give it what `otel-feedback selector export` wrote")
        return 1
    except OSError as exc:
        failed(f"{to} cannot be read: {exc.strerror}", "give it what `otel-feedback selector export` wrote")
        return 1

    def anew(known: State | None) -> State:
        begun = kept or msgspec.structs.replace(known or State(), agents={}, at=datetime.now(timezone.utc))
        version = max(begun.version, 0 if known is None else known.version) + 1  # versions are not told twice
        return msgspec.structs.replace(begun, version=version, epoch=new_epoch(), learned_from=PROGRAMS)

    if (
        _tried(lambda: StateFile(file).update(anew, discards=True), "see that it may be written, or name another file")
        is None
    ):
        return 1
    known = "nothing" if kept is None else f"{number_of(len(kept.agents), 'agent')} of {to}"
    print(f"{file} begins anew, with {known}")
    return 0


def known_of(file: str) -> State | None:
    """Return what is in a file; None where that is not to be had, which is said on stderr."""
    state = _tried(StateFile(file).read, "see that it may be read; `otel-feedback selector reset` begins anew")
    if state is None and not Path(file).exists():
        _failed_to_find(file)
    return state


def _failed_to_find(file: str) -> None:
    failed(f"there is no {file}", "name the file that an AgentSelector was given: AgentSelector(…, state=FILE)")


def _tried(work: Callable[[], State | None], todo: str) -> State | None:
    try:
        return work()
    except StateError as exc:
        failed(str(exc), todo)
    return None


def _length(half_life_s: float) -> str:
    for unit_s, unit in ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min")):
        if half_life_s >= unit_s:
            return f"{half_life_s / unit_s:g} {unit}"
    return f"{half_life_s:g} s"
