"""How many events a second go to topics of tenants, and come from them, against one topic with the same events.

    python -m benchmarks.tenants [EVENTS] [TURNS] [TENANTS]

Method: as `throughput` and `consumer` do it, in turns, each burst and each reader a process of its own. Each run is of one tenant,
the runs of all tenants in turns. The one topic has six partitions, each tenant's has one; all are there before the clock starts,
and go after the round. The ratio is that of topics of tenants to one topic. Apart from the other measurements: it makes topics by
the hundred.
"""

from __future__ import annotations

import json
import re
import secrets
import sys
from typing import Any

from benchmarks.broker import PARTITIONS
from benchmarks.children import Child
from benchmarks.progress import say
from benchmarks.report import row
from benchmarks.subjects.names import OURS
from benchmarks.subjects.workload import tenant_of
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker

EVENTS = 40_000
TURNS = 5
TENANTS = 100
WARM_UP = 2_000
ONE, MANY = "one topic", "topics of tenants"
Rounds = dict[str, list[dict[str, float]]]


def measure(events: int, turns: int, tenants: int) -> dict[str, Rounds]:
    """Return the figures of each turn, by what was done, and to which topics."""
    found: dict[str, Rounds] = {what: {ONE: [], MANY: []} for what in ("sent", "read")}
    with KafkaBroker.launch() as broker:
        for turn in range(turns):
            for name in (ONE, MANY) if turn % 2 else (MANY, ONE):
                say(f"tenants: turn {turn + 1} of {turns}, {events:,} events of {tenants} tenants, {name}")
                base = f"benchmark-{secrets.token_hex(6)}"
                broker.create_topic(base, PARTITIONS)
                if name == MANY:
                    names = [f"{base}.{tenant_of(number, tenants)}" for number in range(tenants)]
                    kafka_clients.create_topics(broker.bootstrap_servers, names)
                given: dict[str, Any] = {
                    "bootstrap_servers": broker.bootstrap_servers, "compression": "zstd", "subject": OURS, "tenants": tenants,
                    "topic": f"{base}.{{tenant}}" if name == MANY else base, "events": events, "warm_up": WARM_UP,
                }  # fmt: skip
                with Child("benchmarks.subjects.sending", given) as child:
                    found["sent"][name].append(child.ask())
                with Child("benchmarks.subjects.reading", given) as child:
                    found["read"][name].append(child.ask(subject=OURS))
                kafka_clients.delete_topics(broker.bootstrap_servers, re.escape(base) + ".*")
    return found


def main() -> None:
    """Measure, and write JSON to stdout."""
    given = [int(each) for each in sys.argv[1:]]
    events, turns, tenants = [*given, *(EVENTS, TURNS, TENANTS)[len(given) :]]
    rounds = measure(events, turns, tenants)
    rows = [
        row(
            "tenants",
            f"{what}, {figure}",
            ONE,
            unit,
            [one[figure] for one in of[MANY]],
            [one[figure] for one in of[ONE]],
        )
        for what, of in rounds.items()
        for figure, unit in (("events_a_second", "events/s"), ("cpu_us", "µs"))
    ]
    told = [
        {"name": one.name, "unit": one.unit, "tenants": one.ours, "one": one.baseline, "ratio": one.ratio.median}
        for one in rows
    ]
    print(json.dumps({"events": events, "tenants": tenants, "turns": turns, "rows": told, "rounds": rounds}))


if __name__ == "__main__":
    main()
