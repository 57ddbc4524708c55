"""Kill agents at random moments and inside the journal's own steps; prove that nothing which returned is lost.

    python -m tests.fault.kill_harness --rounds 1000

Each round is a process that acts from several threads, delivers, and adopts what the rounds before it left, until it is
killed. At the end one more process adopts the rest; then the topic is read. Every action that returned must be there
with its own outcome; every one that was started must have exactly one final event, whatever number of copies.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from otel_feedback.journal.folder import folders
from tests.fault.kill_child import POINTS
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker
from tests.support import ROOT, environment

BATCH = 50
DRAIN_S = 60

DRAIN = """
import sys, time
from pathlib import Path
import otel_feedback as feedback
from otel_feedback.journal.folder import folders
pipeline = feedback.configure(kafka_bootstrap_servers=sys.argv[1], journal_dir=sys.argv[2], enable_outcome_logging=False,
                              enable_otlp=False, journal_rescan_s=0.2, service_name="killed")
until = time.monotonic() + float(sys.argv[3])
while folders(Path(sys.argv[2])) and time.monotonic() < until:
    time.sleep(0.1)
pipeline.shutdown(10)
"""


class Told(NamedTuple):
    """What killed processes said before they died."""

    started: set[str]
    returned: set[str]
    points: Counter[str]


class Result(NamedTuple):
    """What came of some rounds. All but the first three, and the repeats, should be 0."""

    rounds: int = 0
    started: int = 0
    returned: int = 0
    repeats: int = 0
    lost: int = 0
    wrong: int = 0
    unclosed: int = 0
    doubled: int = 0
    left_over: int = 0

    def plus(self, other: Result) -> Result:
        """Return the sum, field by field."""
        return Result(*(mine + its for mine, its in zip(self, other, strict=True)))

    @property
    def is_right(self) -> bool:
        """True when no guarantee was broken."""
        return not any((self.lost, self.wrong, self.unclosed, self.doubled, self.left_over))


def run(rounds: int, seed: int, points: Counter[str]) -> Iterator[tuple[int, Result]]:
    """Run the rounds in batches; after each, yield the rounds done and what came of the batch."""
    choose = random.Random(seed)
    with KafkaBroker.launch_own() as broker:
        for first in range(0, rounds, BATCH):
            topic = f"agent-outcomes-{first}"
            broker.create_topic(topic, partitions=3)
            count = min(BATCH, rounds - first)
            with tempfile.TemporaryDirectory() as journal:
                yield (
                    first + count,
                    _batch(broker.bootstrap_servers, topic, Path(journal) / "j", first, count, choose, points),
                )


def _batch(
    servers: str, topic: str, journal: Path, first: int, count: int, choose: random.Random, points: Counter[str]
) -> Result:
    told = Told(set(), set(), points)
    for number in range(first, first + count):
        point = POINTS[number // 2 % len(POINTS)] if number % 2 else ""
        given = {
            "servers": servers, "journal_dir": str(journal), "point": point, "nth": choose.randint(1, 3),
            "linger_ms": choose.choice([0, 20, 60_000]), "pause_s": choose.choice([0.001, 0.003, 0.01]),
        }  # fmt: skip
        _round(given, topic, 5.0 if point else choose.uniform(0.02, 0.6), told)
    drain = [sys.executable, "-c", DRAIN, servers, str(journal), str(DRAIN_S)]
    subprocess.run(drain, check=True, env=_variables(topic), cwd=ROOT, stderr=subprocess.DEVNULL)
    return _judge(servers, topic, told, count, left_over=len(folders(journal)))


def _variables(topic: str) -> dict[str, str]:
    return environment(OTEL_TRACES_EXPORTER="none", KAFKA_OUTCOME_TOPIC=topic, PYTHONPATH=str(ROOT))


def _round(given: Mapping[str, object], topic: str, life_s: float, told: Told) -> None:
    command = [sys.executable, "-m", "tests.fault.kill_child", json.dumps(given)]
    with subprocess.Popen(
        command, env=_variables(topic), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as child:
        assert child.stdout is not None
        killer = None
        for line in child.stdout:
            if killer is None:  # its life begins with its first action
                killer = threading.Timer(life_s, child.kill)
                killer.start()
            kind, _, what = line.rstrip("\n").partition(" ")
            if not line.endswith("\n"):
                continue
            if kind == "S":
                told.started.add(what)
            elif kind == "R":
                told.returned.add(what)
            elif kind == "F":
                told.points[what] += 1
        if killer is not None:
            killer.cancel()


def _judge(servers: str, topic: str, told: Told, rounds: int, left_over: int) -> Result:
    records = kafka_clients.read_to_end(servers, topic, timeout_s=120)
    finals: dict[str, set[str | None]] = {}
    for record in records:
        event = json.loads(record.value or b"")
        finals.setdefault(event["event_id"], set()).add(event.get("error_type"))
    return Result(
        rounds,
        len(told.started),
        len(told.returned),
        repeats=len(records) - len(finals),
        lost=len(told.returned - finals.keys()),
        wrong=sum(finals.get(event_id, {None}) != {None} for event_id in told.returned),
        unclosed=len(told.started - finals.keys()),
        doubled=sum(len(outcomes) > 1 for outcomes in finals.values()),
        left_over=left_over,
    )


def table(result: Result, points: Counter[str]) -> Table:
    """Return the result for people."""
    shown = Table("what", "number", title="killed agents")
    for name, text in (
        ("rounds", "rounds"), ("started", "actions started"), ("returned", "actions returned"),
        ("repeats", "copies beyond the first"), ("lost", "returned and lost"),
        ("wrong", "returned, with another outcome"), ("unclosed", "started, with no event"),
        ("doubled", "with two outcomes"), ("left_over", "journals left over"),
    ):  # fmt: skip
        shown.add_row(text, f"{getattr(result, name):,}")
    shown.add_section()
    for point in POINTS:
        shown.add_row(f"killed at {point}", f"{points[point]:,}")
    return shown


def main() -> int:
    """Run as a program; exit code 1 when a guarantee was broken or a fault point never hit."""
    parser = argparse.ArgumentParser(prog="python -m tests.fault.kill_harness", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**6)
    options = parser.parse_args()
    total, points = Result(), Counter[str]()
    console = Console(stderr=True)
    with Progress(console=console) as progress:
        task = progress.add_task(f"seed {options.seed}", total=options.rounds)
        for done, result in run(options.rounds, options.seed, points):
            total = total.plus(result)
            progress.update(task, completed=done)
            if not result.is_right:
                console.print(f"[red]rounds up to {done}: {result}")
    Console().print(table(total, points))
    return 0 if total.is_right and (options.rounds < 2 * len(POINTS) or len(points) == len(POINTS)) else 1


if __name__ == "__main__":
    sys.exit(main())
