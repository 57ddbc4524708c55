"""What a whole process spends on an action, with its traces really encoded and sent by OTLP/HTTP.

Method: as for an action: one process for each subject, which take turns while the others sleep; several launches; ratios
are those of two rounds of the same turn. The spans go to a server on this machine in a process of its own, which decodes
them only when it is asked, between rounds: then it must have had each of them. The figure is the CPU time of all threads of
the process, from the first call until everything has been sent, and with Kafka acknowledged; how long the calls kept the
agent's thread stands beside it.

Fair, because all subjects have the same provider, the SDK's batch processor as it is by default and its OTLP/HTTP exporter,
and record the same ten facts. The bare span has OTLP alone. Every 500 calls the batch processor is flushed, for all: no
span is dropped by a queue that is full. Without Kafka means a broker that is away, so that the journal is on disk, or no
exporter at all, and so no journal; with Kafka, events go there compressed by zstd.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from benchmarks.broker import Broker
from benchmarks.children import Child
from benchmarks.progress import say
from benchmarks.report import Goal, Result, Row, row
from benchmarks.sinks import Backend
from benchmarks.subjects.names import AWAY, NO_EXPORTER, SET_ATTRIBUTE, THERE
from benchmarks.turns import take_turns

__all__ = ["measure"]

WITHOUT_KAFKA = Goal("ratio", 1.5)
GOALS = {NO_EXPORTER: WITHOUT_KAFKA, AWAY: WITHOUT_KAFKA, THERE: Goal("ratio", 2.2)}
FIGURES = (("cpu_us", "CPU of the process"), ("wall_us", "mean, wall"))

Found = dict[str, dict[str, list[float]]]  # by subject and figure: microseconds, by round


def measure(broker: Broker | None, *, is_quick: bool) -> Result:
    """Run all rounds of all subjects; without a broker, of those that need none."""
    launches, turns, calls = (1, 2, 500) if is_quick else (3, 10, 2_000)
    subjects = [SET_ATTRIBUTE, *(subject for subject in GOALS if subject != THERE or broker is not None)]
    found: Found = {subject: {figure: [] for figure, _ in FIGURES} for subject in subjects}
    for launch in range(launches):
        say(f"export: launch {launch + 1} of {launches}, {len(subjects)} subjects in turns")
        _launch(found, subjects, broker, turns, calls)
    parameters = {"launches": launches, "turns": turns, "calls": calls, "compression": "zstd", "rounds": found}
    return Result(list(_rows(found)), parameters)


def _launch(found: Found, subjects: Sequence[str], broker: Broker | None, turns: int, calls: int) -> None:
    with contextlib.ExitStack() as stack:
        backend = stack.enter_context(Backend.launch())
        given = {"url": backend.url, "compression": "zstd"}
        topic = None if broker is None else stack.enter_context(broker.topic())
        if broker is not None and topic is not None:
            given |= {"bootstrap_servers": broker.bootstrap_servers, "topic": topic}
        children = {
            subject: stack.enter_context(Child("benchmarks.subjects.exporting", {**given, "subject": subject}))
            for subject in subjects
        }
        for _, subject, answer in take_turns(children, {"": {"calls": calls}}, turns, backend.forget):
            backend.require_spans(subject, calls)
            for figure, _ in FIGURES:
                found[subject][figure].append(answer[figure])
        if broker is not None and topic is not None:
            broker.require_count(topic, calls * (turns + 1))


def _rows(found: Found) -> Iterator[Row]:
    for subject, goal in GOALS.items():
        if subject in found:
            for figure, what in FIGURES:
                name = f"{subject}, zstd: {what}" if subject == THERE else f"{subject}: {what}"
                figures = found[subject][figure], found[SET_ATTRIBUTE][figure]
                yield row("export", name, "bare span, OTLP alone", "µs", *figures, goal if figure == "cpu_us" else None)
