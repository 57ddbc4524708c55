"""A process with a plain kafka-python consumer, as it is by default, that notes when each event arrived.

An event has arrived when `poll()` has returned it. Wall clocks are compared, so both processes are on one machine.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec

from benchmarks.children import BenchmarkError, arguments, serve

__all__ = ["Consumer"]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


class _Ended(msgspec.Struct):
    end_time: datetime


class Consumer:
    """Reads one topic from its beginning."""

    def __init__(self, bootstrap_servers: str, topic: str) -> None:
        from kafka import KafkaConsumer

        self._consumer: Any = KafkaConsumer(
            topic, bootstrap_servers=bootstrap_servers, group_id=None, auto_offset_reset="earliest"
        )
        self._decode = msgspec.json.Decoder(_Ended).decode

    def receive(self, count: int, timeout_s: float) -> list[float]:
        """Return, for the next `count` events, the milliseconds from their end to their arrival.

        Raises:
            BenchmarkError: They did not come in time.
        """
        latencies_ms: list[float] = []
        deadline = time.monotonic() + timeout_s
        while len(latencies_ms) < count:
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{len(latencies_ms)} of {count} events arrived within {timeout_s:g} s")
            batches = self._consumer.poll(timeout_ms=200)
            arrived_us = time.time_ns() / 1e3
            for batch in batches.values():
                for record in batch:
                    ended_us = (self._decode(record.value).end_time - _EPOCH) / _MICROSECOND
                    latencies_ms.append((arrived_us - ended_us) / 1e3)
        return latencies_ms

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()


def _main() -> None:
    given = arguments()
    consumer = Consumer(given["bootstrap_servers"], given["topic"])

    def answer(request: Mapping[str, Any]) -> Mapping[str, list[float]]:
        return {"latencies_ms": consumer.receive(request["count"], request["timeout_s"])}

    serve(answer)
    consumer.close()


if __name__ == "__main__":
    _main()
