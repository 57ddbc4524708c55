"""Outcomes as metrics through the real collector into a real Prometheus, as dashboards and alerts ask for them."""

from __future__ import annotations

import os
import uuid

import pytest

from tests.stack.collector import Collector
from tests.stack.prometheus import Prometheus
from tests.stack.waiting import wait_until
from tests.support import run_python

AGENTS = """
import asyncio
import otel_feedback as feedback

class Agent:
    name = "writer"
    async def run(self, task):
        with feedback.action("search", agent="writer", tool_name="web"):
            pass
        if task == "hard": raise ValueError("no")
        return {"usage": {"input_tokens": 900, "output_tokens": 120}, "model": "gpt-4o", "quality_score": 0.75}

async def main():
    dispatcher = feedback.create_dispatcher(service_name=SERVICE, enable_outcome_logging=False, enable_otlp=False)
    for task in ("easy", "easy", "hard"):
        result = await dispatcher.dispatch(Agent(), "answer", task, tenant_id="acme")
    print(result["trace_id"])

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def service(collector: Collector) -> str:
    """Two processes of one service, which have ended: its name."""
    name = f"prometheus-{uuid.uuid4().hex[:8]}"
    for _ in range(2):
        done = run_python(
            f"SERVICE = {name!r}\n{AGENTS}",
            {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.http_endpoint, "OTEL_FEEDBACK_LOG_FILE": os.devnull},
        )
        assert (done.returncode, done.stderr) == (0, "")
    return name


@pytest.mark.brief
def test_outcomes_of_all_processes_are_counted(service: str, prometheus: Prometheus) -> None:
    of_service = f'agent_outcomes_total{{job="{service}"}}'
    prometheus.wait_for_value(f"sum({of_service})", 12)
    assert prometheus.query(f"count(count by (instance) ({of_service}))") == {frozenset(): 2}
    told = prometheus.query(f"sum by (agent, action, status, tenant, model) ({of_service})")
    assert {frozenset(labels): value for labels, value in told.items()} == {
        frozenset({"agent": "writer", "tenant": "acme", **labels}.items()): value
        for labels, value in [
            ({"action": "answer", "status": "success", "model": "gpt-4o"}, 4),
            ({"action": "answer", "status": "failure"}, 2),
            ({"action": "search", "status": "success"}, 6),
        ]
    }


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("sum(agent_outcome_cost_total{{{job}}})", 4 * (900 * 2.5 + 120 * 10) / 1e6),
        ('sum(agent_outcome_tokens_total{{{job},type="output"}})', 480),
        ("sum(agent_outcome_quality_sum{{{job}}}) / sum(agent_outcome_quality_count{{{job}}})", 0.75),
        ("sum(agent_outcome_duration_seconds_count{{{job}}})", 12),
        ("sum(gen_ai_invoke_agent_duration_seconds_count{{{job}}})", 6),
        ('sum(gen_ai_execute_tool_duration_seconds_count{{{job},gen_ai_tool_name="web"}})', 6),
        ('sum(gen_ai_client_token_usage_sum{{{job},gen_ai_token_type="input"}})', 3_600),
        ('sum(gen_ai_client_operation_duration_seconds_count{{{job},error_type="ValueError"}})', 2),
        ("count(histogram_quantile(0.95, sum by (le) (agent_outcome_duration_seconds_bucket{{{job}}})) > 0)", 1),
    ],
)
def test_what_dashboards_and_alerts_ask_for_is_there(
    expression: str, value: float, service: str, prometheus: Prometheus
) -> None:
    job = f'job="{service}"'
    prometheus.wait_for_value(f"sum(agent_outcomes_total{{{job}}})", 12)
    assert prometheus.query(expression.format(job=job)) == {frozenset(): pytest.approx(value)}


def test_what_happened_once_has_grown(service: str, prometheus: Prometheus) -> None:
    """A program that was over between two scrapes: its counters never were less, and yet they began at 0."""
    failed = f'sum(increase(agent_outcomes_total{{job="{service}",status="failure"}}[5m]))'
    wait_until(lambda: sum(prometheus.query(failed).values()) > 1, timeout_s=15, what=f"{failed} to be about 2")


def test_an_exemplar_leads_from_a_histogram_to_a_trace(service: str, prometheus: Prometheus) -> None:
    found = prometheus.exemplars(f'agent_outcome_duration_seconds_bucket{{job="{service}"}}')
    assert {len(one["trace_id"]) for one in found} == {32}
