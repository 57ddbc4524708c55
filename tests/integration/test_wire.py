"""A handful of programs through the exporters and the real collector: what comes out of it, by both ways."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from tests.conformance.wire import others_cases, said_cases, tree_cases
from tests.conformance.wire.compare import Normal, decode
from tests.conformance.wire.making import Made, Setting, Stage, make
from tests.conformance.wire.ways import FALLBACKS, SDK, Way
from tests.stack.collector import Collector
from tests.stack.trace_sink import TraceSink

PROGRAMS = (
    tree_cases.ask,
    tree_cases.with_a_foreign_child,
    said_cases.everything,
    said_cases.unicode,
    said_cases.error_that_leaves_two_actions,
    others_cases.in_the_middle,
    others_cases.everything_at_once,
)
SPANS = 12


def http(collector: Collector) -> SpanExporter:
    return HttpExporter(endpoint=f"{collector.http_endpoint}/v1/traces")


def grpc(collector: Collector) -> SpanExporter:
    return GrpcExporter(endpoint=collector.grpc_endpoint, insecure=True)


def rows(sink: TraceSink) -> list[Any]:
    """Return the spans that have arrived, each with its scope and its resource, in the order of their ids."""
    request = ExportTraceServiceRequest(resource_spans=sink.wait_for_spans(SPANS))
    found = [
        [span["span_id"], span, scope["scope"], scope["schema_url"], resource["resource"], resource["schema_url"]]
        for resource in decode(request.SerializeToString())
        for scope in resource["scope_spans"]
        for span in scope["spans"]
    ]
    return sorted(found, key=lambda row: row[0])


@pytest.mark.parametrize("export", [http, grpc])
def test_what_comes_out_of_the_collector(
    export: Callable[[Collector], SpanExporter],
    collector_of_spans: Collector,
    trace_sink: TraceSink,
    tmp_path: Path,
) -> None:
    def programs(stage: Stage) -> None:
        for program in PROGRAMS:
            program(stage)

    def run(way: Way) -> tuple[Made, list[Any]]:
        trace_sink.reset()
        normal = Normal()
        made = make(programs, Setting(after=lambda: [BatchSpanProcessor(export(collector_of_spans))]), way, tmp_path)
        return made, normal(rows(trace_sink))

    (made, got), (expected, expected_got) = run(SDK), run(FALLBACKS["wrapper"])
    assert len(got) == len(made.raw) == SPANS
    assert got == expected_got
    assert made.payload == expected.payload
    # and the collector has changed nothing
    sent = [span for resource in made.payload for scope in resource["scope_spans"] for span in scope["spans"]]
    assert [row[1] for row in got] == sorted(sent, key=lambda span: span["span_id"])
