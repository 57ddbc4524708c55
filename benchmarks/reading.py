"""How many events a second are read from a topic, by our consumer and into a store, against a plain kafka-python consumer.

Method: a burst of ours fills a topic; then each reader, in a process of its own and in turns, reads it from its beginning.
The plain consumer decodes JSON and keeps nothing. Ours makes an `OutcomeEvent` of each, tells repeats and commits. The store
is done when all is in Parquet files, and committed. What a reader takes of memory more than before is looked at besides: that
of a million events is that of a hundred thousand.
"""

from __future__ import annotations

from typing import Any

from benchmarks.broker import Broker
from benchmarks.children import Child
from benchmarks.progress import say
from benchmarks.report import Goal, Result, row
from benchmarks.subjects.names import CONSUMER, OURS, RAW, STORE

__all__ = ["measure"]

SHARES = {CONSUMER: Goal("ratio", 0.7, at_least=True), STORE: Goal("ratio", 0.6, at_least=True)}
GROWTH = Goal("growth", 64.0)
FILL_WARM_UP = 200


def measure(broker: Broker, *, is_quick: bool) -> Result:
    """Fill a topic, let all read it in turns, and once more ten times as many."""
    turns, events, many = (1, 2_000, 4_000) if is_quick else (5, 100_000, 1_000_000)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in (RAW, *SHARES)}
    with broker.topic() as topic:
        _fill(broker, topic, events)
        for turn in range(turns):
            say(f"reading: turn {turn + 1} of {turns}, {events:,} events")
            for name, rounds in found.items():
                rounds.append(_read(broker, topic, name, events))
    with broker.topic() as topic:
        say(f"reading: {many:,} events, for what they take of memory")
        _fill(broker, topic, many)
        large = {name: _read(broker, topic, name, many) for name in SHARES}
    rows = [
        row(
            "reading", f"{name}: {figure}", RAW, unit,
            [one[key] for one in found[name]], [one[key] for one in found[RAW]], goal,
        )
        for name, share in SHARES.items()
        for figure, key, unit, goal in (
            ("events/s", "events_a_second", "1/s", share), ("CPU", "cpu_us", "us/event", None),
        )
    ]  # fmt: skip
    rows += [
        row("reading", f"{name}: memory, {many:,} events", f"{events:,} events", "MB",
            [large[name]["grown_mb"]], [max(one["grown_mb"] for one in found[name])], GROWTH)
        for name in SHARES
    ]  # fmt: skip
    return Result(rows, {"events": events, "rounds": found, "many": large})


def _fill(broker: Broker, topic: str, events: int) -> None:
    given: dict[str, Any] = {
        "bootstrap_servers": broker.bootstrap_servers, "compression": "zstd", "subject": OURS, "topic": topic,
        "events": events - FILL_WARM_UP, "warm_up": FILL_WARM_UP,
    }  # fmt: skip
    with Child("benchmarks.subjects.sending", given) as child:
        child.ask()
    broker.require_count(topic, events)


def _read(broker: Broker, topic: str, subject: str, events: int) -> dict[str, float]:
    given = {"bootstrap_servers": broker.bootstrap_servers, "topic": topic, "events": events, "subject": subject}
    with Child("benchmarks.subjects.reading", given) as child:
        return child.ask()
