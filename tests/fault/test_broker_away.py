"""A broker that is away, hangs, or does not exist changes nothing for the agent; the account says what became of it."""

from __future__ import annotations

import json
import socket
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

import otel_feedback as feedback
from tests.logs import lines_in
from tests.pace import slowness
from tests.stack.kafka import KafkaBroker
from tests.stack.processes import free_port
from tests.stack.waiting import wait_until
from tests.support import run_python

AGENT = """
    import json, statistics, time
    import otel_feedback as feedback

    pipeline = feedback.configure(service_name="agent")
    with feedback.action("warm-up"): pass
    time.sleep(0.3)  # the worker is now in the middle of its first try
    took = []
    for i in range(1500):
        started = time.perf_counter()
        with feedback.action("step", agent="a", run_id=f"r{i % 7}") as act:
            act.add_usage(input_tokens=1)
        took.append(time.perf_counter() - started)
        if i % 10 == 0:
            time.sleep(0.001)
    live = pipeline.metrics()["exporters"]
    started = time.perf_counter()
    complete = pipeline.shutdown(timeout_s=2)
    print(json.dumps({
        "median": statistics.median(took), "took_s": time.perf_counter() - started, "complete": complete,
        "live": live, "after": pipeline.metrics()["exporters"], "recent": len(pipeline.get_recent_events(2000)),
    }))
"""


def run_agent(log: Path, **variables: str) -> dict[str, Any]:
    done = run_python(
        AGENT,
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_FEEDBACK_LOG_FILE": str(log), **variables},
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.fixture(params=["nothing listens", "accepts and is silent", "no such host", "stopped broker"])
def unreachable(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "nothing listens":
        yield f"127.0.0.1:{free_port()}"
    elif request.param == "accepts and is silent":
        with socket.create_server(("127.0.0.1", 0), backlog=50) as silent:
            yield f"127.0.0.1:{silent.getsockname()[1]}"
    elif request.param == "no such host":
        yield "no-such-host.invalid:9092"
    else:
        with KafkaBroker.launch_own() as broker:
            broker.pause()
            yield broker.bootstrap_servers
            broker.resume()


@pytest.mark.brief
def test_the_agent_goes_on_at_its_pace(unreachable: str, client: str, tmp_path: Path) -> None:
    """Medians of interleaved runs: with the dead broker against with Kafka switched off."""
    medians: dict[str, list[float]] = {"off": [], "dead": []}
    for round_ in range(3):
        off = run_agent(tmp_path / f"off{round_}", ENABLE_KAFKA="false")
        medians["off"].append(off["median"])
        log = tmp_path / f"dead{round_}"
        told = run_agent(log, KAFKA_BOOTSTRAP_SERVERS=unreachable, KAFKA_CLIENT=client)
        medians["dead"].append(told["median"])

        kafka, after = told["live"]["kafka"], told["after"]["kafka"]
        assert (kafka["appended"], kafka["delivered"], kafka["pending"]) == (1501, 0, 1501)
        assert (after["delivered"], after["pending"], after["lost"]) == (0, 1501, {}), "they stay in the journal"
        assert told["complete"] is False
        assert told["took_s"] < 2 + 2 * slowness(), "shutdown keeps its deadline"
        assert told["recent"] == 1000
        assert told["after"]["log"]["delivered"] == 1501
        assert len(lines_in(log)) == 1501, "every event is in the log tier"
    ratio = min(medians["dead"]) / min(medians["off"])
    print(f"\naction with {unreachable} / with Kafka off: {ratio:.2f}")
    assert ratio < 2.0, medians
    assert statistics.median(medians["dead"]) / statistics.median(medians["off"]) < 3.0, medians


IMPATIENT = """
    import otel_feedback as feedback

    pipeline = feedback.configure(service_name="agent")
    with feedback.action("step", agent="a"): pass
    while pipeline.metrics()["exporters"]["kafka"]["last_error"] is None: pass
    live = pipeline.metrics()["exporters"]["kafka"]
    print(live["retries"], live["healthy"], live["last_error"])
    pipeline.shutdown(timeout_s=0.2)
"""


@pytest.mark.parametrize(
    ("address", "reasons"),
    [
        ("127.0.0.1:1", {"kafka-python": "ECONNREFUSED", "confluent": "Connection refused"}),
        ("no-such-host.invalid:9092", {"kafka-python": "DNS Resolution failure", "confluent": "Failed to resolve"}),
    ],
)
def test_what_is_wrong_is_known_before_the_first_try_is_over(
    address: str, reasons: dict[str, str], client: str
) -> None:
    """A program that is over sooner than that says the reason, too."""
    variables = {
        "KAFKA_BOOTSTRAP_SERVERS": address, "KAFKA_CLIENT": client, "ENABLE_OUTCOME_LOGGING": "false", "OTEL_TRACES_EXPORTER": "none",
    }  # fmt: skip
    done, why = run_python(IMPATIENT, variables), reasons[client]
    assert done.stdout.startswith("0 False unavailable: "), done.stdout + done.stderr
    assert why in done.stdout
    [left] = [line for line in done.stderr.splitlines() if "before shutdown" in line]
    assert why in left
    assert "kept in the journal" in left


@pytest.mark.usefixtures("client")
def test_a_broker_that_dies_is_said_while_records_wait_for_it(
    provider: TracerProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """Long before they are given up: `retries` is still 0."""
    with KafkaBroker.launch_own() as broker:
        pipeline = feedback.configure(tracer_provider=provider, kafka_bootstrap_servers=broker.bootstrap_servers)

        def kafka() -> dict[str, Any]:
            told: dict[str, Any] = pipeline.metrics()["exporters"]["kafka"]
            return told

        with feedback.action("step", agent="a"):
            pass
        assert pipeline.force_flush(timeout_s=60)
        assert (kafka()["healthy"], kafka()["last_error"]) == (True, None)
        broker.kill()
        with feedback.action("step", agent="a"):
            pass
        wait_until(lambda: "kafka does not answer" in caplog.text, timeout_s=60, what="a line in the log")
        told = kafka()
        assert (told["retries"], told["pending"], told["healthy"]) == (0, 1, False)
        assert "onnect" in told["last_error"]
        broker.start()
        assert pipeline.force_flush(timeout_s=60)
        assert (kafka()["healthy"], kafka()["last_error"], kafka()["delivered"]) == (True, None, 2)
