"""`python -m benchmarks`: all measurements, or some, in one run; a table on stdout, progress on stderr.

Ends with 0 when every measurement could be made, whether or not goals were met: a busy machine must not look like a
defect. Ends with 1 when one could not be made, and says why; the others are reported all the same.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from benchmarks import (
    action,
    browsing,
    choosing,
    consumer,
    conversion,
    dispatch,
    export,
    latency,
    memory,
    pieces,
    replay,
    startup,
    store,
    throughput,
    versions,
    views,
)
from benchmarks.broker import Broker
from benchmarks.command import command
from benchmarks.progress import say
from benchmarks.report import Report, Result, telling
from tests.stack.errors import StackError

WITH_OR_WITHOUT = {"action": action.measure, "export": export.measure}
WITHOUT_BROKER = {
    "startup": startup.measure,
    "pieces": pieces.measure,
    "dispatch": dispatch.measure,
    "choosing": choosing.measure,
    "conversion": conversion.measure,
    "views": views.measure,
    "browsing": browsing.measure,
}
WITH_BROKER = {
    **WITH_OR_WITHOUT,
    "throughput": throughput.measure,
    "consumer": consumer.measure,
    "latency": latency.measure,
    "store": store.measure,
    "replay": replay.measure,
    "memory": memory.measure,
}
NAMES = (*WITHOUT_BROKER, *WITH_BROKER)


def run(names: Sequence[str], *, is_quick: bool) -> Report:
    """Make the measurements of these names, one after the other."""
    found = {**versions.of_machine(), "load at the start": versions.load()}
    results: dict[str, Result] = {}
    failed: dict[str, str] = {}
    for name, measure in WITHOUT_BROKER.items():  # before there is a broker, which takes CPU of its own
        if name in names:
            with telling(failed, name):
                results[name] = measure(is_quick=is_quick)
    wanted = [name for name in WITH_BROKER if name in names]
    if wanted:
        try:
            _run_with_broker(wanted, is_quick, found, results, failed)
        except StackError as exc:
            say(f"no broker: {exc}")
            failed |= {f"{name}, Kafka there" if name in WITH_OR_WITHOUT else name: str(exc) for name in wanted}
            for name, measure in WITH_OR_WITHOUT.items():
                if name in wanted:
                    with telling(failed, name):
                        results[name] = measure(None, is_quick=is_quick)
    found["load at the end"] = versions.load()
    return Report(found, is_quick, results, failed)


def _run_with_broker(
    names: Sequence[str], is_quick: bool, found: dict[str, str], results: dict[str, Result], failed: dict[str, str]
) -> None:
    with Broker.launch() as broker:
        found["broker"] = f"Apache Kafka {broker.version()}"
        for name in names:
            with telling(failed, name):
                results[name] = WITH_BROKER[name](broker, is_quick=is_quick)


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    return command("python -m benchmarks", __doc__, NAMES, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
