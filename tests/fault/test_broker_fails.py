"""A broker that hangs or dies in the middle and comes back: everything arrives, in order per run, and is accounted for."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable

import pytest
from opentelemetry.sdk.trace import TracerProvider

import otel_feedback as feedback
from tests.conftest import assert_balanced
from tests.stack import kafka_clients
from tests.stack.kafka import KafkaBroker


def pause_and_resume(broker: KafkaBroker) -> None:
    broker.pause()
    time.sleep(2)
    broker.resume()


def kill_and_start(broker: KafkaBroker) -> None:
    broker.kill()
    time.sleep(1)
    broker.start()


@pytest.mark.parametrize("fail", [pause_and_resume, kill_and_start])
def test_nothing_is_lost_and_runs_stay_in_order(fail: Callable[[KafkaBroker], None]) -> None:
    with KafkaBroker.launch_own() as broker:
        broker.create_topic("agent-outcomes", partitions=3)
        pipeline = feedback.configure(
            tracer_provider=TracerProvider(shutdown_on_exit=False),
            kafka_bootstrap_servers=broker.bootstrap_servers,
            kafka_compression="zstd",
            enable_outcome_logging=False,
        )
        stop = threading.Event()
        steps = 0

        def work() -> None:
            nonlocal steps
            while not stop.is_set():
                for run in range(5):
                    with feedback.action("step", run_id=f"run-{run}", metadata={"step": steps}):
                        pass
                steps += 1
                time.sleep(0.002)

        agent = threading.Thread(target=work)
        agent.start()
        try:
            time.sleep(0.5)
            fail(broker)
            assert_balanced(pipeline)
            time.sleep(0.5)
        finally:
            stop.set()
            agent.join()
        assert pipeline.force_flush(60) is True, pipeline.metrics()
        kafka = pipeline.metrics()["exporters"]["kafka"]
        assert (kafka["delivered"], kafka["lost"]) == (steps * 5, {})
        records = kafka_clients.read_topic(broker.bootstrap_servers, "agent-outcomes", steps * 5)
        first_seen: dict[str, list[int]] = {}
        seen: set[str] = set()
        for record in records:
            event = json.loads(record.value or b"")
            if event["event_id"] not in seen:  # at least once: repeats are recognised by their id
                seen.add(event["event_id"])
                first_seen.setdefault(event["run_id"], []).append(event["metadata"]["step"])
        assert first_seen == {f"run-{run}": list(range(steps)) for run in range(5)}
        print(f"\n{steps * 5} events, {len(records) - len(seen)} sent twice")
        assert pipeline.shutdown(10) is True
