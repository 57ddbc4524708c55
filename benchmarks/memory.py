"""What a million pending events take of memory, against the same process when it is idle and connected.

Method: a process delivers some events, so that its producer is connected, its ring of recent events full and its caches
warm; what it takes then, idle, is the baseline. Then the broker is stopped (SIGSTOP: connections stay open, nothing is
answered), which is the worst way to be away: the producer goes on holding what it was given. A million actions later
the account must say that all of them are pending and none is lost. After a minute the worker gives the producer up and
reads from disk what that held: measured once more then.

Figures are the kernel's, of the one process: RSS is RssAnon (the heap) and RssFile (libraries, mapped files). The pages
of the journal's files are the page cache's, which counts for no process and which the kernel takes back when it likes.
"""

from __future__ import annotations

from typing import Any

from benchmarks.broker import Broker
from benchmarks.children import Child
from benchmarks.progress import say
from benchmarks.report import Goal, Result, Row, row

__all__ = ["measure"]

GOAL = Goal("growth", 32.0)
WARM_UP = 2_000

_FIGURES = (
    ("rss_mb", "RSS", GOAL),
    ("peak_mb", "peak RSS on the way", GOAL),
    ("anonymous_mb", "RssAnon", None),
    ("file_mb", "RssFile", None),
)


def measure(broker: Broker, *, is_quick: bool) -> Result:
    """Look before, and with everything pending.

    Raises:
        ServiceUnavailable: The broker is somebody else's, and cannot be stopped.
    """
    events = 10_000 if is_quick else 1_000_000
    with broker.topic() as topic:
        given: dict[str, Any] = {
            "bootstrap_servers": broker.bootstrap_servers, "topic": topic, "compression": "gzip",
        }  # fmt: skip
        with Child("benchmarks.subjects.piling", given) as child:
            idle = child.ask(duty="deliver", events=WARM_UP)
            broker.require_count(topic, WARM_UP)
            say(f"memory: {events:,} events for a broker that hangs")
            with broker.paused():
                found = {f"{events:,} pending": child.ask(duty="pile", events=events)}
                if not is_quick:
                    say("memory: waiting until the producer is given up")
                    found["after the producer was given up"] = child.ask(duty="wait_for_retry", events=events)
                child.kill()
    rows = [
        _row(f"{state}: {name}", figure, memory, idle, goal)
        for state, memory in found.items()
        for figure, name, goal in _FIGURES
    ]
    growth = {state: (memory["rss_mb"] - idle["rss_mb"]) * 1e6 / events for state, memory in found.items()}
    return Result(rows, {"events": events, "idle": idle, "found": found, "bytes an event": growth})


def _row(name: str, figure: str, memory: dict[str, float], idle: dict[str, float], goal: Goal | None) -> Row:
    # when idle, the peak is what is taken then
    before = idle["rss_mb" if figure == "peak_mb" else figure]
    return row("memory", name, "idle, connected", "MB", [memory[figure]], [before], goal)
