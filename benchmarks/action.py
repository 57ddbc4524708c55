"""What an action costs its agent's thread, against a bare SDK span with the same ten attributes.

Method: one process for each subject, so that none sees the heap or the background threads of another; the processes
live for many rounds and take turns (A B C D, B C D A, …) while the others sleep; several launches, because memory
layout and hash seeds differ from process to process. A ratio of means is that of two rounds of the same turn;
percentiles are those of all calls of a launch, so that what is rare (a new segment, a sync) is in them.

    back to back             one call after the other: the hardest case where Kafka is there, since the worker cannot
                             keep up and wants the interpreter lock all the time; a round takes longer than it
                             waits for company (`KAFKA_LINGER_MS`), or it would not be at work yet
    beside a busy thread     the same, with a thread that burns Python in the process; the bare span has one, too
    at a pace                1,000 calls a second, so that the worker has time; the caches are colder, for all. Here the bare
                             span is measured once more, while another process sends a record for each by kafka-python:
                             what sending costs an agent by the processors that it shares with whoever sends, and the broker

Fair, because all subjects have the same provider, processor and null exporter, make a span that is current while it
lasts, and record the same ten facts. Ours does more with them (more attributes, an event, its JSON, the journal):
that is the price that is to be measured. Against it stand both spellings of the bare span: `set_attribute` for each
fact as it becomes known, which is what instrumentation does, and all attributes at the start, the SDK's cheapest. One
that an exception leaves stands against an action that the same exception ends: the SDK records it, stack trace and all.
Nobody reads the spans here, so what is put off until somebody does is not in these figures; it is in those of `export`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.broker import Broker
from benchmarks.children import Child
from benchmarks.progress import say
from benchmarks.report import Goal, Result, Row, row
from benchmarks.subjects.names import (
    AT_START,
    AWAY,
    FAILING,
    IN_MEMORY,
    NESTED,
    NO_EXPORTER,
    NO_START,
    SET_ATTRIBUTE,
    SET_ATTRIBUTE_BESIDE,
    SET_ATTRIBUTE_FAILING,
    THERE,
)
from benchmarks.summary import percentile
from benchmarks.turns import take_turns

__all__ = ["measure"]

SUBJECTS = (
    SET_ATTRIBUTE, SET_ATTRIBUTE_FAILING, AT_START, NO_EXPORTER, IN_MEMORY, NO_START, AWAY, THERE, NESTED, FAILING,
)  # fmt: skip
PACED, BUSY = "1,000/s", "busy thread"
MEAN = {("", AWAY): Goal("ratio", 1.0), ("", THERE): Goal("ratio", 1.3), (PACED, THERE): Goal("ratio", 1.1)}
P99 = {
    (mode, ours): goal
    for mode in ("", PACED)  # beside a busy thread it is the switch interval that shows
    for ours, goal in ((AWAY, Goal("ratio", 1.5)), (THERE, Goal("ratio", 2.5)))
}
BARE = frozenset({SET_ATTRIBUTE, SET_ATTRIBUTE_BESIDE, SET_ATTRIBUTE_FAILING, AT_START})
WITH_BROKER = frozenset({THERE, SET_ATTRIBUTE_BESIDE})
NESTED_MEAN = Goal("ratio", 1.2)


class Mode(NamedTuple):
    """How the calls of a round follow each other, and which subjects make them."""

    name: str
    subjects: Sequence[str]
    calls: int
    turns: int
    rate: int | None = None
    is_busy: bool = False


def _modes(*, is_quick: bool) -> tuple[Mode, Mode, Mode]:
    few = (SET_ATTRIBUTE, AT_START, AWAY, THERE)
    calls, paced, many, fewer = (200, 50, 3, 2) if is_quick else (3_000, 250, 12, 12)
    return (
        Mode("", SUBJECTS, calls, many),
        # so many that a round of the bare span meets the switch interval (5 ms) several times
        Mode(BUSY, few, calls, fewer, is_busy=True),
        Mode(PACED, (*few, SET_ATTRIBUTE_BESIDE), paced, fewer, rate=1_000),
    )


class Figures:
    """What one subject's rounds in one mode gave: means by round, percentiles by launch."""

    def __init__(self) -> None:
        self.rounds: dict[str, list[float]] = {"wall_us": [], "cpu_us": []}
        self.launches: dict[str, list[float]] = {"p50_ms": [], "p99_ms": [], "p99.9_ms": [], "most_ms": []}
        self._single_ns: list[int] = []

    def add(self, answer: Mapping[str, Any]) -> None:
        """Take what one round gave."""
        self.rounds["wall_us"].append(sum(answer["single_ns"]) / len(answer["single_ns"]) / 1e3)
        self.rounds["cpu_us"].append(answer["cpu_us"])
        self._single_ns += answer["single_ns"]

    def end_launch(self) -> None:
        """Take the percentiles of all calls since the last launch."""
        for name, percent in (("p50_ms", 50), ("p99_ms", 99), ("p99.9_ms", 99.9), ("most_ms", 100)):
            self.launches[name].append(percentile(self._single_ns, percent) / 1e6)
        self._single_ns = []

    def __getitem__(self, figure: str) -> list[float]:
        return {**self.rounds, **self.launches}[figure]


