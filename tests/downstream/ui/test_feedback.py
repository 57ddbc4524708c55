"""What a request sees of feedback: that on what it may see, of a run and of an agent; and nothing where there is none."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from otel_feedback import Feedback, OutcomeEvent
from otel_feedback.downstream.learning.feedback.told import feedback_told, of_agent, of_run
from otel_feedback.downstream.store.folder import StoreFolder
from otel_feedback.downstream.ui.mirror import Mirror
from tests.downstream.topics import event
from tests.downstream.ui.serve import write
from tests.stack.waiting import wait_until

AT = datetime.now(timezone.utc) - timedelta(minutes=5)


def ended(number: int, run: str, tenant: str, **fields: Any) -> OutcomeEvent:
    return event(number, run_id=run, tenant_id=tenant, agent_name="planner", timestamp=AT, end_time=AT, **fields)


def said(number: int, of: str, score: float, **fields: Any) -> Feedback:
    more: dict[str, Any] = {"name": "user_rating", "source": "human", "timestamp": AT + timedelta(seconds=90), **fields}
    return Feedback(feedback_id=f"id-{number}", target="event", event_id=of, score=score, **more)


@contextlib.contextmanager
def mirror_of(path: Path) -> Generator[Mirror, None, None]:
    mirror = Mirror(StoreFolder(path))
    mirror.start()
    try:
        wait_until(lambda: mirror.manifest.rows > 0, timeout_s=60, what="the store")
        yield mirror
    finally:
        mirror.close()


def told(mirror: Mirror, tenant: str | None, condition: str) -> tuple[Any, ...]:
    with mirror.open(tenant) as reader:
        reader.open_stored(only=condition)
        reader.open_feedback()
        found = feedback_told(reader.rows, condition)
        assert reader.rows("SELECT coalesce(sum(feedback_count), 0)::INT AS n FROM outcomes") == [{"n": found["count"]}]
    return found["score"], found["count"], found["coverage"], [one["delay_s"] for one in found["given"]]


def test_a_reader_sees_what_was_said_of_what_it_may_see(tmp_path: Path) -> None:
    events = [ended(1, "run-a", "acme"), ended(2, "run-a", "acme"), ended(3, "run-g", "globex")]
    given = [
        said(1, events[0].event_id, 0.25, tenant_id="acme"), said(2, events[2].event_id, 1.0),
        said(3, events[1].event_id, 1.0, tenant_id="globex"),
    ]  # fmt: skip
    write(StoreFolder(tmp_path), events, given=given)
    with mirror_of(tmp_path) as mirror:
        assert told(mirror, None, of_run("run-a")) == (0.25, 1, 0.5, [90.0])
        assert told(mirror, "acme", of_agent("planner")) == (0.25, 1, 0.5, [90.0])
        assert told(mirror, "globex", of_agent("planner")) == (1.0, 1, 1.0, [90.0])
        assert told(mirror, "globex", of_run("run-a")) == (None, 0, None, [])
        with mirror.open("globex") as reader:
            reader.open_stored()
            reader.open_feedback()
            assert [row["feedback_id"] for row in reader.rows("SELECT feedback_id FROM feedback")] == ["id-2"]


def test_a_store_without_any_has_none(tmp_path: Path) -> None:
    write(StoreFolder(tmp_path), [ended(1, "run-a", "acme")])
    with mirror_of(tmp_path) as mirror:
        assert told(mirror, None, of_run("run-a")) == (None, 0, 0.0, [])
