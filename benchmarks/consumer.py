"""How many events a second a typed consumer hands out, against a plain kafka-python consumer that decodes their JSON.

Method: a burst of real events, as `throughput` sends it, is on a topic. One process reads all of it in turns, ours and the
plain one, each time as a new group; the clock runs from some events after the first until the last. Ours is
`for event in OutcomeConsumer(…)` by default: checked and typed events, headers, repeats dropped, offsets committed once a
second. In each turn the other one begins.

Fair, because both are members of a group with the same fetch sizes and commit as often, in one process at one time after
another; the plain one polls, which is quicker than to iterate, and decodes by `json.loads`, as its documentation does.
Beside a stricter one, that decodes by msgspec, as ours does.
"""

from __future__ import annotations

from benchmarks.broker import Broker
from benchmarks.children import Child
from benchmarks.progress import say
from benchmarks.report import Goal, Result, row
from benchmarks.subjects.names import OURS, RAW

__all__ = ["measure"]

STRICT = f"{RAW}, msgspec"
SHARE = Goal("ratio", 0.7, at_least=True)


def measure(broker: Broker, *, is_quick: bool) -> Result:
    """Fill a topic, and read it in turns."""
    turns, events, warm_up = (2, 2_000, 200) if is_quick else (6, 40_000, 2_000)
    names = (OURS, RAW, STRICT)
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    with broker.topic() as topic:
        given = {"bootstrap_servers": broker.bootstrap_servers, "topic": topic, "events": events, "warm_up": warm_up}
        say(f"consumer: {warm_up + events:,} events onto a topic")
        with Child("benchmarks.subjects.sending", {**given, "subject": OURS}) as sender:
            sender.ask()
        broker.require_count(topic, warm_up + events)
        with Child("benchmarks.subjects.reading", given) as reader:
            for turn in range(turns):
                say(f"consumer: turn {turn + 1} of {turns}, {events:,} events, ours and plain ones")
                first = turn % len(names)
                for name in (*names[first:], *names[:first]):
                    rounds[name].append(reader.ask(subject=name))
    rows = [
        row(
            "consumer",
            f"handed out{name}",
            against,
            unit,
            [figures[figure] for figures in rounds[OURS]],
            [figures[figure] for figures in rounds[against]],
            goal,
        )
        for against in (RAW, STRICT)
        for figure, name, unit, goal in (
            ("events_a_second", ", our share", "events/s", SHARE if against == RAW else None),
            ("cpu_us", ": CPU of the process an event", "µs", None),
        )
    ]
    return Result(rows, {"turns": turns, "events": events, "warm_up": warm_up, "rounds": rounds})
