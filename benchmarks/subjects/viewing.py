"""A process that writes a log file of records as they come, and is asked for windows: of a store, and of its outcomes alone."""

from __future__ import annotations

import heapq
import random
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks.children import BenchmarkError, arguments, serve
from benchmarks.subjects.names import DEDUPLICATED, RATED, WINDOWS
from benchmarks.subjects.workload import same_events
from otel_feedback import Feedback, OutcomeEvent, OutcomeStatus
from otel_feedback.downstream.tables.stored import open_store
from otel_feedback.downstream.tables.tables import Tables

BEGAN: Final = datetime(2026, 3, 2, tzinfo=timezone.utc)
OVER: Final = timedelta(days=2)
STATUSES: Final = [OutcomeStatus(each) for each in ("success",) * 8 + ("failure", "timeout")]
LATER: Final = 5_000
"""How many records later a revision or a repeat may come."""


def records(count: int) -> Iterator[OutcomeEvent]:
    """Yield so many records in the order in which they arrive: of 100 some 8 are revisions, 4 repeats, 5 are under way."""
    lot = random.Random(count)
    waiting: list[tuple[int, int, OutcomeEvent]] = []
    sent = 0
    for number, plain in enumerate(same_events(count, BEGAN.timestamp())):
        while waiting and waiting[0][0] <= sent:
            yield heapq.heappop(waiting)[2]
            sent += 1
        ended = _ended(lot, plain, BEGAN + OVER * (number / count))
        chance = lot.random()
        later = [_revised(ended)] if chance < 0.08 else [ended] if chance < 0.12 else []
        for record in [_pending(ended), ended] if chance > 0.95 else [ended]:
            yield record
            sent += 1
        for record in later:
            heapq.heappush(waiting, (sent + lot.randrange(LATER), number, record))


def _ended(lot: random.Random, plain: OutcomeEvent, at: datetime) -> OutcomeEvent:
    took_ms = round(lot.lognormvariate(6, 1), 3)
    return msgspec.structs.replace(
        plain, status=lot.choice(STATUSES), severity=None, tenant_id=lot.choice(("acme", "globex", "initech")),
        agent_name=lot.choice(("planner", "researcher", "writer")), action_type=lot.choice(("plan", "tool", "write")),
        timestamp=at, end_time=at, start_time=at - timedelta(milliseconds=took_ms), latency_ms=took_ms, duration_ms=took_ms,
        own_cost=lot.random() / 100, quality_score=lot.random() if lot.random() < 0.3 else None,
    )  # fmt: skip


def _revised(ended: OutcomeEvent) -> OutcomeEvent:
    return msgspec.structs.replace(ended, revision=2, own_cost=(ended.own_cost or 0) + 0.01)


def _pending(ended: OutcomeEvent) -> OutcomeEvent:
    return msgspec.structs.replace(
        ended, revision=0, status=OutcomeStatus.PENDING, severity=None, timestamp=ended.start_time or ended.timestamp,
        end_time=None, latency_ms=None, duration_ms=None, own_tokens=None, own_cost=None, quality_score=None,
    )  # fmt: skip


def _said(lot: random.Random, of: OutcomeEvent) -> Feedback:
    target: dict[str, Any] = {"target": "event", "event_id": of.event_id}
    if lot.random() < 0.1:
        target = {"target": "run", "run_id": of.run_id}
    return Feedback(
        feedback_id=of.event_id, **target, tenant_id=of.tenant_id, timestamp=of.timestamp + timedelta(minutes=1),
        name="user_rating", source="human", score=lot.random(),
    )  # fmt: skip


class _Asked:
    def __init__(self, folder: Path) -> None:
        self._log, self._store, self._plain = folder / "outcomes.jsonl", folder / "store", folder / "outcomes.parquet"
        self._rated, self._feedback = folder / "rated", folder / "feedback.jsonl"
        self._answers: dict[str, int] = {}

    def answer(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        match request["do"]:
            case "fill":
                return self._fill(request["records"])
            case "deduplicate":
                return self._deduplicate()
            case name:
                began_s = time.perf_counter()
                with self._opened(name) as tables:
                    rows = tables.query("SELECT * FROM windows")
                took_ms = (time.perf_counter() - began_s) * 1e3
                self._answers[name] = sum(row[4] for row in rows)
                if name == RATED and not sum(row[-2] for row in rows):
                    raise BenchmarkError("no feedback was joined")
                if len(set(self._answers.values())) > 1:
                    raise BenchmarkError(f"the answers differ: {self._answers} executions")
                return {"ms": took_ms, "rows": len(rows)}

    def _opened(self, name: str) -> Tables:
        if name in (WINDOWS, RATED):
            return open_store(self._store if name == WINDOWS else self._rated)
        assert name == DEDUPLICATED
        tables = Tables()
        outcomes = f"SELECT * FROM read_parquet('{self._plain}')"
        tables.make_views(outcomes, outcomes)
        return tables

    def _fill(self, count: int) -> Mapping[str, Any]:
        lot = random.Random(count)
        with self._log.open("wb") as file, self._feedback.open("wb") as feedback:
            for _, record in zip(range(count), records(count), strict=False):
                file.write(record.to_json().encode() + b"\n")
                if record.revision == 1 and lot.random() < 0.1:
                    feedback.write(_said(lot, record).to_json().encode() + b"\n")
        return {"log_mb": self._log.stat().st_size / 1e6}

    def _deduplicate(self) -> Mapping[str, Any]:
        with open_store(self._store) as tables:
            tables.connection.execute(f"COPY (SELECT * FROM outcomes_alone) TO '{self._plain}' (FORMAT parquet)")
            [(events,)] = tables.query("SELECT count(*) FROM events")
            [(outcomes,)] = tables.query("SELECT count(*) FROM outcomes")
        return {"events": events, "outcomes": outcomes}


if __name__ == "__main__":
    serve(_Asked(Path(arguments()["folder"])).answer)
