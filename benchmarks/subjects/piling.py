"""A process whose events pile up because its broker hangs, and what it takes of memory before and meanwhile."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Mapping
from typing import Any

from benchmarks.children import BenchmarkError, arguments, serve
from benchmarks.subjects.memory import Memory, forget_peak
from benchmarks.subjects.producing import configure, flush, require_journal
from benchmarks.subjects.workload import one_action, run_of

IDLE_S = 1.0
GIVE_UP_TIMEOUT_S = 180.0


class _Agent:
    def __init__(self, given: dict[str, Any]) -> None:
        self._pipeline = configure(given)
        self._count = 0
        self._retries = 0

    def deliver(self, events: int) -> Memory:
        """Record events and see them delivered; return what is taken of memory when nothing is left to do."""
        self._record(events)
        flush(self._pipeline, self._count)
        self._retries = self._kafka()["retries"]
        time.sleep(IDLE_S)
        gc.collect()
        forget_peak()
        return Memory.now()

    def pile(self, events: int) -> Memory:
        """Record events that nobody takes.

        Raises:
            BenchmarkError: Some were delivered or lost, or are not on disk.
        """
        self._record(events)
        memory = Memory.now()
        self._require_pending(events)
        return memory

    def wait_for_retry(self, events: int) -> Memory:
        """Wait until the producer that was connected has been given up, and what it held is read from disk again.

        Raises:
            BenchmarkError: That does not happen.
        """
        deadline = time.monotonic() + GIVE_UP_TIMEOUT_S
        while self._kafka()["retries"] == self._retries:
            if time.monotonic() > deadline:
                raise BenchmarkError(f"the producer was not given up within {GIVE_UP_TIMEOUT_S:g} s")
            time.sleep(0.1)
        time.sleep(IDLE_S)
        memory = Memory.now()
        self._require_pending(events)
        return memory

    def _record(self, events: int) -> None:
        for number in range(self._count, self._count + events):
            one_action(run_of(number))
        self._count += events

    def _require_pending(self, events: int) -> None:
        account = self._kafka()
        if account["pending"] != events or account["lost"]:
            raise BenchmarkError(f"{events} events were to be pending: {account}")
        require_journal(self._pipeline, "disk")

    def _kafka(self) -> Mapping[str, Any]:
        account: Mapping[str, Any] = self._pipeline.metrics()["exporters"]["kafka"]
        return account


def _main() -> None:
    logging.disable()  # a broker that hangs is what is asked for
    agent = _Agent(arguments())
    duties = {"deliver": agent.deliver, "pile": agent.pile, "wait_for_retry": agent.wait_for_retry}
    serve(lambda request: duties[request["duty"]](request["events"])._asdict())


if __name__ == "__main__":
    _main()
