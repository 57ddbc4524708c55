"""How long after its end an action is in a consumer's hands, at 1,000 events a second, against a plain producer.

Method: an agent's process and a consumer's process, so that they share no interpreter lock; events at an even pace;
latency is the consumer's clock when `poll()` returned the event, minus the event's own `end_time` (one machine, one
clock). The first second, in which connections are made, is not counted. Ours, with its journal on disk as it is by
default, and the plain producer take turns.

Fair, because the plain producer makes, encodes and sends an event like ours, with the same batch size, linger,
compression, acknowledgements, key, headers and partitioning. What it has not is our worker, which by KAFKA_LINGER_MS
(75 ms) gives events time to travel together, and which keeps the agent's thread free of the producer.
"""

from __future__ import annotations

from typing import Any

from benchmarks.broker import Broker
from benchmarks.children import Child
from benchmarks.progress import say
from benchmarks.report import Goal, Result, row
from benchmarks.subjects.names import OURS, RAW
from benchmarks.summary import percentile

__all__ = ["measure"]

RATE = 1_000
WARM_UP_S = 1.0
GOALS = {50: 60.0, 99: 250.0}


def measure(broker: Broker, *, is_quick: bool) -> Result:
    """Run all rounds."""
    turns, seconds = (1, 1.0) if is_quick else (3, 6.0)
    rounds: dict[str, list[dict[str, float]]] = {OURS: [], RAW: []}
    for turn in range(turns):
        for subject, found in rounds.items():
            say(f"latency: turn {turn + 1} of {turns}, {RATE:,} events a second for {seconds:g} s, {subject}")
            found.append(_round(broker, subject, seconds))
    rows = [
        row(
            "latency",
            f"action end to consumer, journal on disk: p{percent}",
            RAW,
            "ms",
            [figures[f"p{percent}_ms"] for figures in rounds[OURS]],
            [figures[f"p{percent}_ms"] for figures in rounds[RAW]],
            Goal("ours", limit_ms),
        )
        for percent, limit_ms in GOALS.items()
    ]
    return Result(rows, {"turns": turns, "seconds": seconds, "rate": RATE, "compression": "gzip", "rounds": rounds})


def _round(broker: Broker, subject: str, seconds: float) -> dict[str, float]:
    with broker.topic() as topic:
        given: dict[str, Any] = {
            "bootstrap_servers": broker.bootstrap_servers, "topic": topic, "compression": "gzip", "subject": subject,
        }  # fmt: skip
        with (
            Child("benchmarks.subjects.consuming", given) as consumer,
            Child("benchmarks.subjects.pacing", given) as agent,
        ):
            _play(consumer, agent, WARM_UP_S)
            rate, latencies_ms = _play(consumer, agent, seconds)
        broker.require_count(topic, int(RATE * WARM_UP_S) + int(RATE * seconds))
    return {"rate": rate, **{f"p{percent}_ms": percentile(latencies_ms, percent) for percent in (50, 90, 99, 100)}}


def _play(consumer: Child, agent: Child, seconds: float) -> tuple[float, list[float]]:
    consumer.send(count=int(RATE * seconds), timeout_s=seconds + 60)
    rate: float = agent.ask(rate=RATE, seconds=seconds)["rate"]
    latencies_ms: list[float] = consumer.receive()["latencies_ms"]
    return rate, latencies_ms
