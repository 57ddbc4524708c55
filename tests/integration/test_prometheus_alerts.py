"""The rules of `otel-feedback alerts prometheus` in a real Prometheus, on what a real program sends through the collector."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest

from otel_feedback.downstream.alerts.prometheus.writing import write
from otel_feedback.downstream.alerts.reading import parse
from tests.stack.collector import Collector
from tests.stack.prometheus import Prometheus
from tests.stack.waiting import wait_until
from tests.support import run_python

RULES = """
[settings]
every = "1s"
[[rule]]
name = "errors"
kind = "errors"
above = 0.2
min_count = 5
window = "20s"
service = "{service}"
[[rule]]
name = "few"
kind = "errors"
above = 0.2
min_count = 100000
window = "20s"
service = "{service}"
[[rule]]
name = "slow"
kind = "latency"
above = 100
min_count = 5
window = "20s"
service = "{service}"
[[rule]]
name = "cost"
kind = "cost"
above = 0.001
window = "20s"
service = "{service}"
[[rule]]
name = "bad"
kind = "quality"
below = 0.5
min_count = 5
window = "20s"
service = "{service}"
[[rule]]
name = "usual"
kind = "latency"
rise = 3
service = "{service}"
[[rule]]
name = "losing"
kind = "losing"
service = "{service}"
[[rule]]
name = "behind"
kind = "behind"
service = "{service}"
"""

AGENTS = """
import time
import otel_feedback as feedback
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.resources import Resource

metrics.set_meter_provider(MeterProvider(
    [PeriodicExportingMetricReader(OTLPMetricExporter(), export_interval_millis=500)],
    resource=Resource.create({"service.name": SERVICE, "service.instance.id": "one"}),
))
feedback.configure(service_name=SERVICE, enable_otlp=False)
for number in range(60):
    try:
        with feedback.action("answer", agent="writer", tenant_id="acme") as act:
            act.add_usage(model="gpt-4o", provider="openai", input_tokens=900, output_tokens=120)
            act.score(quality=0.3)
            time.sleep(0.15)
            if number % 2: raise ValueError("no")
    except ValueError:
        pass
"""


@pytest.mark.brief
@pytest.mark.usefixtures("prometheus")  # so that it is there before the test's time runs
def test_they_are_evaluated_and_one_fires(collector: Collector, tmp_path: Path) -> None:
    service = f"alerts-{uuid.uuid4().hex[:8]}"
    rules = write(parse(RULES.format(service=service)), "alerts.toml", "/secrets").rules
    with Prometheus.launch(collector, rules) as prometheus:
        done = run_python(
            f"SERVICE = {service!r}\n{AGENTS}",
            {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.http_endpoint, "OTEL_FEEDBACK_LOG_FILE": os.devnull,
             "OTEL_TRACES_EXPORTER": "none"},
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")

        def firing() -> set[str]:
            return {rule["name"] for rule in prometheus.rules() if rule["type"] == "alerting" and rule["alerts"]}

        wait_until(lambda: firing() >= {"errors", "slow", "cost", "bad"}, timeout_s=30, what="alerts that fire")
        assert not firing() & {"few", "usual", "losing", "behind"}
        told = prometheus.rules()
        assert {(rule["health"], rule.get("lastError", "")) for rule in told} == {("ok", "")}
        (alert,) = next(rule for rule in told if rule["name"] == "errors")["alerts"]
        assert alert["annotations"]["summary"] == "errors: tenant acme, agent writer, action answer"
        share, _, what = alert["annotations"]["description"].partition("%: ")
        assert 40 < float(share) < 60, "about a half"
        assert what == "failures and timeouts by actions that ended"
        pending = prometheus.query(f'otel_feedback_events_pending{{job="{service}"}}')
        assert {dict(labels)["exporter"] for labels in pending} == {"log"}
