"""Prove that the services of `tests.stack` are real and do what the other tests rely on."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from tests.integration.otlp_clients import export_by_grpc, export_by_http, logs_request
from tests.stack import kafka_clients
from tests.stack.collector import BASE, Collector
from tests.stack.environment import KAFKA
from tests.stack.errors import ServiceUnavailable
from tests.stack.jaeger import Jaeger
from tests.stack.kafka import KafkaBroker
from tests.stack.otlp_sink import OtlpSink
from tests.stack.waiting import wait_until
from tests.stack.web import get_text


def unique(name: str) -> str:
    """Return a name that no other test, and no earlier run on a shared service, has used."""
    return f"{name}-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def own_broker() -> Iterator[KafkaBroker]:
    with KafkaBroker.launch_own() as broker:
        yield broker


@pytest.fixture
def sink(otlp_sink: OtlpSink) -> OtlpSink:
    otlp_sink.reset()
    return otlp_sink


def test_records_come_back_with_key_and_headers(kafka_broker: KafkaBroker) -> None:
    topic = unique("stack")
    kafka_broker.create_topic(topic, partitions=3, config={"retention.ms": "-1"})
    kafka_clients.produce(kafka_broker.bootstrap_servers, topic, [b"one", b"two"], key=b"run", headers=[("h", b"v")])
    records = kafka_clients.read_topic(kafka_broker.bootstrap_servers, topic, 2)
    assert [record.value for record in records] == [b"one", b"two"]
    assert {record.key for record in records} == {b"run"}
    assert {tuple(record.headers) for record in records} == {(("h", b"v"),)}
    assert len({record.partition for record in records}) == 1


def test_own_broker_creates_missing_topics_with_six_partitions(own_broker: KafkaBroker) -> None:
    topic = unique("auto")
    kafka_clients.produce(own_broker.bootstrap_servers, topic, [b"x"])
    assert kafka_clients.partition_count(own_broker.bootstrap_servers, topic) == 6


def test_killed_broker_comes_back_with_its_data_on_its_port(own_broker: KafkaBroker) -> None:
    topic = unique("killed")
    address = own_broker.bootstrap_servers
    kafka_clients.produce(address, topic, [b"before"])
    own_broker.kill()
    assert not own_broker.is_ready()
    own_broker.start()
    assert own_broker.bootstrap_servers == address
    kafka_clients.produce(address, topic, [b"after"])
    values = {record.value for record in kafka_clients.read_topic(address, topic, 2)}
    assert values == {b"before", b"after"}


def test_paused_broker_hangs_and_a_resumed_one_goes_on(own_broker: KafkaBroker) -> None:
    topic = unique("paused")
    own_broker.create_topic(topic)
    own_broker.pause()
    try:
        assert not own_broker.is_ready()
    finally:
        own_broker.resume()
    kafka_clients.produce(own_broker.bootstrap_servers, topic, [b"x"])
    assert len(kafka_clients.read_topic(own_broker.bootstrap_servers, topic, 1)) == 1


def test_property_reaches_the_broker() -> None:
    """A tiny message.max.bytes makes a broker that refuses."""
    with KafkaBroker.launch({"message.max.bytes": "2000"}) as broker:
        assert broker.is_own
        kafka_clients.produce(broker.bootstrap_servers, "t", [b"x"])
        with pytest.raises(kafka_clients.KafkaError):
            kafka_clients.produce(broker.bootstrap_servers, "t", [bytes(5_000)])


def test_broker_from_the_environment_is_used_and_not_broken(
    kafka_broker: KafkaBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KAFKA, kafka_broker.bootstrap_servers)
    with KafkaBroker.launch() as broker:
        assert broker.bootstrap_servers == kafka_broker.bootstrap_servers
        for harm in (broker.pause, broker.kill, broker.resume, broker.start):
            with pytest.raises(ServiceUnavailable, match="needs a broker of our own"):
                harm()
    assert kafka_broker.is_ready()


def test_span_goes_through_the_collector_to_jaeger(collector: Collector, jaeger: Jaeger) -> None:
    service = unique("stack")
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    exporter = OTLPSpanExporter(endpoint=collector.grpc_endpoint, insecure=True)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("stack")
    with tracer.start_as_current_span("parent"), tracer.start_as_current_span("child") as child:
        child.set_attribute("outcome.status", "success")
    provider.shutdown()

    spans = {span["operationName"]: span for span in jaeger.wait_for_spans(service, 2)}
    assert spans.keys() == {"parent", "child"}
    assert spans["child"]["references"][0]["spanID"] == spans["parent"]["spanID"]
    tags = {tag["key"]: tag["value"] for tag in spans["child"]["tags"]}
    assert tags["outcome.status"] == "success"
    assert service in jaeger.services()
    assert len(jaeger.traces(service, operation="child")) == 1


@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_log_record_goes_through_the_collector_with_its_ids(
    collector: Collector, sink: OtlpSink, transport: str
) -> None:
    collector.require_own()
    sent = logs_request("outcome", service=unique("stack"))
    if transport == "http":
        assert export_by_http(collector.http_endpoint, sent).status_code == 200
    else:
        export_by_grpc(collector.grpc_endpoint, sent)

    received = sink.wait_for_records(1)
    sent_record: LogRecord = sent.resource_logs[0].scope_logs[0].log_records[0]
    assert [record.trace_id for record in received] == [sent_record.trace_id]
    assert [record.span_id for record in received] == [sent_record.span_id]
    assert received[0].body == sent_record.body
    assert list(received[0].attributes) == list(sent_record.attributes)
    assert list(sink.resource_logs()[0].resource.attributes) == list(sent.resource_logs[0].resource.attributes)


def test_log_record_shows_in_the_debug_output(collector: Collector, sink: OtlpSink) -> None:
    collector.require_own()
    name = unique("debugged")
    assert export_by_http(collector.http_endpoint, logs_request(name)).status_code == 200
    wait_until(lambda: name in collector.output(), timeout_s=15, what=f"{name} in the output")


def test_base_configuration_runs_without_the_overlay(jaeger: Jaeger) -> None:
    """As in docker-compose.yml: outcome logs go to the debug output only."""
    name = unique("alone")
    with Collector.launch_own(
        jaeger_otlp_endpoint=jaeger.otlp_grpc_endpoint, logs_endpoint="", config_files=[BASE]
    ) as alone:
        export_by_grpc(alone.grpc_endpoint, logs_request(name))
        wait_until(lambda: name in alone.output(), timeout_s=15, what=f"{name} in the output")


def test_collector_passes_a_refusal_of_its_logs_on(collector: Collector, sink: OtlpSink) -> None:
    """It never answers OK for an outcome that it did not deliver, and says whether to retry."""
    collector.require_own()
    sink.respond_with(503)
    assert export_by_http(collector.http_endpoint, logs_request("kept")).status_code == 503
    sink.respond_with(400)
    assert export_by_http(collector.http_endpoint, logs_request("bad")).status_code == 400
    sink.stop()
    try:
        assert export_by_http(collector.http_endpoint, logs_request("away")).status_code == 503
    finally:
        sink.start()
    assert sink.log_records() == []
    assert export_by_http(collector.http_endpoint, logs_request("kept")).status_code == 200
    assert len(sink.log_records()) == 1


def test_metric_shows_at_the_prometheus_endpoint(collector: Collector) -> None:
    name = unique("stack").replace("-", "_")
    exporter = OTLPMetricExporter(endpoint=collector.grpc_endpoint, insecure=True)
    provider = MeterProvider([PeriodicExportingMetricReader(exporter)])
    provider.get_meter("stack").create_counter(name).add(3, {"outcome.status": "success"})
    provider.shutdown()
    wanted = f"{name}_total{{"

    def line() -> str:
        lines = get_text(collector.prometheus_url).splitlines()
        return next((text for text in lines if text.startswith(wanted)), "")

    wait_until(lambda: bool(line()), timeout_s=15, what=f"{wanted} at {collector.prometheus_url}")
    assert 'outcome_status="success"' in line()
    assert line().endswith(" 3")


def test_collector_reports_on_itself(collector: Collector) -> None:
    assert "otelcol_process_uptime" in get_text(collector.telemetry_url)
