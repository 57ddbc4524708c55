"""Objectives as metrics: from `alerts run` through the real collector into a real Prometheus."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path

from otel_feedback import OutcomeEvent, OutcomeStatus
from otel_feedback.downstream.objectives.gauges import Gauges
from otel_feedback.downstream.objectives.standings import Standing
from tests.stack.collector import Collector
from tests.stack.prometheus import Prometheus
from tests.support import run_cli

STATUSES = ("success",) * 97 + ("failure",) * 3


def test_prometheus_has_target_budget_and_burn_rates(
    tmp_path: Path, collector: Collector, prometheus: Prometheus
) -> None:
    name = f"answers-{uuid.uuid4().hex[:8]}"
    at = datetime.now(timezone.utc) - timedelta(hours=2)
    events = [
        OutcomeEvent(
            event_id=f"{agent}-{number}", revision=1, timestamp=at, end_time=at, action_type="answer", agent_name=agent,
            status=OutcomeStatus(status),
        )
        for agent, count in (("planner", 100), ("rare", 3))
        for number, status in enumerate(STATUSES[:count])
    ]  # fmt: skip
    (tmp_path / "outcomes.log").write_text("".join(event.to_json() + "\n" for event in events))
    (tmp_path / "slo.toml").write_text(f'[[objective]]\nname = "{name}"\nkind = "success"\ntarget = 0.95\n')
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.http_endpoint, "XDG_STATE_HOME": str(tmp_path / "state")}
    done = run_cli("alerts", "run", "--once", "--from", "outcomes.log", variables=variables, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    of = f'{{objective="{name}",job="otel-feedback-alerts",agent="planner"}}'
    prometheus.wait_for_value(f"agent_slo_budget_remaining{of}", 0.4)
    prometheus.wait_for_value(f"agent_slo_target{of}", 0.95)
    rates = prometheus.query(f"sum by (window) (agent_slo_burn_rate{of})")
    assert {dict(labels)["window"]: round(value, 6) for labels, value in rates.items()} == {
        "6h": 0.6,
        "24h": 0.6,
        "3d": 0.6,
    }
    everything = prometheus.query(f'count by (agent) ({{__name__=~"agent_slo_.*",objective="{name}"}})')
    assert {dict(labels)["agent"]: value for labels, value in everything.items()} == {"planner": 5, "rare": 1}


def test_they_are_looked_at_every_five_minutes_at_most() -> None:
    now = datetime(2026, 3, 2, tzinfo=timezone.utc)
    looked: list[datetime] = []

    def look(at: datetime) -> list[Standing]:
        looked.append(at)
        return []

    gauges = Gauges(look)
    for minutes in (0, 1, 4.9, 5, 9, 12):
        gauges.refresh(now + timedelta(minutes=minutes))
    assert [(at - now) / timedelta(minutes=1) for at in looked] == [0, 5, 12]
