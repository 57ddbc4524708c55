"""What an action consists of, each piece by itself, against the bare span with ten attributes.

Method: all pieces in one process, some hundred times each in every turn, so that a machine that slows down slows all of a
turn; ratios are those of the same turn. Figures are CPU time of the thread, which waits for nobody. They are not a sum: an action also reads what it inherits, checks texts, notes its
start, and wakes a worker. `action` measures it whole, and what it costs with less (no journal, no note).
"""

from __future__ import annotations

from typing import Final

from benchmarks.children import Child
from benchmarks.progress import say
from benchmarks.report import Result, row
from benchmarks.subjects.names import (
    CONTEXT,
    EVENT,
    EVENT_JSON,
    FRAME,
    SET_ATTRIBUTE,
    SPAN_OF_NONE,
    SPAN_OF_SIXTEEN,
)
from benchmarks.turns import take_turns

__all__ = ["measure"]

PIECES: Final = (SPAN_OF_NONE, SPAN_OF_SIXTEEN, CONTEXT, EVENT, EVENT_JSON, FRAME)


def measure(*, is_quick: bool) -> Result:
    """Run all rounds."""
    launches, turns, calls = (1, 2, 50) if is_quick else (3, 30, 300)
    found: dict[str, list[float]] = {piece: [] for piece in (SET_ATTRIBUTE, *PIECES)}
    requests = {piece: {"piece": piece, "calls": calls} for piece in found}
    for launch in range(launches):
        say(f"pieces: launch {launch + 1} of {launches}, {len(found)} pieces in turns")
        with Child("benchmarks.subjects.pieces", {"subject": "pieces"}) as child:
            for piece, _, answer in take_turns({"": child}, requests, turns):
                found[piece].append(answer["us"])
    rows = [
        row("pieces", piece, f"bare span, {SET_ATTRIBUTE}", "µs", found[piece], found[SET_ATTRIBUTE])
        for piece in PIECES
    ]
    return Result(rows, {"launches": launches, "turns": turns, "calls": calls, "us": found})
