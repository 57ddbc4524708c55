"""OpenTelemetry metrics of dispatched actions, read from a program's own MeterProvider and from what OTLP carries."""

from __future__ import annotations

import gzip
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from tests.support import run_python

AGENTS = """
import asyncio, json
import otel_feedback as feedback

class Agent:
    name = "react"
    def __init__(self, does): self.does = does
    async def run(self, task): return self.does()

def fail(): raise ValueError("no")

def answer():
    return {"usage": {"input_tokens": 900, "output_tokens": 120}, "model": "gpt-4o", "provider": "openai"}

async def main(dispatcher):
    await dispatcher.dispatch(Agent(answer), "reasoning")
    await dispatcher.dispatch(Agent(answer), "reasoning")
    await dispatcher.dispatch(Agent(fail), "reasoning")
    await dispatcher.dispatch(Agent(lambda: None), "tool")
"""

IN_MEMORY = """
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
{agents}
reader = InMemoryMetricReader()
dispatcher = feedback.create_dispatcher(enable_metrics={enabled})
metrics.set_meter_provider(MeterProvider([reader]))  # later than the dispatcher
asyncio.run(main(dispatcher))
found = {{}}
data = reader.get_metrics_data()
for scope in data.resource_metrics[0].scope_metrics:
    for metric in scope.metrics:
        points = [json.loads(point.to_json()) for point in metric.data.data_points]
        found[metric.name] = [metric.unit, metric.description, points]
events = feedback.get_feedback_pipeline().get_recent_events()
found["durations_ms"] = [event.duration_ms for event in events]
print(json.dumps(found))
"""

Found = dict[str, Any]
OFF = {"OTEL_TRACES_EXPORTER": "none", "OTEL_FEEDBACK_LOG_FILE": os.devnull}


def read(*, enabled: bool) -> Found:
    done = run_python(IN_MEMORY.format(agents=AGENTS, enabled=enabled), OFF)
    assert (done.returncode, done.stderr) == (0, "")
    found: Found = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def found() -> Found:
    return read(enabled=True)


def by_attributes(points: list[dict[str, Any]], *names: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    return {tuple(point["attributes"].get(name) for name in names): point for point in points}


def test_outcomes_are_counted_by_agent_action_and_status(found: Found) -> None:
    unit, _, points = found["agent.outcomes"]
    counted = by_attributes(points, "agent", "action", "status")
    assert unit == "{action}"
    assert {key: point["value"] for key, point in counted.items()} == {
        ("react", "reasoning", "success"): 2,
        ("react", "reasoning", "failure"): 1,
        ("react", "tool", "success"): 1,
    }


def test_durations_are_in_seconds_with_the_names_of_the_conventions(found: Found) -> None:
    unit, _, points = found["gen_ai.client.operation.duration"]
    assert unit == "s"
    counted = by_attributes(points, "gen_ai.request.model", "gen_ai.provider.name", "error.type")
    assert {key: point["count"] for key, point in counted.items()} == {
        ("gpt-4o", "openai", None): 2,
        (None, None, "ValueError"): 1,
        (None, None, None): 1,
    }
    for point in points:
        assert point["attributes"]["gen_ai.operation.name"] == "invoke_agent"
        assert point["attributes"]["gen_ai.agent.name"] == "react"
        assert point["explicit_bounds"][:2] == [0.01, 0.02]
    assert sum(point["sum"] for point in points) * 1e3 == pytest.approx(sum(found["durations_ms"]))


def test_tokens_are_told_apart_by_type(found: Found) -> None:
    unit, _, points = found["gen_ai.client.token.usage"]
    assert unit == "{token}"
    counted = by_attributes(points, "gen_ai.token.type", "gen_ai.request.model")
    assert {key: point["sum"] for key, point in counted.items()} == {
        ("input", "gpt-4o"): 1_800,
        ("output", "gpt-4o"): 240,
    }


def test_the_health_of_the_pipeline_is_there_too(found: Found) -> None:
    assert {name for name in found if name.startswith("otel_feedback.events.")}


def test_metrics_can_be_turned_off() -> None:
    names = read(enabled=False).keys()
    assert not {name for name in names if name.startswith(("gen_ai.", "agent."))}


def test_a_meter_that_fails_changes_nothing() -> None:
    done = run_python(
        """
        import asyncio
        from opentelemetry import metrics
        import otel_feedback as feedback

        class BadMeter(metrics.NoOpMeter):
            def create_counter(self, name, *args, **kwargs):
                raise RuntimeError("closed")

            def create_observable_counter(self, name, callbacks=None, *args, **kwargs):
                readers[name] = list(callbacks)

        class Bad(metrics.NoOpMeterProvider):
            def get_meter(self, name, *args, **kwargs):
                return BadMeter(name)

        readers = {}
        feedback.configure()
        metrics.set_meter_provider(Bad())
        async def agent(task): return 7
        for _ in range(3):
            print(asyncio.run(feedback.ActionDispatcher().dispatch(agent))["output"])
        print([(one.value, one.attributes) for one in readers["otel_feedback.outcomes.unmeasured"][0](None)])
        """,
        OFF,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n", 3) == ["7", "7", "7", "[(3, {'reason': 'defect'})]\n"]
    assert done.stderr.count("the metrics of an outcome could not be recorded: RuntimeError('closed')") == 1, (
        done.stderr
    )


# -- OTLP --------------------------------------------------------------------------------------------------


class Receiver:
    """An OTLP endpoint that keeps the metrics it gets, by HTTP."""

    def __init__(self) -> None:
        self.requests: list[ExportMetricsServiceRequest] = []
        kept = self.requests

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                if self.path == "/v1/metrics":
                    kept.append(ExportMetricsServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
                """Say nothing."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.mark.parametrize("exporter", ["", "none"])
def test_metrics_go_by_otlp_where_an_endpoint_is_set(exporter: str, receiver: Receiver) -> None:
    program = (
        f"{AGENTS}\nasyncio.run(main(feedback.create_dispatcher(service_name='svc', enable_outcome_logging=False)))"
    )
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "OTEL_METRICS_EXPORTER": exporter}
    done = run_python(program, {**OFF, **variables})
    assert (done.returncode, done.stderr) == (0, "")
    if exporter == "none":
        assert receiver.requests == []
        return
    [resource] = receiver.requests[-1].resource_metrics
    assert [a.value.string_value for a in resource.resource.attributes if a.key == "service.name"] == ["svc"]
    found = {metric.name: metric for scope in resource.scope_metrics for metric in scope.metrics}
    assert sum(point.as_int for point in found["agent.outcomes"].sum.data_points) == 4
    assert {"gen_ai.client.operation.duration", "gen_ai.client.token.usage"} <= found.keys()
