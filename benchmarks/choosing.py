"""What it costs an agent's thread to have a selector choose, beside a bare span.

Method: as for an action: a process for each, in turns; of each round the typical call counts. The selector has learned before,
and its thread weighs what it learns once a second meanwhile, which is in the figures as far as it takes the interpreter lock.
"""

from __future__ import annotations

import contextlib
from typing import Any

from benchmarks.children import Child
from benchmarks.progress import say
from benchmarks.report import Goal, Result, row
from benchmarks.subjects.names import CHOICE, CHOICE_IN_CONTEXT, CHOICE_LEARNED, SET_ATTRIBUTE
from benchmarks.summary import median
from benchmarks.turns import take_turns

__all__ = ["measure"]

GOALS = {CHOICE: Goal("ours", 20.0), CHOICE_LEARNED: None, CHOICE_IN_CONTEXT: Goal("ours", 400.0)}


def measure(*, is_quick: bool) -> Result:
    """Run all rounds."""
    launches, turns, calls = (1, 2, 100) if is_quick else (3, 20, 1_000)
    found: dict[str, list[float]] = {name: [] for name in (SET_ATTRIBUTE, *GOALS)}
    for launch in range(launches):
        say(f"choosing: launch {launch + 1} of {launches}, {len(found)} ways in turns")
        with contextlib.ExitStack() as stack:
            children = {
                name: stack.enter_context(Child("benchmarks.subjects.choosing", {"subject": name})) for name in found
            }
            for _, name, answer in take_turns(children, {"": {"calls": calls}}, turns):
                found[name].append(median(answer["single_ns"]) / 1e3)
    rows = [
        row("choosing", name, SET_ATTRIBUTE, "µs", found[name], found[SET_ATTRIBUTE], goal)
        for name, goal in GOALS.items()
    ]
    details: dict[str, Any] = {"launches": launches, "turns": turns, "calls": calls, "us_a_call": found}
    return Result(rows, details)
