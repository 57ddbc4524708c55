"""How fast the journal of a dead process is delivered, against a plain producer that sends the same events.

Method: a process fills its journal with a million events for a Kafka that it never reaches, with the note of each start
as it is by default, and is killed. A new one of the same service adopts the journal and delivers it, by kafka-python, and another
journal by confluent-kafka: the clock runs
from before `configure()` until the last event is acknowledged. Then the account, the topic's end offsets, and an empty
directory must say that everything was delivered once. Compression is zstd. The journal was just written, so it is read
from the page cache.

Fair, because the plain producer sends the very same values and keys with the same options, half of them before ours and
half of them after, so that a machine which gets busier shows as a range. It is spared reading, decoding, the headers and
choosing partitions, and is handed portions of the size that suits it best: it is what kafka-python itself can do here.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from benchmarks.broker import Broker
from benchmarks.children import BenchmarkError, Child, journal_directory
from benchmarks.progress import say
from benchmarks.report import Goal, Result, row
from benchmarks.subjects.names import BY_CONFLUENT, OURS, RAW

__all__ = ["measure"]

GOAL = Goal("ours", 20_000.0, at_least=True)
GOAL_OF_CONFLUENT = Goal("ratio", 1.0, at_least=True)


def measure(broker: Broker, *, is_quick: bool) -> Result:
    """A plain producer; fill, kill, replay, by each client; a plain producer."""
    events = 10_000 if is_quick else 1_000_000
    given: dict[str, Any] = {
        "bootstrap_servers": broker.bootstrap_servers, "compression": "zstd", "began_s": time.time()
    }  # fmt: skip
    raw = [_raw(broker, {**given, "first": 0, "events": events // 2})]
    ours = _ours(broker, {**given, "events": events})
    by_confluent = _ours(broker, {**given, "events": events, "client": "confluent"})
    raw.append(_raw(broker, {**given, "first": events // 2, "events": events // 2}))
    rows = [
        row(
            "replay",
            f"{events:,} events of a dead process, zstd{by}: {name}",
            RAW,
            unit,
            [told[figure]] * len(raw),
            [figures[figure] for figures in raw],
            None if goal is None else share,
        )
        for by, told, share in (("", ours, GOAL), (", by confluent-kafka", by_confluent, GOAL_OF_CONFLUENT))
        for figure, name, unit, goal in (
            ("events_a_second", "acknowledged", "events/s", GOAL),
            ("cpu_us", "CPU of the process an event", "µs", None),
        )
    ]
    return Result(rows, {"events": events, "compression": "zstd", OURS: ours, BY_CONFLUENT: by_confluent, RAW: raw})


def _raw(broker: Broker, given: dict[str, Any]) -> dict[str, Any]:
    say(f"replay: {given['events']:,} events by {RAW}")
    with broker.topic() as topic:
        return _deliver(broker, {**given, "subject": RAW, "topic": topic})


def _ours(broker: Broker, given: dict[str, Any]) -> dict[str, Any]:
    say(f"replay: {given['events']:,} events into a journal")
    with journal_directory() as journals, broker.topic() as topic:
        given = {**given, "subject": OURS, "topic": topic}
        with Child("benchmarks.subjects.filling", given, journals) as filler:
            filled = filler.ask()
            filler.kill()
        if filled["problem"] is not None:
            raise BenchmarkError(f"the journal could not be filled: {filled['problem']}")
        say(f"replay: {filled['bytes'] / 1e6:,.0f} MB were left; another process delivers them")
        figures = _deliver(broker, {**given, "producer_id": filled["producer_id"]}, journals)
        left = [path.name for path in journals.iterdir()]
    if left:
        raise BenchmarkError(f"everything was delivered, and {', '.join(left)} stayed in the journal's directory")
    return {**figures, "journal_bytes": filled["bytes"]}


def _deliver(broker: Broker, given: dict[str, Any], journals: Path | None = None) -> dict[str, Any]:
    with Child("benchmarks.subjects.replaying", given, journals) as child:
        figures = child.ask()
    broker.require_count(given["topic"], given["events"])
    return figures
