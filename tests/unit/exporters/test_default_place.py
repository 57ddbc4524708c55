"""Spans where nobody named a collector: no wait and one line while there is none, and a later one gets later spans."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from otel_feedback.exporters.otlp.spans import DefaultPlaceExporter, traces_endpoint
from tests.examples.blocks import blocks
from tests.stack.processes import LOOPBACK, free_port
from tests.stack.trace_sink import TraceSink
from tests.support import ROOT, environment


class Collector(HTTPServer):
    """Takes spans by HTTP, or refuses them."""

    def __init__(self, port: int, status: int = 200) -> None:
        self.status = status
        self.names: list[str] = []
        super().__init__((LOOPBACK, port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Collector)
        request = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path == "/v1/traces"
        self.server.names += [
            span.name for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans
        ]
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # as its base has it
        pass


@contextmanager
def collector(port: int, status: int = 200) -> Generator[Collector]:
    with Collector(port, status) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def provider_to(url: str, **variables: str) -> Generator[TracerProvider]:
    endpoint = traces_endpoint({"OTEL_EXPORTER_OTLP_ENDPOINT": url, **variables})
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(DefaultPlaceExporter(endpoint)))
    yield provider
    provider.shutdown()


def make_spans(provider: TracerProvider, *names: str) -> None:
    for name in names:
        provider.get_tracer("test").start_span(name).end()


def test_a_collector_that_comes_later_gets_later_spans(caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    with provider_to(f"http://{LOOPBACK}:{port}") as provider:
        make_spans(provider, "one", "two", "three")
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        assert f"http://{LOOPBACK}:{port}/v1/traces, the default" in caplog.text
        with collector(port) as server:
            make_spans(provider, "four", "five")
        assert server.names == ["four", "five"]
        make_spans(provider, "six", "seven")
        assert len(caplog.records) == 2


def test_the_same_by_grpc(caplog: pytest.LogCaptureFixture) -> None:
    with TraceSink() as sink, provider_to(sink.grpc_endpoint, OTEL_EXPORTER_OTLP_PROTOCOL="grpc") as provider:
        make_spans(provider, "one")
        [resource] = sink.wait_for_spans(1)
    assert resource.scope_spans[0].spans[0].name == "one"
    closed = f"http://{LOOPBACK}:{free_port()}"
    with provider_to(closed, OTEL_EXPORTER_OTLP_PROTOCOL="grpc") as provider:
        make_spans(provider, "two", "three")
    assert ["gRPC UNAVAILABLE" in record.getMessage() for record in caplog.records] == [True]


@pytest.mark.parametrize("status", [404, 429, 503])
def test_what_is_refused_is_sent_once(status: int, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever listens there: it may be no collector, and a program must not wait for it."""
    port = free_port()
    with collector(port, status) as server, provider_to(f"http://{LOOPBACK}:{port}") as provider:
        make_spans(provider, "one", "two")
    assert server.names == ["one", "two"]
    assert [f"(HTTP {status})" in record.getMessage() for record in caplog.records] == [True]


@pytest.mark.parametrize("variables", [{}, {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, {"OTEL_TRACES_EXPORTER": "otlp"}])
def test_the_readmes_first_example_gives_its_result_with_nothing_set(tmp_path: Path, variables: dict[str, str]) -> None:
    for port in (4317, 4318):
        with socket.socket() as tried:
            if tried.connect_ex((LOOPBACK, port)) == 0:
                pytest.skip(f"somebody listens on port {port} of this machine")
    block = blocks(ROOT / "README.md", "python")[0]
    (tmp_path / "agents.py").write_text(block.text, "utf-8")
    done = subprocess.run(
        [sys.executable, "agents.py"], cwd=tmp_path, env=environment(PYTHONPATH=str(ROOT), **variables),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, block.prints)
    said = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert ["the default (" in line for line in said] == [True], done.stderr
