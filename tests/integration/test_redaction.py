"""No secret reaches a real Kafka topic, a real collector or a real Jaeger, in whichever field it was."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

from tests.integration.test_kafka import new_topic
from tests.made_up_secrets import SECRETS
from tests.stack import kafka_clients
from tests.stack.collector import Collector
from tests.stack.jaeger import Jaeger
from tests.stack.kafka import KafkaBroker
from tests.stack.otlp_sink import OtlpSink
from tests.support import run_python

PROGRAM = """
    import json, logging, os
    import otel_feedback as feedback

    logging.basicConfig(level=logging.INFO)
    pipeline = feedback.configure(service_name=os.environ["SERVICE"])
    for text in json.load(open(os.environ["SECRETS"])):
        try:
            with feedback.action(text, agent=text, agent_type=text, workflow_id=text, run_id=text, session_id=text,
                                 user_id=text, tags=[text], metadata={"value": text, text: 1, "items": [text]}) as act:
                act.add_usage(model=text, provider=text)
                raise ValueError(text)
        except ValueError:
            pass
        pipeline.record_outcome(feedback.OutcomeEvent(
            action_type="a", status=feedback.OutcomeStatus.FAILURE, tool_name=text, tenant_id=text, run_id=text,
            error_message=text, stack_trace=text, tags=(text,), metadata={"value": text, text: 1, "items": [text]}))
    pipeline.shutdown(60)
"""


def test_no_secret_arrives_anywhere(
    kafka_broker: KafkaBroker, collector: Collector, jaeger: Jaeger, otlp_sink: OtlpSink, tmp_path: Path
) -> None:
    service, topic = f"secretive-{uuid.uuid4().hex[:8]}", new_topic(kafka_broker)
    given = tmp_path / "secrets.json"
    given.write_text(json.dumps([secret.text for secret in SECRETS]))
    before = len(otlp_sink.requests())
    done = run_python(
        PROGRAM,
        {
            "SERVICE": service,
            "SECRETS": str(given),
            "KAFKA_BOOTSTRAP_SERVERS": kafka_broker.bootstrap_servers,
            "KAFKA_OUTCOME_TOPIC": topic,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.http_endpoint,
            "XDG_STATE_HOME": str(tmp_path),
            "OTEL_FEEDBACK_SHUTDOWN_TIMEOUT": "60",
        },
    )
    assert done.returncode == 0, done.stderr
    records = kafka_clients.read_to_end(kafka_broker.bootstrap_servers, topic)
    assert len({dict(record.headers)["sequence"] for record in records}) == 2 * len(SECRETS)
    spans = jaeger.wait_for_spans(service, len(SECRETS))
    otlp_sink.wait_for_records(2 * len(SECRETS))
    arrived = {
        "Kafka": "\n".join(str((record.key, record.value, record.headers)) for record in records),
        "Jaeger": json.dumps(spans, ensure_ascii=False),
        "the collector": "\n".join(str(request) for request in otlp_sink.requests()[before:])
        + "\n".join(str(record) for record in otlp_sink.log_records()),
        "what it printed": done.stdout + done.stderr,
    }
    for place, text in arrived.items():
        assert "[REDACTED:" in text, place
        for secret in SECRETS:
            for hidden in secret.hidden:
                assert hidden not in text, f"{secret.name} in {place}"