Found = dict[tuple[str, str], Figures]  # by mode and subject


def measure(broker: Broker | None, *, is_quick: bool) -> Result:
    """Run all rounds of all subjects; without a broker, of those that need none."""
    launches, modes = 1 if is_quick else 4, _modes(is_quick=is_quick)
    found: Found = {
        (mode.name, subject): Figures()
        for mode in modes
        for subject in mode.subjects
        if subject not in WITH_BROKER or broker is not None
    }
    for launch in range(launches):
        say(f"action: launch {launch + 1} of {launches}, {len(found)} subjects in turns")
        _launch(found, modes, broker)
    parameters = {"launches": launches, "modes": {mode.name: mode._asdict() for mode in modes}}
    details = {
        f"{subject}, {mode}" if mode else subject: {**figures.rounds, **figures.launches}
        for (mode, subject), figures in found.items()
    }
    return Result(list(_rows(found, modes)), {**parameters, "rounds": details})


def _launch(found: Found, modes: Sequence[Mode], broker: Broker | None) -> None:
    with contextlib.ExitStack() as stack:
        there: dict[str, dict[str, str]] = {}
        if broker is not None:
            there = {
                subject: {"bootstrap_servers": broker.bootstrap_servers, "topic": stack.enter_context(broker.topic())}
                for subject in WITH_BROKER
            }
        children = {
            subject: stack.enter_context(
                Child("benchmarks.subjects.calls", {"subject": subject, **there.get(subject, {})})
            )
            for subject in dict.fromkeys(subject for _, subject in found)
        }
        for mode in modes:
            subjects = [subject for subject in mode.subjects if subject in children]
            request = {"calls": mode.calls, "rate": mode.rate, "is_busy": mode.is_busy}
            asked = {subject: children[subject] for subject in subjects}
            for _, subject, answer in take_turns(asked, {mode.name: request}, mode.turns):
                found[mode.name, subject].add(answer)
            for subject in subjects:
                found[mode.name, subject].end_launch()
        if broker is not None:
            broker.require_count(there[THERE]["topic"], children[THERE].ask()["delivered"])


def _rows(found: Found, modes: Sequence[Mode]) -> Iterator[Row]:
    def one(mode: str, ours: str, figure: str, what: str, baseline: str, goal: Goal | None = None) -> Iterator[Row]:
        if (mode, ours) in found:
            name = f"{ours}, {mode}: {what}" if mode else f"{ours}: {what}"
            against = f"bare span, {baseline}" if baseline in BARE else baseline
            unit = figure.rpartition("_")[2].replace("us", "µs")
            yield row("action", name, against, unit, found[mode, ours][figure], found[mode, baseline][figure], goal)

    for mode in modes:
        for ours in (AWAY, THERE):
            yield from one(mode.name, ours, "wall_us", "mean, wall", SET_ATTRIBUTE, MEAN.get((mode.name, ours)))
            if mode.rate is None:  # with a rate it would be that of the pauses, too
                yield from one(mode.name, ours, "cpu_us", "mean, CPU of the thread", SET_ATTRIBUTE)
            yield from one(mode.name, ours, "p99_ms", "p99", SET_ATTRIBUTE, P99.get((mode.name, ours)))
            yield from one(mode.name, ours, "wall_us", "mean, wall", AT_START)
    yield from one(PACED, THERE, "wall_us", "mean, wall", SET_ATTRIBUTE_BESIDE)
    yield from one("", NESTED, "wall_us", "mean, wall", AWAY, NESTED_MEAN)
    yield from one("", NESTED, "cpu_us", "mean, CPU of the thread", AWAY)
    for baseline in (AWAY, SET_ATTRIBUTE_FAILING):
        yield from one("", FAILING, "wall_us", "mean, wall", baseline)
        yield from one("", FAILING, "cpu_us", "mean, CPU of the thread", baseline)
    for ours, baseline in (
        (AWAY, NO_START), (AWAY, IN_MEMORY),
        (NO_START, SET_ATTRIBUTE), (IN_MEMORY, SET_ATTRIBUTE), (NO_EXPORTER, SET_ATTRIBUTE),
    ):  # fmt: skip
        yield from one("", ours, "wall_us", "mean, wall", baseline)
        yield from one("", ours, "cpu_us", "mean, CPU of the thread", baseline)
        yield from one("", ours, "p99_ms", "p99", baseline)
