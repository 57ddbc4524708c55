"""How many events a second go from `action()` to acknowledged by a real broker, against a plain kafka-python producer.

Method: each round is a process of its own that sends one burst and stops the clock when the broker has acknowledged
everything; ours, by kafka-python and by confluent-kafka, each from a thread and from a process beside the agents', and the plain producer
take turns. CPU is that of the agents' process: without the other, where there is one. Of ours the clock covers all: the action, its span, the event, the
journal on disk (the default, with the note of each start), the worker, the producer. What the worker falls behind with
is read back from disk. Afterwards our account and the topic's end offsets must both say the count.

What the actions alone come to, for a Kafka that is away, stands beside it: more than that cannot arrive, however cheap sending is.

Fair, because the plain producer sends the very records of our round, with the same batch size, linger, compression and
acknowledgements; it is spared making them and choosing partitions (pure-Python murmur2 would cost it 8 µs a record), so
it is what kafka-python itself can do here. The broker is on the same CPUs: it takes as much from the one as from the
other. Spans are made and not exported; exporting them would measure the OTLP exporter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from benchmarks.broker import Broker
from benchmarks.children import Child
from benchmarks.progress import say
from benchmarks.report import Goal, Result, row
from benchmarks.subjects.names import AWAY, BESIDE, BY_CONFLUENT, BY_CONFLUENT_BESIDE, OURS, RAW

__all__ = ["measure"]

COMPRESSIONS = ("gzip", "zstd")
SHARE = Goal("ratio", 0.5, at_least=True)
SHARE_OF_CONFLUENT = Goal("ratio", 1.0, at_least=True)
RATE = Goal("ours", 10_000.0, at_least=True)


class _Way(NamedTuple):
    """One way of ours to send: what it is called in a row, its settings, and which share of the plain producer's it is to have."""

    by: str
    settings: Mapping[str, str]
    share: Goal


WAYS: Mapping[str, _Way] = {
    OURS: _Way("", {}, SHARE),
    BY_CONFLUENT: _Way(", by confluent-kafka", {"client": "confluent"}, SHARE_OF_CONFLUENT),
    BESIDE: _Way(", from a process of its own", {"sender": "process"}, SHARE),
    BY_CONFLUENT_BESIDE: _Way(
        ", by confluent-kafka from a process of its own",
        {"client": "confluent", "sender": "process"},
        SHARE_OF_CONFLUENT,
    ),
}


def measure(broker: Broker, *, is_quick: bool) -> Result:
    """Run all rounds with each compression."""
    turns, events, warm_up = (1, 2_000, 200) if is_quick else (5, 40_000, 2_000)
    rounds: dict[str, dict[str, list[dict[str, float]]]] = {
        name: {subject: [] for subject in (*WAYS, RAW, AWAY)} for name in COMPRESSIONS
    }
    for turn in range(turns):
        for compression, found in rounds.items():
            say(f"throughput: turn {turn + 1} of {turns}, {events:,} events with {compression}, ours each way, and raw")
            given = {
                "bootstrap_servers": broker.bootstrap_servers, "compression": compression,
                "events": events, "warm_up": warm_up,
            }  # fmt: skip
            with broker.topic() as topic, broker.topic() as other:
                found[OURS].append(_burst(broker, given, OURS, topic))
                for subject, way in WAYS.items():
                    if subject != OURS:
                        with broker.topic() as another:
                            found[subject].append(_burst(broker, {**given, **way.settings}, subject, another))
                found[RAW].append(_burst(broker, {**given, "source": topic}, RAW, other))
            found[AWAY].append(_send({**given, "subject": AWAY}))
    rows = [
        row(
            "throughput",
            f"{compression}{way.by}, journal on disk: {name}",
            RAW,
            unit,
            [figures[figure] for figures in found[subject]],
            [figures[figure] for figures in found[RAW]],
            goal,
        )
        for subject, way in WAYS.items()
        for compression, found in rounds.items()
        for figure, name, unit, goal in (
            ("events_a_second", "acknowledged, our share", "events/s", way.share),
            ("events_a_second", "acknowledged", "events/s", RATE),
            ("cpu_us", "CPU of the process an event", "µs", None),
        )
    ]
    rows += [
        row(
            "throughput",
            f"{compression}, journal on disk, Kafka away: recorded",
            RAW,
            "events/s",
            [figures["events_a_second"] for figures in found[AWAY]],
            [figures["events_a_second"] for figures in found[RAW]],
        )
        for compression, found in rounds.items()
    ]
    return Result(rows, {"turns": turns, "events": events, "warm_up": warm_up, "rounds": rounds})


def _burst(broker: Broker, given: dict[str, Any], subject: str, topic: str) -> dict[str, float]:
    figures = _send({**given, "subject": subject, "topic": topic})
    broker.require_count(topic, given["warm_up"] + given["events"])
    return figures


def _send(given: dict[str, Any]) -> dict[str, float]:
    with Child("benchmarks.subjects.sending", given) as child:
        return child.ask()
