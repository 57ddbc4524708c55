"""10,000 dispatches at once, of which any may fail, be late or be cancelled: one final event each, and the right one."""

from __future__ import annotations

import asyncio
import collections
import random
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from opentelemetry.sdk.trace import TracerProvider

import otel_feedback as feedback
from tests.conftest import assert_balanced
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker

DISPATCHES = 10_000
AT_A_TIME = 300
CANCELLED_SHARE = 0.25
CANCELLED_WITHIN_S = 2.0
TIMEOUT_S = 0.02
TOPIC = "outcomes-of-a-storm"


async def succeed(number: int) -> dict[str, Any]:
    await asyncio.sleep(random.random() * 0.01)
    return {"tokens_used": number}


async def fail(number: int) -> None:
    await asyncio.sleep(random.random() * 0.01)
    raise ValueError(number)


async def hang(number: int) -> None:
    await asyncio.sleep(60)


def succeed_plainly(number: int) -> dict[str, Any]:
    time.sleep(random.random() * 0.005)
    return {"tokens_used": number}


def fail_plainly(number: int) -> None:
    raise ValueError(number)


def overrun_plainly(number: int) -> None:
    time.sleep(10 * TIMEOUT_S)


class Plan(NamedTuple):
    """What a dispatch is about, and how it ends unless it is cancelled."""

    agent: Callable[[int], Any]
    status: str
    timeout_s: float | None = None
    retries: int = 0


PLANS = [
    Plan(succeed, "success"),
    Plan(succeed, "success", timeout_s=60),
    Plan(fail, "failure"),
    Plan(fail, "failure", retries=1),
    Plan(hang, "timeout", timeout_s=TIMEOUT_S),
    Plan(succeed_plainly, "success"),
    Plan(fail_plainly, "failure", timeout_s=60),
    Plan(overrun_plainly, "timeout", timeout_s=TIMEOUT_S),
]


class Storm:
    """All dispatches, and what their callers saw of each."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._dispatcher = feedback.ActionDispatcher(max_concurrency=AT_A_TIME, backoff_s=0.001)
        self.plans = [self._random.choice(PLANS) for _ in range(DISPATCHES)]
        self.seen: dict[int, str] = {}

    async def run(self) -> None:
        """Return when every dispatch has ended."""
        tasks = [asyncio.ensure_future(self._one(number)) for number in range(DISPATCHES)]
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0)  # all have begun
        for task in tasks:
            if self._random.random() < CANCELLED_SHARE:
                loop.call_later(self._random.random() * CANCELLED_WITHIN_S, task.cancel)
        await asyncio.wait(tasks)

    async def _one(self, number: int) -> None:
        agent, _, timeout_s, retries = self.plans[number]
        try:
            result = await self._dispatcher.dispatch(
                agent, "work", number, metadata={"number": number}, timeout_s=timeout_s, retries=retries
            )
        except asyncio.CancelledError:
            self.seen[number] = "cancelled"
            raise
        self.seen[number] = result["status"]


def test_each_dispatch_has_one_final_event_with_the_right_status(kafka_broker: KafkaBroker) -> None:
    kafka_broker.create_topic(TOPIC, partitions=6)
    pipeline = feedback.configure(
        tracer_provider=TracerProvider(shutdown_on_exit=False),
        kafka_bootstrap_servers=kafka_broker.bootstrap_servers,
        kafka_outcome_topic=TOPIC,
        enable_outcome_logging=False,
        emit_pending=True,  # so that what is final must be told from what is not
    )
    storm = Storm(seed := random.randrange(2**32))
    started = time.monotonic()
    asyncio.run(storm.run())
    took_s = time.monotonic() - started
    assert pipeline.shutdown(60) is True
    assert_balanced(pipeline)

    final: dict[str, feedback.OutcomeEvent] = {}
    for record in kafka_clients.read_to_end(kafka_broker.bootstrap_servers, TOPIC):
        event = feedback.OutcomeEvent.from_json(record.value or b"")
        known = final.get(event.event_id)
        if known is None or event.revision > known.revision:
            final[event.event_id] = event
    numbers = [event.metadata["number"] for event in final.values()]
    assert sorted(numbers) == list(range(DISPATCHES)), f"one event each; seed {seed}"
    assert {event.revision for event in final.values()} == {1}, f"each has ended; seed {seed}"

    told = {int(str(event.metadata["number"])): event for event in final.values()}
    wrong = [(n, event.status, storm.seen[n]) for n, event in told.items() if event.status != storm.seen[n]]
    assert wrong == [], f"what the caller saw is what the event says; seed {seed}"
    statuses = collections.Counter(storm.seen.values())
    for number, plan in enumerate(storm.plans):
        event = told[number]
        assert event.status in (plan.status, "cancelled"), f"{number}; seed {seed}"
        assert event.tokens_used == (number if event.status == "success" else None)
        is_left = event.metadata.get("thread_left_running", False)
        # the loop is so busy at times that it learns of a thread's end before it looks at the time
        assert not is_left or (event.status in ("timeout", "cancelled") and plan.agent.__name__.endswith("_plainly"))
    assert min(statuses[status] for status in ("success", "failure", "timeout", "cancelled")) > DISPATCHES / 20
    assert sum(event.metadata.get("thread_left_running", False) is True for event in told.values()) > DISPATCHES / 100
    print(f"\n{DISPATCHES} dispatches in {took_s:.1f} s, {dict(statuses)}")
