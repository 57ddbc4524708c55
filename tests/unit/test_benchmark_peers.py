"""The benchmark of other SDKs runs, and counts what they send; how fast anything is, is not asserted."""

from __future__ import annotations

import gzip
import json
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from benchmarks.children import BenchmarkError
from benchmarks.peers import __main__ as command
from benchmarks.peers import measuring
from benchmarks.peers.environments import PACKAGES
from benchmarks.sinks import Backend
from benchmarks.subjects.sink import Sink
from tests.stack.errors import ServiceUnavailable

ROOT = Path(__file__).parents[2]


@pytest.fixture
def sink() -> Iterator[Sink]:
    made = Sink()
    yield made
    made.close()


def post(url: str, body: bytes, **headers: str) -> None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, body, named), timeout=10) as answer:
        assert answer.status == 200


def otlp(*names: str) -> bytes:
    message = ExportTraceServiceRequest()
    scope_spans = message.resource_spans.add().scope_spans.add()
    for name in names:
        scope_spans.spans.add(name=name)
    return message.SerializeToString()


def test_the_sink_counts_spans_since_it_was_asked_last(sink: Sink) -> None:
    post(f"{sink.url}/v1/traces", otlp("a", "b"))
    post(f"{sink.url}/api/public/otel/v1/traces", gzip.compress(otlp("a")), content_encoding="gzip")
    post(f"{sink.url}/v1/metrics", b"something else")
    assert sink.spans() == {"a": 2, "b": 1}
    assert sink.spans() == {}


def test_the_sink_counts_no_span_twice_that_was_announced(sink: Sink) -> None:
    message = ExportTraceServiceRequest.FromString(otlp("a", "a"))
    pending = message.resource_spans[0].scope_spans[0].spans[0].attributes.add(key="logfire.span_type")
    pending.value.string_value = "pending_span"
    post(f"{sink.url}/v1/traces", message.SerializeToString())
    assert sink.spans() == {"a": 1}


def test_the_sink_counts_transactions_in_envelopes(sink: Sink) -> None:
    lines = ({"dsn": "x"}, {"type": "transaction"}, {"transaction": "a"}, {"type": "client_report"}, {"x": 1})
    post(f"{sink.url}/api/1/envelope/?key=1", "\n".join(map(json.dumps, lines)).encode())
    assert sink.spans() == {"a": 1}


def test_spans_that_did_not_arrive_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with Backend.launch() as backend:
        post(f"{backend.url}/v1/traces", otlp("a"))
        with pytest.raises(BenchmarkError, match=r"2 spans were to be sent, and these came: {'a': 1}"):
            backend.require_spans("somebody", 2)
        post(f"{backend.url}/v1/traces", otlp("a", "b"))
        backend.forget()
        backend.require_spans("somebody", 0)


def test_every_peer_has_its_module_and_its_version() -> None:
    for peer, packages in PACKAGES.items():
        assert find_spec(f"benchmarks.peers.sdks.with_{peer}") is not None
        assert "==" in packages[0], "another day it would be another one"


def test_ours_and_a_peer_are_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    file = tmp_path / "peers.json"
    code = command.main(["--quick", "--only", "otel_feedback,sentry", "--json", str(file)])
    written = json.loads(file.read_text())
    if "pip" in written["failed"].get("sentry", ""):
        raise ServiceUnavailable(written["failed"]["sentry"])
    assert code == 0, written["failed"]
    assert [row["name"] for row in written["rows"]] == [
        "otel_feedback, journal on disk, Kafka away: mean, wall",
        "otel_feedback, journal on disk, Kafka away: CPU of the process",
        "otel_feedback, no journal, no Kafka: mean, wall",
        "otel_feedback, no journal, no Kafka: CPU of the process",
        "sentry: mean, wall",
        "sentry: CPU of the process",
    ]
    assert all(row["ours"] > 0 < row["baseline"] for row in written["rows"])
    assert written["versions"]["sentry"].startswith("sentry-sdk 2.75.0, opentelemetry-sdk 1.")
    assert "otel_feedback, no journal, no Kafka: mean, wall" in capsys.readouterr().out


def test_a_peer_that_cannot_be_had_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def unavailable(name: str) -> Path:
        raise ServiceUnavailable(f"no {name} here")

    monkeypatch.setattr(command, "python_of", unavailable)
    monkeypatch.setattr(measuring, "python_of", unavailable)
    assert command.main(["--quick", "--only", "sentry"]) == 1
    assert "sentry has no result: no sentry here" in capsys.readouterr().out
