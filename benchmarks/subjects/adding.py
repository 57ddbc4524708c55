"""A process that writes to a store so many events a second, as the store's writer does."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

from benchmarks.children import BenchmarkError, arguments, serve
from otel_feedback import OutcomeEvent, OutcomeStatus
from otel_feedback.downstream.store.folder import StoreFolder
from otel_feedback.downstream.store.keeping import Limits
from otel_feedback.downstream.store.rows import row_of_line
from otel_feedback.downstream.store.writer import Batch, StoreWriter

FLUSH_S = 0.5


def _event(number: int) -> OutcomeEvent:
    now = datetime.now(timezone.utc)
    status = OutcomeStatus.FAILURE if number % 13 == 0 else OutcomeStatus.SUCCESS
    return OutcomeEvent(
        action_type=("plan", "search", "write")[number % 3], status=status, agent_name=f"agent-{number % 12}",
        tenant_id=f"tenant-{number % 20}", run_id=f"live-{number // 9}", end_time=now, start_time=now, latency_ms=400.0,
        duration_ms=400.0, own_tokens=number % 9_000, own_cost=0.01, model="gpt-4o", tags=("support",),
    )  # fmt: skip


def _main() -> None:
    given = arguments()

    def answer(_request: Mapping[str, object]) -> Mapping[str, float]:
        folder, number = StoreFolder(Path(given["store"])), 0
        with folder.writing():
            writer = StoreWriter(folder, Limits(), _fail, _fail)
            writer.start()
            began_s, cpu_s = time.monotonic(), time.process_time()
            while (now_s := time.monotonic() - began_s) < given["seconds"]:
                batch = Batch()
                while number < (now_s + FLUSH_S) * given["rate"]:
                    batch.add(row_of_line(_event(number).to_json().encode(), b'"live"', number))
                    number += 1
                writer.put(batch, 60.0)
                time.sleep(max(0.0, now_s + FLUSH_S - (time.monotonic() - began_s)))
            share = 100 * (time.process_time() - cpu_s) / (time.monotonic() - began_s)
            writer.close()
        return {"cpu": share, "events": number}

    serve(answer)


def _fail(what: str | bytes, why: str) -> None:
    raise BenchmarkError(f"the store says: {what!r} {why}")


if __name__ == "__main__":
    _main()
