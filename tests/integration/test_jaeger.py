"""The same run through the real collector: spans in Jaeger with the outcome on them, outcome logs coming out."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from tests.integration.test_kafka import SNIPPET, new_topic
from tests.stack.collector import Collector
from tests.stack.jaeger import Jaeger
from tests.stack.kafka import KafkaBroker
from tests.stack.otlp_sink import OtlpSink
from tests.support import run_python


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_traces_in_jaeger_and_logs_out_of_the_collector(
    protocol: str, kafka_broker: KafkaBroker, collector: Collector, jaeger: Jaeger, otlp_sink: OtlpSink
) -> None:
    service = f"support-bot-{uuid.uuid4().hex[:8]}"
    done = run_python(
        SNIPPET.replace("support-bot", service),
        {
            "KAFKA_BOOTSTRAP_SERVERS": kafka_broker.bootstrap_servers,
            "KAFKA_OUTCOME_TOPIC": new_topic(kafka_broker),
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.grpc_endpoint if protocol == "grpc" else collector.http_endpoint,
            "OTEL_FEEDBACK_SHUTDOWN_TIMEOUT": "30",
        },
    )
    assert done.returncode == 0, done.stderr
    events = {event["event_id"]: event for event in json.loads(done.stdout)["events"]}

    spans = {f"{s['traceID']}-{s['spanID']}": s for s in jaeger.wait_for_spans(service, 3)}
    assert spans.keys() == events.keys()
    for event_id, event in events.items():
        tags: dict[str, Any] = {tag["key"]: tag["value"] for tag in spans[event_id]["tags"]}
        assert tags["outcome.status"] == event["status"]
        assert tags["outcome.severity"] == event["severity"]
        assert tags["outcome.action_type"] == event["action_type"]
        assert tags["gen_ai.agent.name"] == event["agent_name"]
        if event["action_type"] == "reasoning":
            assert tags["gen_ai.usage.input_tokens"] == 900
            assert tags["gen_ai.request.model"] == "gpt-4o"
            assert tags["outcome.quality_score"] == 0.92
            assert tags["outcome.workflow_id"] == "wf-1"
            assert tags["outcome.metadata.client"] == "acme"
            assert "customer" in str(tags["outcome.tags"])
        if event["status"] == "failure":
            assert tags["error"] is True
            assert tags["error.type"] == "RuntimeError"
            assert [f["value"] for log in spans[event_id]["logs"] for f in log["fields"] if f["key"] == "event"] == [
                "exception"
            ]

    def of_this_service() -> list[Any]:
        return [
            record
            for resource in otlp_sink.resource_logs()
            if any(a.value.string_value == service for a in resource.resource.attributes)
            for scope in resource.scope_logs
            for record in scope.log_records
        ]

    otlp_sink.wait_for_records(1)
    logs = {f"{log.trace_id.hex()}-{log.span_id.hex()}": log for log in of_this_service()}
    assert logs.keys() == events.keys()
    assert {log.event_name for log in logs.values()} == {"agent.outcome"}
