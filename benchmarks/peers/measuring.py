"""What one action costs with each SDK: the agent's thread in wall time, the whole process in CPU time.

Method: for each peer an environment of its own, and in it two processes, the peer's and one with the bare SDK span, which
take turns; several launches; ratios are those of two rounds of the same turn. So each is compared with the SDK of the very
version that it came with, on the same machine, within the same seconds. Ours is measured in the same way, in the
environment that this runs in, with a journal on disk and Kafka away, and, as the peers are, with neither.

Fair, because each records the same ten facts as its documentation tells its users to, by default settings but for what would
reach the network, and sends them to the same server on this machine, which counts them between rounds. All are flushed
after every 500 calls; the CPU time of that counts, the thread's time does not. They do different things with the facts:
Logfire makes a second span when one starts, Sentry an envelope of each, ours an event and its JSON.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.children import Child
from benchmarks.peers.environments import PACKAGES, python_of
from benchmarks.progress import say
from benchmarks.report import Result, Row, row
from benchmarks.sinks import Backend
from benchmarks.subjects.names import AWAY, NO_EXPORTER, SET_ATTRIBUTE
from benchmarks.turns import take_turns

__all__ = ["OURS", "PEERS", "measure", "versions_of"]

OURS = "otel_feedback"
PEERS = tuple(PACKAGES)
BARE = "sdk_alone"
FIGURES = (("wall_us", "mean, wall"), ("cpu_us", "CPU of the process"))
_PEER, _OWN = "benchmarks.peers.subject", "benchmarks.subjects.exporting"
_OUR_SUBJECTS = {"journal on disk, Kafka away": AWAY, "no journal, no Kafka": NO_EXPORTER}

# What would phone home finds no way out: whatever is not on this machine goes to a port where nobody listens.
NO_NETWORK = {
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9"),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1"),
}


class Size(NamedTuple):
    """How much is measured."""

    launches: int
    turns: int
    calls: int


def size_of(*, is_quick: bool) -> Size:
    """Return how much of it makes figures, or only shows that it works."""
    return Size(1, 2, 100) if is_quick else Size(3, 12, 1_000)


def measure(name: str, *, is_quick: bool) -> Result:
    """Measure one peer, or ours.

    Raises:
        ServiceUnavailable: Its environment could not be made.
        BenchmarkError: Not everything arrived.
    """
    size = size_of(is_quick=is_quick)
    python = None if name == OURS else python_of(name)
    subjects = _OUR_SUBJECTS if name == OURS else {name: name}
    found: dict[str, dict[str, list[float]]] = {
        subject: {figure: [] for figure, _ in FIGURES} for subject in (BARE, *subjects)
    }
    for launch in range(size.launches):
        say(f"peers: {name}, launch {launch + 1} of {size.launches}, in turns with the bare span")
        _launch(found, subjects, python, size)
    return Result(list(_rows(name, found)), {**size._asdict(), "rounds": found})


def _launch(
    found: dict[str, dict[str, list[float]]], subjects: Mapping[str, str], python: Path | None, size: Size
) -> None:
    with contextlib.ExitStack() as stack:
        backend = stack.enter_context(Backend.launch())

        def child(subject: str) -> Child:
            given = {"subject": subject, "url": backend.url}
            module = _OWN if python is None else _PEER
            return stack.enter_context(Child(module, given, python=python, variables=NO_NETWORK))

        children = {BARE: child(SET_ATTRIBUTE if python is None else BARE)}
        children |= {shown: child(subject) for shown, subject in subjects.items()}
        for _, who, answer in take_turns(children, {"": {"calls": size.calls}}, size.turns, backend.forget):
            backend.require_spans(who, size.calls)
            for figure, _ in FIGURES:
                found[who][figure].append(answer[figure])


def _rows(name: str, found: Mapping[str, Mapping[str, Sequence[float]]]) -> Iterator[Row]:
    for subject, figures in found.items():
        if subject != BARE:
            shown = f"{name}, {subject}" if name == OURS else name
            for figure, what in FIGURES:
                yield row("peers", f"{shown}: {what}", "bare span", "µs", figures[figure], found[BARE][figure])


def versions_of(name: str) -> str:
    """Return which versions of a peer and of the SDK beside it are installed in its environment."""
    packages = [package.partition("==")[0] for package in PACKAGES[name]] + ["opentelemetry-sdk"]
    with Backend.launch() as backend:
        given = {"subject": BARE, "url": backend.url}
        with Child(_PEER, given, python=python_of(name), variables=NO_NETWORK) as child:
            told: dict[str, Any] = child.ask(packages=packages)
    return ", ".join(f"{package} {version}" for package, version in told.items())
