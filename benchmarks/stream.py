"""How many events a second the job `windows` takes on a Flink of this machine, against the same job without our dedupe.

    python -m benchmarks.stream [EVENTS] [TURNS]

Method: a topic with repeats, revisions and late events; each job reads it from its beginning to its end, in turns, on one cluster
whose Java is warm by then. The time is Flink's own, from a job's start to its end. Apart from the other measurements: it needs
Flink (330 MB), and a quarter of an hour. Without the dedupe nearly every window is wrong.
"""

from __future__ import annotations

import json
import sys

from benchmarks.progress import say
from benchmarks.report import row
from otel_feedback.downstream.streaming.texts import Options, text
from otel_feedback.downstream.tables.tables import text_of
from tests.downstream.tables import made
from tests.stack import kafka_clients
from tests.stack.flink import Flink, FlinkCluster
from tests.stack.kafka import KafkaBroker

EVENTS = 200_000
TURNS = 5
JOBS = ("windows", "without dedupe")


def measure(events: int, turns: int) -> dict[str, list[float]]:
    """Return the events a second of each turn, by job."""
    found: dict[str, list[float]] = {name: [] for name in JOBS}
    with KafkaBroker.launch() as broker, FlinkCluster(Flink.get()) as cluster:
        cluster.start()
        names = [f"benchmark-{kind}" for kind in ("events", "rows", "refused")]
        for name in names:
            broker.create_topic(name, 6 if name == names[0] else 1)
        records = [
            ((event.run_id or "").encode(), event.to_json().encode()) for event in made.recent(made.events(events))
        ]
        kafka_clients.produce_keyed(broker.bootstrap_servers, names[0], records, compression="zstd")
        options = Options(
            broker.bootstrap_servers, topic=names[0], sink=names[1], refused=names[2], once=True,
            settings={"parallelism.default": "2"},
        )  # fmt: skip
        for turn in range(turns + 1):
            for job in JOBS:
                say(f"stream: turn {turn} of {turns}, {job}; the first is for Java to get warm")
                took_s = cluster.took_s(cluster.submit(_text(job, options)))
                say(f"stream: {events / took_s:,.0f} events/s")  # a run that is stopped has said what it found
                if turn:
                    found[job].append(events / took_s)
    return found


def _text(job: str, options: Options) -> str:
    whole = text("windows", options)
    if job == JOBS[0]:
        return whole
    lines = [line for line in text_of("outcomes").rstrip().splitlines() if not line.startswith("--")]
    dedupe = "\n".join(lines)
    assert dedupe in whole
    return whole.replace(dedupe, "SELECT * FROM events")


def main() -> None:
    """Measure, and write JSON to stdout."""
    given = [int(each) for each in sys.argv[1:]]
    events, turns = [*given, *(EVENTS, TURNS)[len(given) :]]
    found = measure(events, turns)
    told = row("stream", "windows", "without dedupe", "events/s", found[JOBS[0]], found[JOBS[1]])
    print(
        json.dumps(
            {"events": events, "rounds": found, "ours": told.ours, "without": told.baseline, "ratio": told.ratio.median}
        )
    )


if __name__ == "__main__":
    main()
