"""A steady agent, and what must have become of its events: shared by the tests in which it meets a fault.

Stream ──► an action of each run, step after step ──► sent: event id → run and step
                                                        │
arrivals() ◄── every record of the topic, repeats too ◄─┘   order per run, key, partition; who is missing
"""

from __future__ import annotations

import itertools
import json
import statistics
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple

import pytest
from opentelemetry.sdk.trace import TracerProvider
from typing_extensions import Self

import otel_feedback as feedback
from otel_feedback.exporters.kafka.confluent.exporter import ConfluentExporter
from otel_feedback.exporters.kafka.exporter import KafkaExporter
from otel_feedback.exporters.kafka.process.exporter import ProcessExporter
from otel_feedback.pipeline.pipeline import FeedbackPipeline
from tests.conftest import assert_balanced
from tests.stack import kafka_clients
from tests.stack.waiting import wait_until

DELIVERY_TIMEOUT_S = 60.0

SLOWER_AT_MOST = 3.0
"""An action with a broker in trouble against one with Kafka off. One that waited for the broker would be thousands."""


class Step(NamedTuple):
    """Which action an event is about."""

    run: str
    number: int


class Arrivals(NamedTuple):
    """What a topic holds of a stream."""

    seen: frozenset[str]
    missing: frozenset[str]
    repeats: int


Act = Callable[[str, int], str]


def plain_action(run: str, number: int) -> str:
    """Do one step of a run and return the id of its event."""
    with feedback.action("step", run_id=run, metadata={"step": number}) as act:
        pass
    return act.event_id


class Stream:
    """An agent that does a step of each run in turn, from a thread of its own while the `with` block lasts.

    Args:
        runs: How many runs are under way at the same time.
        pause_s: Pause after a step of every run.
        act: Does one step of a run; returns the event's id.
    """

    def __init__(self, *, runs: int = 5, pause_s: float = 0.005, act: Act = plain_action) -> None:
        self.sent: dict[str, Step] = {}
        self.steps = 0
        self._runs = [f"run-{i}" for i in range(runs)]
        self._pause_s = pause_s
        self._act = act
        self._took_s: list[float] = []
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="agent")

    @property
    def median_s(self) -> float:
        """How long the median action took, in seconds."""
        return statistics.median(self._took_s)

    def step(self) -> None:
        """Do the next step of every run."""
        for run in self._runs:
            started = time.perf_counter()
            event_id = self._act(run, self.steps)
            self._took_s.append(time.perf_counter() - started)
            self.sent[event_id] = Step(run, self.steps)
        self.steps += 1

    def wait_for_steps(self, count: int) -> None:
        """Return once `count` more steps are done: the agent goes on."""
        goal = self.steps + count
        wait_until(lambda: self.steps >= goal, timeout_s=30, what=f"the agent to do {count} more steps")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                self.step()
                self._stop.wait(self._pause_s)
        except BaseException as exc:
            self._failure = exc


def configure(bootstrap_servers: str, topic: str, **settings: Any) -> FeedbackPipeline:
    """Configure this process with Kafka as the only destination."""
    return feedback.configure(
        tracer_provider=TracerProvider(shutdown_on_exit=False),
        kafka_bootstrap_servers=bootstrap_servers,
        kafka_outcome_topic=topic,
        enable_outcome_logging=False,
        **settings,
    )


def give_up_after(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what was not acknowledged given up sooner than after a minute."""
    kafka = "otel_feedback.exporters.kafka"
    monkeypatch.setattr(f"{kafka}.process.exporter.ProcessExporter", partial(ProcessExporter, give_up_s=seconds))
    monkeypatch.setattr(f"{kafka}.exporter.KafkaExporter", partial(KafkaExporter, give_up_s=seconds))
    monkeypatch.setattr(f"{kafka}.confluent.exporter.ConfluentExporter", partial(ConfluentExporter, give_up_s=seconds))


def median_without_kafka_s(steps: int, pause_s: float) -> float:
    """Return how long the median action takes in this process while nothing is sent anywhere, in seconds."""
    pipeline = configure("127.0.0.1:1", "none", enable_kafka=False)
    with Stream(pause_s=pause_s) as stream:
        stream.wait_for_steps(steps)
    assert pipeline.shutdown(10) is True
    return stream.median_s


def account(pipeline: FeedbackPipeline) -> dict[str, Any]:
    """Return Kafka's account, checked against the law."""
    assert_balanced(pipeline)
    kafka: dict[str, Any] = pipeline.metrics()["exporters"]["kafka"]
    return kafka


def arrivals(sent: Mapping[str, Step], bootstrap_servers: str, topic: str) -> Arrivals:
    """Read all of a topic and check every record: key, partition, and that the steps of each run come in order."""
    steps: dict[str, list[int]] = {}
    partitions: dict[str, set[int]] = {}
    seen: set[str] = set()
    records = kafka_clients.read_to_end(bootstrap_servers, topic)
    for record in records:
        event_id = json.loads(record.value or b"")["event_id"]
        run, number = sent[event_id]
        assert record.key == run.encode()
        partitions.setdefault(run, set()).add(record.partition)
        if event_id not in seen:  # at least once: repeats are recognised by their id
            seen.add(event_id)
            steps.setdefault(run, []).append(number)
    assert all(len(used) == 1 for used in partitions.values()), partitions
    for run, numbers in steps.items():
        late = [(before, number) for before, number in itertools.pairwise(numbers) if number <= before]
        assert not late, f"{run} is out of order: {late[:5]}"
    return Arrivals(frozenset(seen), frozenset(sent.keys() - seen), len(records) - len(seen))


def assert_everything_arrived(
    pipeline: FeedbackPipeline, stream: Stream, bootstrap_servers: str, topic: str
) -> Arrivals:
    """Check, after the fault has passed: all delivered, all on the topic, in order, and the account says so."""
    complete = pipeline.force_flush(DELIVERY_TIMEOUT_S)
    kafka = account(pipeline)
    assert complete is True, kafka
    count = len(stream.sent)
    assert (kafka["appended"], kafka["delivered"], kafka["pending"], kafka["lost"]) == (count, count, 0, {})
    assert kafka["last_error"] is None
    arrived = arrivals(stream.sent, bootstrap_servers, topic)
    assert not arrived.missing, f"{len(arrived.missing)} of {count} counted as delivered and not on the topic"
    print(f"\n{count} events, {arrived.repeats} sent twice, {kafka['retries']} retries")
    return arrived
