"""What `await dispatch()` costs over awaiting the agent itself.

Method: as for an action: one process for each way of calling, which take turns while the others sleep; several
launches; ratios are those of two rounds of the same turn. The agent does nothing, or waits 5 ms, which is little for one
that calls a model. All processes that record have the same provider, a null exporter for spans, and a Kafka that is away,
so that each action has its span, its event and its place in the journal; after each round they show that they have.

    direct        await agent.execute(…); a plain agent by asyncio.to_thread(…), the least that keeps the loop free
    action()      the same inside `async with action(…)`: what recording costs, without the dispatcher
    dispatch()    the dispatcher without options, with a time limit, with a post hook, and with a selector that chooses

An agent that does nothing has a direct call of some nanoseconds, so there the ratio says nothing, and the difference all.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from benchmarks.children import Child
from benchmarks.progress import say
from benchmarks.report import Goal, Result, Row, row
from benchmarks.subjects.names import ACTION, DIRECT, DISPATCH, WITH_HOOK, WITH_LIMIT, WITH_SELECTOR
from benchmarks.turns import take_turns

__all__ = ["measure"]

ALL = (DIRECT, ACTION, DISPATCH, WITH_LIMIT, WITH_HOOK, WITH_SELECTOR)
SMALL = Goal("ratio", 1.05)
OVER_ACTION = Goal("ratio", 1.7)


class Mode(NamedTuple):
    """What the agent does, and how the calls of a round follow each other."""

    name: str
    agent: str
    takes_ms: float
    calls: int
    at_a_time: int = 1


def _modes(*, is_quick: bool) -> tuple[Mode, ...]:
    many, few, slow = (100, 50, 10) if is_quick else (1_000, 300, 50)
    return (
        Mode("async agent", "async", 0, many),
        Mode("async agent, 100 at a time", "async", 0, many, at_a_time=100),
        Mode("async agent that waits 5 ms", "async", 5, slow),
        Mode("plain agent", "plain", 0, few),
        Mode("plain agent that waits 5 ms", "plain", 5, slow),
    )


Found = dict[tuple[str, str], list[float]]  # by mode and way: microseconds a call, by round


def measure(*, is_quick: bool) -> Result:
    """Run all rounds of all ways."""
    launches, turns, modes = *((1, 2) if is_quick else (3, 10)), _modes(is_quick=is_quick)
    found: Found = {(mode.name, way): [] for mode in modes for way in ALL}
    for launch in range(launches):
        say(f"dispatch: launch {launch + 1} of {launches}, {len(ALL)} ways in turns")
        _launch(found, modes, turns)
    parameters: Mapping[str, Any] = {
        "launches": launches,
        "turns": turns,
        "modes": {mode.name: mode._asdict() for mode in modes},
        "us_a_call": {f"{mode}: {way}": rounds for (mode, way), rounds in found.items()},
    }
    return Result(list(_rows(found, modes)), parameters)


def _launch(found: Found, modes: tuple[Mode, ...], turns: int) -> None:
    with contextlib.ExitStack() as stack:
        children = {way: stack.enter_context(Child("benchmarks.subjects.dispatching", {"subject": way})) for way in ALL}
        for mode in modes:
            request = {
                "agent": mode.agent, "takes_ms": mode.takes_ms, "calls": mode.calls, "at_a_time": mode.at_a_time,
            }  # fmt: skip
            for _, way, answer in take_turns(children, {mode.name: request}, turns):
                found[mode.name, way].append(answer["us_a_call"])


def _rows(found: Found, modes: tuple[Mode, ...]) -> Iterator[Row]:
    def one(mode: Mode, ours: str, baseline: str, goal: Goal | None = None) -> Row:
        figures = found[mode.name, ours], found[mode.name, baseline]
        return row("dispatch", f"{mode.name}: {ours}", baseline, "µs", *figures, goal)

    for mode in modes:
        yield one(mode, DISPATCH, DIRECT, SMALL if mode.takes_ms else None)
        is_alone = not mode.takes_ms and mode.at_a_time == 1
        yield one(mode, DISPATCH, ACTION, OVER_ACTION if is_alone and mode.agent == "async" else None)
        if is_alone:
            yield one(mode, ACTION, DIRECT)
            yield one(mode, WITH_LIMIT, DISPATCH)
            yield one(mode, WITH_HOOK, DISPATCH)
            yield one(mode, WITH_SELECTOR, DISPATCH)
