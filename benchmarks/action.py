"""What an action costs its agent's thread, against a bare SDK span with the same ten attributes.

Method: one process for each subject, so that none sees the heap or the background threads of another; the processes
live for many rounds and take turns (A B C D, B C D A, …) while the others sleep; several launches, because memory
layout and hash seeds differ from process to process. A ratio is that of two rounds of the same turn.

Fair, because all subjects have the same provider, processor and null exporter, make a span that is current while it
lasts, and record the same ten facts. Ours does more with them (more attributes, an event, its JSON, the journal):
that is the price that is to be measured. Against it stand both spellings of the bare span: `set_attribute` for each
fact as it becomes known, which is what instrumentation does, and all attributes at the start, the SDK's cheapest.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from benchmarks.children import Child
from benchmarks.progress import say
from benchmarks.report import Goal, Result, Row, row
from benchmarks.subjects.names import AT_START, MEMORY, SET_ATTRIBUTE, UNREACHABLE

__all__ = ["measure"]

SUBJECTS = (SET_ATTRIBUTE, AT_START, MEMORY, UNREACHABLE)
GOAL = Goal("ratio", 1.2)

_FIGURES = (
    ("wall_us", "mean, wall", True),
    ("cpu_us", "mean, CPU of the thread", True),
    ("p50_us", "one call, p50", False),
    ("p99_us", "one call, p99", False),
)

Rounds = dict[str, list[dict[str, float]]]


def measure(*, is_quick: bool) -> Result:
    """Run all rounds of all subjects."""
    launches, turns, calls = (1, 4, 200) if is_quick else (4, 40, 1_000)
    rounds: Rounds = {subject: [] for subject in SUBJECTS}
    for launch in range(launches):
        say(f"action: launch {launch + 1} of {launches}, {turns} rounds of {calls:,} calls for each subject")
        _launch(rounds, turns, calls)
    parameters: dict[str, Any] = {"launches": launches, "turns": turns, "calls": calls}
    return Result([*_rows(rounds, MEMORY, GOAL), *_rows(rounds, UNREACHABLE, None)], {**parameters, "rounds": rounds})


def _launch(rounds: Rounds, turns: int, calls: int) -> None:
    with contextlib.ExitStack() as stack:
        children = [
            (subject, stack.enter_context(Child("benchmarks.subjects.calls", {"subject": subject})))
            for subject in SUBJECTS
        ]
        for _, child in children:
            child.ask(calls=calls)  # imports are over, caches and the specialising interpreter are warm
        for turn in range(turns):
            first = turn % len(children)
            for subject, child in (*children[first:], *children[:first]):
                rounds[subject].append(child.ask(calls=calls))


def _rows(rounds: Rounds, subject: str, goal: Goal | None) -> Sequence[Row]:
    return [
        row(
            "action",
            f"{subject}: {name}",
            f"bare span, {baseline}",
            "µs",
            [figures[figure] for figures in rounds[subject]],
            [figures[figure] for figures in rounds[baseline]],
            goal if has_goal and baseline == SET_ATTRIBUTE else None,
        )
        for baseline in (SET_ATTRIBUTE, AT_START)
        for figure, name, has_goal in _FIGURES
        if baseline == SET_ATTRIBUTE or has_goal
    ]
