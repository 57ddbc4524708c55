"""The account as OpenTelemetry metrics, over adoption and restart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support import run_python

PROGRAM = """
    import json, time
    from opentelemetry import metrics
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    import otel_feedback as feedback

    reader = InMemoryMetricReader()
    if {before}:
        metrics.set_meter_provider(MeterProvider([reader], shutdown_on_exit=False))
    pipeline = feedback.configure(service_name="agents", journal_rescan_s=0.1)
    if not {before}:
        metrics.set_meter_provider(MeterProvider([reader], shutdown_on_exit=False))
    for _ in range(7):
        with feedback.action("step"): pass
    pipeline.force_flush({flush_s})
    until = time.monotonic() + {adopts_s}
    while time.monotonic() < until and not all(
        of["finished"] for one in pipeline.metrics()["adopted"].values() for of in one["exporters"].values()
    ):
        time.sleep(0.05)
    pipeline.shutdown(1)
    with feedback.action("late"): pass
    told = {{}}
    for resource in reader.get_metrics_data().resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                if not metric.name.startswith("otel_feedback."): continue
                for point in metric.data.data_points:
                    told[" ".join([metric.name, *map(str, point.attributes.values())])] = point.value
    print(json.dumps({{"otel": told, "metrics": pipeline.metrics()}}))
"""


def run(log: Path, *, before: bool, flush_s: float = 10, adopts_s: float = 0.5) -> dict[str, Any]:
    done = run_python(
        PROGRAM.format(before=before, flush_s=flush_s, adopts_s=adopts_s),
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_FEEDBACK_LOG_FILE": str(log)},
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def of_events(told: dict[str, Any]) -> dict[str, int]:
    return {name: value for name, value in told["otel"].items() if name.startswith("otel_feedback.events.")}


def test_the_account_is_in_opentelemetry_metrics_and_holds_over_restarts(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.mkdir()  # nothing can be delivered
    told = run(log, before=True, flush_s=0.1)
    assert of_events(told) == {
        "otel_feedback.events.appended log": 7, "otel_feedback.events.delivered log": 0,
        "otel_feedback.events.pending log": 7, "otel_feedback.events.not_recorded after_shutdown": 1,
    }  # fmt: skip
    first = str(told["metrics"]["producer_id"])
    log.rmdir()
    told = run(log, before=False, adopts_s=10)
    assert of_events(told) == {
        "otel_feedback.events.appended log": 14, "otel_feedback.events.delivered log": 14,
        "otel_feedback.events.pending log": 0, "otel_feedback.events.not_recorded after_shutdown": 1,
    }  # fmt: skip
    assert told["metrics"]["adopted"][first] == {
        "service_name": "agents",
        "exporters": {
            "log": {
                "destination": str(log), "appended": 7, "delivered": 7, "pending": 0, "lost": {}, "finished": True,
            }
        },
    }  # fmt: skip


def test_how_delivery_is_is_in_opentelemetry_metrics(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.mkdir()  # nothing can be delivered
    told = run(log, before=True, flush_s=0.1)
    state, account = told["otel"], told["metrics"]
    assert state["otel_feedback.exporter.retries log"] == account["exporters"]["log"]["retries"] >= 1
    assert state["otel_feedback.exporter.healthy log"] == 0
    assert state["otel_feedback.journal.size disk"] == account["journal"]["bytes"] > 0
    assert state["otel_feedback.journal.open_actions"] == 0
    log.rmdir()
    state = run(log, before=False, adopts_s=10)["otel"]
    assert state["otel_feedback.exporter.healthy log"] == 1
    assert state["otel_feedback.exporter.retries log"] == 0
